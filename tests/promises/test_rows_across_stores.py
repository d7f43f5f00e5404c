"""Record files that hold rows of several stores: the same bytes however they come about."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray
from instruments.s3_server import S3Bucket
from tests.full_output import full
from tests.many_stores import Made, as_one_store, assert_views_agree, join, write

import parchunk
from parchunk.errors import OutputError
from parchunk.out.counts import Counts
from parchunk.out.known import last_known, read_known
from parchunk.out.local import LocalOutput
from parchunk.out.receipt_files import read_receipts
from parchunk.planning.joining.segments import segments
from parchunk.stores.opening import open_store

Published = Callable[[Path], dict[str, bytes]]

#: No divisor but 1: a record file of 10 rows holds rows of two or three stores.
LENGTHS = (5, 3, 7, 1, 4)


def months(folder: Path, lengths: Sequence[int] = LENGTHS, zarr_format: int = 2) -> list[Path]:
    random, paths, begin = np.random.default_rng(1), [], 0
    for at, length in enumerate(lengths):
        arrays = {
            "air": Made(random.integers(0, 3, (length, 6)), ("time", "x"), (1, 2)),
            "rain": Made(random.integers(1, 9, (length, 2)), ("time", "y"), (1, 2)),
            "time": Made(
                np.arange(begin, begin + length),
                ("time",),
                (1,),
                {"units": "hours since 2000-01-01"},
            ),
        }
        paths.append(write(folder / f"{at}.zarr", arrays, zarr_format))
        begin += length
    return paths


def plan_of(paths: Sequence[Path | str], **options: Any) -> parchunk.Plan:
    return parchunk.plan(paths, concat="time", **{"record_size": 10, "region": 4, **options})


def opened(path: Path) -> xarray.Dataset:
    return xarray.open_zarr(path, consolidated=False, chunks=None, mask_and_scale=False).load()


def check(out: Path, paths: Sequence[Path]) -> None:
    """OUT reads as xarray joins the stores, and the audit finds nothing but gaps."""
    wanted = xarray.concat([opened(path) for path in paths], "time")
    found = parchunk.open_dataset(out, mask_and_scale=False).load()
    xarray.testing.assert_equal(found, wanted)
    assert not [f for f in parchunk.audit(out, against_source=True).findings if f.severity != "gap"]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return months(tmp_path_factory.mktemp("in"))


@pytest.fixture(scope="module")
def whole(paths: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    parchunk.build(plan_of(paths), out)
    return out


def test_they_are_what_a_build_of_one_store_writes(
    paths: list[Path], whole: Path, tmp_path: Path
) -> None:
    plan = plan_of(paths)
    several = [p for p in plan.partitions() if len({s.store for s in segments(plan, p)}) > 1]
    assert len(several) > 3
    check(whole, paths)
    one = as_one_store(tmp_path / "one.zarr", paths, join(paths, concat="time"))
    parchunk.build(parchunk.plan(one, region=4, record_size=10), tmp_path / "out")
    files = sorted(file.relative_to(whole) for file in whole.glob("*/refs.*.parq"))
    assert files == sorted(
        f.relative_to(tmp_path / "out") for f in (tmp_path / "out").glob("*/refs.*.parq")
    )
    for file in files:
        if file.parts[0] == "time":
            continue  # kept inline here
        mine, theirs = (pq.read_table(folder / file) for folder in (whole, tmp_path / "out"))
        assert mine.schema == theirs.schema
        for column in ("offset", "size", "raw"):
            assert mine[column] == theirs[column]
        assert mine["path"].is_valid() == theirs["path"].is_valid()
        for here, there in zip(mine["path"].to_pylist(), theirs["path"].to_pylist(), strict=True):
            assert here is None or Path(here).read_bytes() == Path(there).read_bytes()


@pytest.mark.parametrize("options", [{"workers": 2}, {"concurrency": 1}, {"executor": 3}])
def test_whoever_builds_them_writes_the_same(
    paths: list[Path], whole: Path, tmp_path: Path, published: Published, options: dict[str, Any]
) -> None:
    if "executor" in options:
        with ThreadPoolExecutor(2) as pool:
            parchunk.build(plan_of(paths), tmp_path / "out", executor=pool, workers=3)
    else:
        parchunk.build(plan_of(paths), tmp_path / "out", **options)
    assert published(tmp_path / "out") == published(whole)


@pytest.mark.parametrize("lost", [(0,), (1,), (0, 2), (1, 2, 3), (4,)])
def test_regions_without_a_receipt_are_built_again(
    paths: list[Path], whole: Path, tmp_path: Path, published: Published, lost: tuple[int, ...]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    plan = plan_of(paths)
    (out / ".zmetadata").unlink()
    for region in lost:
        (out / f".parchunk/receipts/air/{region}.json").unlink()
        rows = plan.by_name["air"].partition(region, 10).rows
        for number in rows.numbers(0, rows.total).tolist()[::10]:
            (out / f"air/refs.{number // 10}.parq").write_bytes(b"cut off")
    assert parchunk.build(plan, out).built == len(lost)
    assert published(out) == published(whole)


@pytest.mark.parametrize("puts", [2, 5, 9, 14, 20])
def test_a_build_that_ends_anywhere_is_resumed(
    paths: list[Path], whole: Path, tmp_path: Path, published: Published, puts: int
) -> None:
    with pytest.raises(OutputError, match="no space left"):
        parchunk.build(plan_of(paths), full(tmp_path / "out", puts))
    assert not (tmp_path / "out" / ".zmetadata").exists()
    parchunk.build(plan_of(paths), tmp_path / "out")
    assert published(tmp_path / "out") == published(whole)


@pytest.mark.parametrize(
    ("puts", "inline"),  # not inlined: written over in place
    [(None, True), (None, False), (3, False), (8, True)],
)
def test_stores_that_come_go_on_within_a_record_file(
    tmp_path: Path, puts: int | None, inline: bool
) -> None:
    paths = months(tmp_path / "in")
    out = tmp_path / "out"
    parchunk.build(plan_of(paths[:3], inline_coordinates=inline), out)
    check(out, paths[:3])
    if puts is not None:
        with pytest.raises(OutputError, match="no space left"):
            parchunk.update(full(out, puts), paths[3:])
        wanted = xarray.concat([opened(path) for path in paths[:3]], "time")
        xarray.testing.assert_equal(parchunk.open_dataset(out, mask_and_scale=False).load(), wanted)
    result = parchunk.update(out, paths[3:])
    assert result.plan.cuts == plan_of(paths).cuts
    check(out, paths)
    same_as_built(out, plan_of(paths, inline_coordinates=inline), tmp_path / "anew")


@pytest.mark.parametrize(
    "odd", ["stray", "empty", "damaged", "gap", "identity", "", "in place", "small"]
)
def test_what_was_there_before_stores_that_come_is_listed_again_if_it_is_odd(
    tmp_path: Path, odd: str
) -> None:
    paths = months(tmp_path / "in")
    out = tmp_path / "out"
    if odd == "stray":
        (paths[2] / "air" / "stray").write_bytes(b"stray")
    if odd == "empty":
        (paths[2] / "air" / "6.2").write_bytes(b"")
    if odd == "small":  # one of a byte, and one that looks as others are kept
        (paths[2] / "air" / "6.1").write_bytes(b"x")
        (paths[2] / "air" / "6.2").write_bytes(b"base64:AA==")
    if odd == "gap":
        shutil.move(paths[2] / "air" / "6.2", tmp_path / "6.2")
    inline = odd != "in place"
    options = {
        "inline_coordinates": inline,
        "identity": "time" if odd == "identity" else "none",
        "inline_threshold": 200 if odd == "small" else 0,
    }
    parchunk.build(plan_of(paths[:3], **options), out)
    if odd == "damaged":
        (out / "air" / "refs.4.parq").write_bytes(b"cut off")
    if odd == "gap":
        shutil.move(tmp_path / "6.2", paths[2] / "air" / "6.2")
    listed = [0]
    parchunk.update(
        out,
        paths[3:4],
        gaps=odd == "gap",
        progress=lambda now: listed.append(now.listed),
    )
    same_as_built(out, plan_of(paths[:4], **options), tmp_path / "anew")
    arrays = ["air", "rain"] if inline else ["air", "rain", "time"]
    came = sum(len(list((paths[3] / name).iterdir())) for name in arrays)
    if odd in ("", "in place", "small"):
        assert listed[-1] == came
    else:
        assert listed[-1] > came


@pytest.mark.parametrize("damaged", [False, True])
def test_what_is_known_of_record_files_is_believed_while_it_is_what_it_was(
    tmp_path: Path, damaged: bool
) -> None:
    """A build that goes on with an update lists what came alone, or all where that is damaged."""
    paths, out = months(tmp_path / "in"), tmp_path / "out"
    parchunk.build(plan_of(paths[:3], inline_coordinates=False), out)
    with pytest.raises(OutputError, match="no space left"):
        parchunk.update(full(out, 22), paths[3:4], gaps=False)
    plan = plan_of(paths[:4], inline_coordinates=False)
    output = LocalOutput(open_store(str(out)).location)
    pending = [one for one in plan.partitions() if one.key not in read_receipts(output, plan)]
    known = read_known(output, plan, pending)
    assert {name for name, _ in known} == {"air", "rain", "time"}
    if damaged:
        for file in out.glob(".parchunk/known/*/*.parquet"):
            file.write_bytes(b"cut off")
        with pytest.raises(OutputError, match="run the same command again"):
            last_known(output, next(iter(known.values())))
    listed = [0]
    parchunk.build(plan, out, progress=lambda now: listed.append(now.listed))
    came = sum(len(list((paths[3] / name).iterdir())) for name, _ in known)
    assert (listed[-1] > came) == damaged
    same_as_built(out, plan, tmp_path / "anew")


def same_as_built(out: Path, plan: parchunk.Plan, anew: Path) -> None:
    """OUT has the record files of a build of the plan, and receipts that say the same."""
    built = {receipt.key: receipt.values() for receipt in parchunk.build(plan, anew).receipts}
    files = sorted(anew.glob("*/refs.*.parq"))
    assert sorted(out.glob("*/refs.*.parq")) == [out / file.relative_to(anew) for file in files]
    for file in (*files, *anew.glob(".parchunk/objects/*/*")):
        assert (out / file.relative_to(anew)).read_bytes() == file.read_bytes(), file
    known = read_receipts(LocalOutput(open_store(str(out)).location), plan)
    counts = {field.name for field in fields(Counts)}
    for key, receipt in known.items():
        found = receipt.values()
        assert {name: found[name] for name in counts} == {name: built[key][name] for name in counts}
    assert known.keys() == built.keys()
    assert not list(out.glob(".parchunk/known*"))


def test_an_audit_looks_into_each_store(tmp_path: Path) -> None:
    paths = months(tmp_path / "in")
    out = tmp_path / "out"
    parchunk.build(plan_of(paths), out)
    for name in ("2.0", "0.0"):
        (paths[1] / "rain" / name).unlink()
    (paths[3] / "rain" / "0.0").write_bytes(b"other")
    findings = parchunk.audit(out, against_source=True).findings
    found = [(f.kind, f.array, f.key) for f in findings if f.severity == "change"]
    assert found == [
        ("changed-chunks", "rain", "3.zarr/rain/0.0"),
        ("gone-chunks", "rain", "1.zarr/rain/0.0"),
    ]
    assert [f.count for f in findings if f.kind == "gone-chunks"] == [2]


def test_views_count_whole_record_files(whole: Path) -> None:
    con = parchunk.connect(whole)
    assert_views_agree(con)
    assert con.sql("SELECT store FROM regions ORDER BY region").fetchall() == [
        (0,), (0,), (1,), (2,), (2,), (3,), (4,),
    ]  # fmt: skip


def test_what_a_store_lacks_is_missing_within_a_record_file(tmp_path: Path) -> None:
    paths = months(tmp_path / "in")
    for at in (1, 3):
        shutil.rmtree(paths[at] / "rain")
    plan = plan_of(paths, join="outer", region=None)
    out = tmp_path / "out"
    result = parchunk.build(plan, out)
    assert [r.missing for r in result.receipts if r.array == "rain"] != []
    rain = parchunk.open_dataset(out, mask_and_scale=False).rain.load()
    assert (rain.isnull() | (rain == 0)).all("y").values.nonzero()[0].tolist() == [5, 6, 7, 15]
    kinds = {f.kind for f in parchunk.audit(out, against_source=True).findings}
    assert kinds == {"missing-chunks", "lacking"}


def test_stacks_whose_arrays_share_no_divisor(tmp_path: Path) -> None:
    paths = []
    for at in range(7):
        arrays = {
            "air": Made(np.full((5, 6), at + 1), ("y", "x"), (1, 2)),
            "rain": Made(np.full((7,), at + 1), ("z",), (1,)),
        }
        paths.append(write(tmp_path / f"{at}.zarr", arrays, 3))
    plan = parchunk.plan(paths, stack="init", inline_threshold=200)
    assert plan.record_size == 15
    result = parchunk.build(plan, tmp_path / "out")
    assert result.inlined == result.present > 0
    found = parchunk.open_dataset(tmp_path / "out").load()
    assert found.rain.isel(z=3).values.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert found.air.isel(y=4, x=5).values.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert parchunk.audit(tmp_path / "out", against_source=True).findings == ()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_icechunk_takes_them_in_and_what_comes_behind(tmp_path: Path, zarr_format: int) -> None:
    pytest.importorskip("icechunk")
    paths = months(tmp_path / "in", zarr_format=zarr_format)
    out, repo = tmp_path / "out", tmp_path / "repo"
    parchunk.build(plan_of(paths[:3], region=None, inline_coordinates=False), out)
    for count in (3, 5):
        if count == 5:
            parchunk.update(out, paths[3:])
        parchunk.to_icechunk(out, repo)
        store = parchunk.open_icechunk(repo).readonly_session("main").store
        found = xarray.open_zarr(store, consolidated=False, chunks=None, mask_and_scale=False)
        wanted = xarray.concat([opened(path) for path in paths[:count]], "time")
        xarray.testing.assert_equal(found.load(), wanted)
        report = parchunk.audit(out, icechunk=str(repo))
        assert not [one for one in report.findings if one.severity != "gap"]


@pytest.mark.s3
@pytest.mark.parametrize("options", [{}, {"record_size": 29, "region": None}, {"region": 40}])
@pytest.mark.slow
def test_stores_that_one_walk_lists_share_record_files(
    paths: list[Path],
    tmp_path: Path,
    bucket: S3Bucket,
    published: Published,
    options: dict[str, Any],
) -> None:
    """In a bucket they are members of one job, which has parts of a partition several times."""
    for path in paths:
        bucket.upload(path, path.name)
    urls = [f"s3://{bucket.name}/{path.name}" for path in paths]
    reached = {"store_options": bucket.options}
    parchunk.build(plan_of(urls, **reached, **options), tmp_path / "whole")
    found = parchunk.open_dataset(tmp_path / "whole", mask_and_scale=False, **reached).load()
    xarray.testing.assert_equal(found, xarray.concat([opened(path) for path in paths], "time"))
    audited = parchunk.audit(tmp_path / "whole", against_source=True, **reached)
    assert not [finding for finding in audited.findings if finding.severity != "gap"]
    parchunk.build(plan_of(urls[:3], **reached, **options), tmp_path / "out")
    parchunk.update(tmp_path / "out", urls[3:], **reached)
    assert published(tmp_path / "out") == published(tmp_path / "whole")
