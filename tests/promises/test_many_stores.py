"""Many stores as one dataset: what stock readers get is what xarray's own concat gets."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import xarray
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.many_stores import MONTHS, assert_views_agree, months, opened, stock

import parchunk
from parchunk.cli.summary import print_summary, summary


@st.composite
def stores(draw: st.DrawFn) -> dict[str, Any]:
    chunk = draw(st.integers(1, 2))
    count = draw(st.integers(1, 5))
    lengths = [2 * chunk * draw(st.integers(0 if at else 1, 3)) for at in range(count)]
    lengths[-1] += draw(st.integers(0, 1))
    zarr_format = draw(st.sampled_from([2, 3]))
    return {
        "format": zarr_format,
        "chunk": chunk,
        "lengths": lengths,
        "axis": draw(st.integers(0, 2)),
        "shards": zarr_format == 3 and draw(st.booleans()),
        "holes": draw(st.booleans()),
        "region": draw(st.sampled_from([None, 2, 4])),
        "record_size": draw(st.sampled_from([None, 3, 5, 100])),
        "seed": draw(st.integers(0, 99)),
    }


@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stores())
def test_months_read_back_as_xarray_joins_them(made: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = months(folder / "in", made)
        region = made["region"] and made["region"] * made["chunk"]
        # Record files of shards, and of a later axis, lie in one store.
        size = None if made["axis"] or made["shards"] else made["record_size"]
        plan = parchunk.plan(paths, concat="time", region=region, record_size=size)
        result = parchunk.build(plan, folder / "out")
        expected = xarray.concat(
            [opened(path, made["format"]) for path in paths],
            "time", data_vars="minimal", coords="minimal", compat="override", join="override",
            combine_attrs="override",
        )  # fmt: skip
        found = parchunk.open_dataset(folder / "out").load()
        xarray.testing.assert_equal(found, expected)
        if made["format"] == 2:
            xarray.testing.assert_equal(stock(folder / "out"), expected)
        assert result.present + result.missing == result.expected
        assert parchunk.build(plan, folder / "out").built == 0


@pytest.mark.parametrize(("axis", "zarr_format", "shards"), [(0, 2, False), (1, 3, True)])
def test_views_and_audit_know_the_stores(
    tmp_path: Path, axis: int, zarr_format: int, shards: bool
) -> None:
    made = MONTHS | {"axis": axis, "format": zarr_format, "shards": shards}
    paths = months(tmp_path / "in", made)
    parchunk.build(parchunk.plan(paths, concat="time", region=2), tmp_path / "out")
    con = parchunk.connect(tmp_path / "out")
    assert con.sql("SELECT * FROM stores ORDER BY store").fetchall() == [
        (0, str(paths[0]), 0, 4), (1, str(paths[1]), 4, 6), (2, str(paths[2]), 6, 12),
    ]  # fmt: skip
    assert con.sql("SELECT region, store, start, stop FROM regions ORDER BY 1").fetchall() == [
        (0, 0, 0, 2), (1, 0, 2, 4), (2, 1, 4, 6), (3, 2, 6, 8), (4, 2, 8, 10), (5, 2, 10, 12),
    ]  # fmt: skip
    wrong = con.sql(
        "SELECT count(*) FROM refs JOIN regions USING (region) JOIN stores USING (store)\n"
        "WHERE path IS NOT NULL AND NOT starts_with(path, url || '/')"
    ).fetchall()
    assert wrong == [(0,)]
    assert_views_agree(con)
    report = parchunk.audit(tmp_path / "out", allow_missing="air")
    assert report.findings == ()
    gone = next(path for path in (paths[1] / "rain").rglob("*") if path.name.startswith("0"))
    gone.unlink() if gone.is_file() else shutil.rmtree(gone)
    again = parchunk.build(parchunk.plan(paths, concat="time", region=2), tmp_path / "again")
    assert again.missing > report.missing
    gaps = next(a for a in parchunk.audit(tmp_path / "again").arrays if a.array == "rain").gaps
    assert [(gap.start, gap.stop) for gap in gaps] == [(4, 6)]
    rain = next(a for a in parchunk.audit(tmp_path / "again").arrays if a.array == "rain")
    assert rain.gap_labels == ("2000-01-01 04:00 to 2000-01-01 05:00",)


def test_a_reference_into_another_store_is_found(tmp_path: Path) -> None:
    paths = months(tmp_path / "in", MONTHS | {"holes": False})
    parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")
    one, other = (tmp_path / "out" / "air" / f"refs.{at}.parq" for at in (0, 3))
    one.write_bytes(other.read_bytes())
    kinds = {found.kind for found in parchunk.audit(tmp_path / "out").findings}
    assert {"wrong-digest", "wrong-path"} <= kinds


def test_a_build_goes_on_between_stores(tmp_path: Path) -> None:
    paths = months(tmp_path / "in", MONTHS)
    plan = parchunk.plan(paths, concat="time")
    whole = parchunk.build(plan, tmp_path / "whole")
    parchunk.build(plan, tmp_path / "out")
    for receipt in (tmp_path / "out" / ".parchunk" / "receipts" / "air").glob("[12].json"):
        receipt.unlink()
    again = parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")
    assert again.built == 2
    assert again.present == whole.present
    for file in (tmp_path / "whole").rglob("*.parq"):
        name = file.relative_to(tmp_path / "whole")
        assert (tmp_path / "out" / name).read_bytes() == file.read_bytes()


def test_stores_that_change_are_not_published(tmp_path: Path) -> None:
    paths = months(tmp_path / "in", MONTHS)
    plan = parchunk.plan(paths, concat="time")
    months(tmp_path / "in", MONTHS | {"lengths": [4, 2, 8]})
    with pytest.raises(parchunk.SourceChangedError, match="time"):
        parchunk.build(plan, tmp_path / "out")
    with pytest.raises(parchunk.InputError, match="another plan"):
        parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_stacks_and_groups_read_back(tmp_path: Path, zarr_format: int) -> None:
    paths = months(tmp_path / "in", MONTHS | {"format": zarr_format, "lengths": [4, 4, 4]})
    for path in paths:
        shutil.rmtree(path / "time")
    plan = parchunk.plan(paths, stack="member", labels=["a", "b", "c"])
    parchunk.build(plan, tmp_path / "out")
    found = parchunk.open_dataset(tmp_path / "out").load()
    wanted = xarray.concat(
        [opened(path, zarr_format) for path in paths], "member", combine_attrs="override"
    )
    xarray.testing.assert_equal(found.drop_vars("member"), wanted)
    assert found.member.values.tolist() == ["a", "b", "c"]
    assert parchunk.audit(tmp_path / "out", allow_missing="air").findings == ()
    below = parchunk.plan({"cam/h0": paths[0], "clm": paths[1]})
    parchunk.build(below, tmp_path / "groups")
    for group, path in (("cam/h0", paths[0]), ("clm", paths[1])):
        found = parchunk.open_dataset(tmp_path / "groups", group=group).load()
        xarray.testing.assert_equal(found, opened(path, zarr_format))
    assert (
        parchunk.audit(tmp_path / "groups", allow_missing=["cam/h0/air", "clm/air"]).findings == ()
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_icechunk_gets_a_commit_a_region_across_stores(tmp_path: Path, zarr_format: int) -> None:
    pytest.importorskip("icechunk")
    paths = months(tmp_path / "in", MONTHS | {"format": zarr_format})
    odd = paths[1].rename(tmp_path / "in" / "a month, 1.zarr")
    paths[1] = odd
    parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")
    result = parchunk.to_icechunk(tmp_path / "out", tmp_path / "repo")
    assert [commit.region for commit in result.commits] == [None, 0, 1, 2]
    repo = parchunk.open_icechunk(tmp_path / "repo")
    found = xarray.open_zarr(
        repo.readonly_session("main").store, consolidated=False, chunks=None
    ).load()
    wanted = parchunk.open_dataset(tmp_path / "out").load()
    xarray.testing.assert_equal(found, wanted)
    report = parchunk.audit(tmp_path / "out", icechunk=str(tmp_path / "repo"))
    assert not [one for one in report.findings if one.severity != "gap"]


@pytest.mark.parametrize(("axis", "shards"), [(0, False), (0, True), (2, True)])
def test_the_audit_looks_into_every_store(tmp_path: Path, axis: int, shards: bool) -> None:
    made = MONTHS | {"axis": axis, "shards": shards, "format": 3, "holes": False}
    paths = months(tmp_path / "in", made)
    parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")
    assert parchunk.audit(tmp_path / "out", against_source=True).findings == ()
    chunk = next(file for file in (paths[1] / "air" / "c").rglob("*") if file.is_file())
    chunk.unlink()
    findings = parchunk.audit(tmp_path / "out", against_source=True).findings
    assert [(f.array, f.region, f.kind) for f in findings] == [("air", 1, "gone-chunks")]
    assert findings[0].key == str(chunk.relative_to(tmp_path / "in"))


def test_the_audit_tells_of_stores_that_came_by_the_pattern(tmp_path: Path) -> None:
    *_, last = months(tmp_path / "in", MONTHS | {"holes": False})
    last.rename(tmp_path / "later")
    pattern = f"{last.parent}/*.zarr"
    parchunk.build(parchunk.plan(pattern, concat="time"), tmp_path / "out")
    assert parchunk.audit(tmp_path / "out", against_source=True).findings == ()
    (tmp_path / "later").rename(last)
    found = parchunk.audit(tmp_path / "out", against_source=True)
    assert [f.kind for f in found.findings] == ["source-metadata"]
    assert (
        f"1 store came that the references have not, by the pattern that they were built of: {last}"
        in found.findings[0].message
    )
    assert found.exit_code == 1
    parchunk.update(tmp_path / "out")
    assert parchunk.audit(tmp_path / "out", against_source=True).findings == ()


@pytest.mark.parametrize("axis", [0, 1])
def test_what_a_store_lacks_reads_as_fill_value(
    tmp_path: Path, axis: int, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = months(tmp_path / "in", MONTHS | {"axis": axis, "holes": False})
    lacking = opened(paths[1], 2)
    shutil.rmtree(paths[1] / "air")
    with pytest.raises(parchunk.InputError, match=r"air: is not in .*1\.zarr"):
        parchunk.plan(paths, concat="time")
    plan = parchunk.plan(paths, concat="time", join="outer")
    result = parchunk.build(plan, tmp_path / "out")
    assert result.missing == result.plan.by_name["air"].partition(1, 1).rows.total
    found = stock(tmp_path / "out")
    assert found.air.isel(time=slice(4, 6)).isnull().all()
    parts = [opened(paths[0], 2).air, lacking.air.where(False), opened(paths[2], 2).air]
    xarray.testing.assert_equal(found.air, xarray.concat(parts, "time"))
    lacking = result.missing
    print_summary(result)
    said = f"{lacking} missing ({lacking} of them lacking, as their stores have no such array)"
    assert said in " ".join(capsys.readouterr().out.split())
    assert f"{lacking} missing ({lacking} of them lacking)" in result.in_short
    report = parchunk.audit(tmp_path / "out")
    assert (report.missing, report.lacking, report.exit_code) == (0, lacking, 0)
    (finding,) = report.findings
    assert (finding.kind, finding.array, finding.count) == ("lacking", "air", lacking)
    assert str(paths[1]) in finding.message
    assert [(one.start, one.stop, one.missing, one.lacking) for one in report.stores] == [
        (0, 4, 0, 0), (4, 6, 0, lacking), (6, 12, 0, 0),
    ]  # fmt: skip
    assert sum(one.present for one in report.stores) == result.present - len(plan.stores.kept)
    con = parchunk.connect(tmp_path / "out")
    assert con.sql("SELECT count(*) FROM missing WHERE lacking").fetchall() == [(lacking,)]
    counted = con.sql("SELECT region, missing, lacking FROM coverage WHERE missing > 0").fetchall()
    assert counted == [(1, lacking, lacking)]
    # What is gone from another store is missing, and of that store.
    chunk = next(file for file in sorted((paths[2] / "air").iterdir()) if file.name[0] != ".")
    chunk.unlink()
    again = parchunk.build(plan, tmp_path / "again")
    assert (summary(again)["missing"], summary(again)["lacking"]) == (lacking + 1, lacking)
    report = parchunk.audit(tmp_path / "again")
    assert (report.missing, report.lacking, report.exit_code) == (1, lacking, 1)
    assert [one.missing for one in report.stores] == [0, 0, 1]
    assert report.to_json()["stores"][2]["labels"] == "2000-01-01 06:00 to 2000-01-01 11:00"


@pytest.mark.slow
@pytest.mark.s3
def test_stores_in_a_bucket(tmp_path: Path, bucket: Any) -> None:
    paths = months(tmp_path / "in", MONTHS | {"lengths": [4, 4, 4], "holes": False})
    for path in paths[:2]:
        bucket.upload(path, f"era5/{path.name}")
    pattern, out = f"s3://{bucket.name}/era5/*.zarr", f"s3://{bucket.name}/refs"
    plan = parchunk.plan(pattern, concat="time", store_options=bucket.options)
    assert [store.url for store in plan.stores.stores] == [
        f"s3://{bucket.name}/era5/{path.name}" for path in paths[:2]
    ]
    parchunk.build(plan, out, output_options=bucket.options, workers=2)
    bucket.upload(paths[2], "era5/2.zarr")
    options = {"store_options": bucket.options, "output_options": bucket.options}
    result = parchunk.update(out, gaps=False, **options)
    assert result.built == 4
    found = parchunk.open_dataset(out, **options).load()
    wanted = xarray.concat(
        [opened(path, 2) for path in paths], "time", data_vars="minimal", coords="minimal",
        compat="override", join="override", combine_attrs="override",
    )  # fmt: skip
    xarray.testing.assert_equal(found, wanted)
    assert parchunk.audit(out, against_source=True, **options).findings == ()


def test_coordinates_that_changed_are_found_and_taken_in(tmp_path: Path) -> None:
    paths = months(tmp_path / "in", MONTHS | {"holes": False})
    parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")
    array = zarr.open_array(paths[2] / "time", mode="r+")
    array[:] = array[:] + 1
    findings = parchunk.audit(tmp_path / "out", against_source=True).findings
    assert [(f.kind, f.array) for f in findings] == [("source-metadata", "time")]
    parchunk.update(tmp_path / "out")
    findings = parchunk.audit(tmp_path / "out", against_source=True).findings
    assert [f.kind for f in findings] == ["uneven-labels"]  # an hour before that store's
    assert stock(tmp_path / "out").time.values[-1] == opened(paths[2], 2).time.values[-1]
