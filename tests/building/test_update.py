"""Sources that grew: what is listed, what is written, and what readers see meanwhile."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import zarr
from benchmarks import crash_places, crashes, update_crashes
from instruments.s3_server import new_bucket
from instruments.synthetic.rules import LeadingRange
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from tests.made import grow

import parchunk
from parchunk.building.update import is_due
from parchunk.cli.main import run
from parchunk.keys.row_sets import RowSet
from parchunk.out.receipts import Receipt
from parchunk.out.unfinished import Unfinished
from parchunk.planning.plan import Partition

Reader = Callable[..., zarr.Group]
Bits = Callable[[Any, Any], None]
Published = Callable[[Path], dict[str, bytes]]


def same_values(out: Path, source: Path, open_references: Reader, same_bits: Bits) -> None:
    opened, original = open_references(out), zarr.open_group(source, mode="r")
    for name in ("air", "rain", "time", "x"):
        same_bits(opened[name][...], original[name][...])


def built_receipts(out: Path) -> dict[str, int]:
    """Modification times of receipts' record files: what was written again has another."""
    return {p.relative_to(out).as_posix(): p.stat().st_mtime_ns for p in out.rglob("refs.*.parq")}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("before", "after"), [(16, 24), (16, 19), (17, 18), (13, 40), (3, 9)])
def test_a_grown_store_reads_as_its_source_does(
    tmp_path: Path,
    open_references: Reader,
    same_bits: Bits,
    published: Published,
    zarr_format: int,
    before: int,
    after: int,
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    grow(source, before, zarr_format)
    plan = parchunk.plan(str(source), split="time", region=8, record_size=4)
    parchunk.build(plan, str(out))
    written = built_receipts(out)
    grow(source, after, zarr_format)
    result = parchunk.update(str(out))
    same_values(out, source, open_references, same_bits)
    assert result.missing == 0
    assert not (out / ".parchunk" / "previous.json").exists()
    assert parchunk.audit(str(out), against_source=True).findings == ()
    # The same as when it is built at once.
    fresh = parchunk.plan(str(source), split="time", region=8, record_size=4)
    parchunk.build(fresh, str(tmp_path / "fresh"))
    assert published(out) == published(tmp_path / "fresh")
    # Full regions were left alone: of `air`, 8 steps are 8 references, 2 record files.
    full = before // 8 * 2
    left = {name for name, at in built_receipts(out).items() if written.get(name) == at}
    assert {f"air/refs.{i}.parq" for i in range(full)} <= left
    assert f"air/refs.{-(-after // 2) * 2 // 4}.parq" not in left
    # And again: only the small whole arrays are looked at.
    assert parchunk.update(str(out)).built == sum(a.axis is None for a in plan.arrays)


def test_nothing_but_what_is_new_is_listed(tmp_path: Path) -> None:
    """A store of 60 regions of 2,000 chunks, six of which are due, on a server that counts."""

    def store(steps: int) -> Any:
        return zarr_store([("t", (steps, 10), (1, 1), ("time", "x")), ("x", (10,), (10,), ("x",))])

    out = tmp_path / "refs"
    with serve(store(12_000)) as server:
        source = parchunk.Source.open(f"s3://{server.bucket}", _options(server))
        parchunk.build(parchunk.plan(source, split="time", region=200), str(out))
    with serve(store(12_100)) as server:
        server.reset()
        result = parchunk.update(str(out), store_options=_options(server), trust_listing=True)
        lists = server.counts()["LIST"]
    assert (result.expected, result.missing) == (121_001, 0)
    assert result.changes == {"expected": 1_000, "present": 1_000, "missing": 0}
    assert result.built == 2  # the region that came, and `x`
    # 1,000 chunks that came, one of `x`, and the groups that are looked through for new arrays.
    assert result.requests <= 4
    assert lists <= result.requests + 4


def _options(server: Any) -> dict[str, str]:
    return {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": "true"}


def test_regions_that_were_incomplete_are_listed_again(
    tmp_path: Path,
    open_references: Reader,
    same_bits: Bits,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An axis made far too long, and filled as time goes by."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    grow(source, 32)
    late = [p for i in range(9, 16) for p in (source / "air").glob(f"{i}.*")]
    kept = {path: path.read_bytes() for path in late}
    for path in late[:-2]:
        path.unlink()
    parchunk.build(parchunk.plan(str(source), split="time", region=8), str(out))
    for path in late[:6]:
        path.write_bytes(kept[path])
    assert parchunk.update(str(out), gaps=False).built == 2
    result = parchunk.update(str(out))
    # Regions 2 and 3 of `air`; `time` and `x` are small.
    assert result.built == 4
    assert result.missing == len(late) - 2 - 6
    same_values(out, source, open_references, same_bits)
    for path in late:
        path.write_bytes(kept[path])
    filled = len(late) - 2 - 6
    capsys.readouterr()
    assert run(["update", str(out)]) == 0
    assert (
        f"since before: {filled} more present, {filled} fewer missing\n" in capsys.readouterr().out
    )
    assert run(["update", str(out)]) == 0
    assert "since before: counts are as they were\n" in capsys.readouterr().out
    same_values(out, source, open_references, same_bits)


def test_named_regions_are_listed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], open_references: Reader, same_bits: Bits
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    grow(source, 32)
    parchunk.build(parchunk.plan(str(source), split="time", region=8), str(out))
    root = zarr.open_group(source, mode="a")
    array = root["air"]
    assert isinstance(array, zarr.Array)
    # Rewritten in place, with another size: no sign of that is in the metadata.
    (source / "air" / "5.0").write_bytes(bytes(24) + b"longer")
    assert parchunk.update(str(out)).built == 2
    assert parchunk.audit(str(out), against_source=True).findings
    assert run(["update", str(out), "--regions", "1-1,3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["partitions_built"] == 6
    # The references are those of the source, whose chunk is none that can be read.
    found = parchunk.audit(str(out), against_source=True).findings
    assert [item.kind for item in found] == ["impossible-size"]
    assert run(["update", str(out), "--regions", "4"]) == 2
    assert "there is no region 4" in capsys.readouterr().err


def test_named_arrays_are_listed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole array of more than a page has no region to be named by."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    grow(source, 32)
    root = zarr.open_group(source, mode="a")
    level = root.create_array("level", shape=(1_001,), chunks=(1,), dtype="i4", fill_value=-1)
    level[...] = np.arange(1_001)
    parchunk.build(parchunk.plan(str(source), split="time", region=8), str(out))
    for path in (source / "level" / "999", source / "air" / "5.0"):
        path.unlink()
    assert parchunk.update(str(out)).built == 2  # `time` and `x`
    assert parchunk.audit(str(out), against_source=True).findings
    assert run(["update", str(out), "--arrays", "level", "--arrays", "air", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["partitions_built"], said["missing"]) == (2 + 1 + 4, 2)
    compared = parchunk.audit(str(out), against_source=True).comparison
    assert compared is not None
    assert compared.to_json()["gone"] == 0
    assert run(["update", str(out), "--arrays", "wind"]) == 2
    assert "there is no array 'wind'" in capsys.readouterr().err
    assert not (out / ".parchunk" / "update.json").exists()


def test_what_is_listed_again_unasked() -> None:
    """Whole arrays of up to a page, and gaps; to the array, the region and the chunk."""
    receipt = cast("Receipt", SimpleNamespace(missing=0, inlined=0))
    gap = cast("Receipt", SimpleNamespace(missing=1, inlined=0))
    nothing = Unfinished((), (), False, "")

    def due(total: int, region: int | None, found: Receipt, asked: Unfinished) -> bool:
        rows = RowSet(total, 0, total)
        return is_due(Partition("a", region, rows, rows), found, page=10, asked=asked)

    assert [due(total, None, receipt, nothing) for total in (9, 10, 11)] == [True, True, False]
    coordinate = cast("Receipt", SimpleNamespace(missing=0, inlined=1))
    assert [due(total, None, coordinate, nothing) for total in (11, 2000, 2001)] == [
        True, True, False,
    ]  # fmt: skip
    assert not due(9, 0, receipt, nothing)
    assert not due(11, None, gap, nothing)
    assert due(11, None, gap, replace(nothing, gaps=True))
    assert not due(11, None, receipt, replace(nothing, gaps=True))
    asked = replace(nothing, regions=(3,), arrays=("a",))
    assert due(11, 3, receipt, replace(asked, arrays=()))
    assert not due(11, 2, receipt, replace(asked, arrays=()))
    assert not due(11, None, receipt, replace(asked, arrays=("b",)))
    assert due(11, 2, receipt, asked)


def test_arrays_that_came_are_taken_in(
    tmp_path: Path, open_references: Reader, same_bits: Bits
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    grow(source, 16)
    parchunk.build(parchunk.plan(str(source), split="time", region=8), str(out))
    root = zarr.open_group(source, mode="a")
    snow = root.create_array(
        "snow",
        shape=(16, 6),
        chunks=(2, 6),
        dtype="f8",
        attributes={"_ARRAY_DIMENSIONS": ["time", "x"]},
    )
    snow[...] = np.random.default_rng(1).random((16, 6))
    result = parchunk.update(str(out))
    assert result.plan.by_name["snow"].regions == 2
    assert result.built == 2 + 2
    assert result.arrays_changed == {"arrays_came": ["snow"], "arrays_gone": []}
    same_bits(open_references(out)["snow"][...], snow[...])
    same_values(out, source, open_references, same_bits)


@pytest.mark.parametrize("what", ["shorter", "gone"])
def test_what_was_lost_is_refused_unless_it_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tree: Any, what: str
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    grow(source, 16)
    parchunk.build(parchunk.plan(str(source), split="time", region=8), str(out))
    before = tree(out)
    if what == "gone":
        shutil.rmtree(source / "air")
    else:
        path = source / "air" / ".zarray"
        document = json.loads(path.read_text())
        path.write_text(json.dumps(document | {"shape": [14, 6]}))
    wrong, right = ("gone", "shrink") if what == "shorter" else ("shrink", "gone")
    for options in ([], [f"--allow-{wrong}"]):
        assert run(["update", str(out), *options]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "air" in said
        assert f"--allow-{right}" in said
        assert tree(out) == before
    assert run(["update", str(out), f"--allow-{right}"]) == 0
    assert run(["audit", str(out), "--against-source"]) == 0
    assert (out / "air").exists() == (what == "shorter")


def test_update_needs_a_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tree: Any
) -> None:
    for folder in (tmp_path / "nothing", tmp_path / "theirs"):
        if folder.name == "theirs":
            folder.mkdir()
            (folder / "file").write_text("theirs")
        before = tree(folder)
        assert run(["update", str(folder)]) == 2
        assert "holds no parchunk build" in capsys.readouterr().err
        assert tree(folder) == before


@pytest.mark.slow
@pytest.mark.s3
def test_killed_on_s3_an_update_is_finished_by_the_next(tmp_path: Path, s3_endpoint: str) -> None:
    """`python -m benchmarks.update_crashes` kills at every step, on a disk and on S3."""
    first = crash_places.Prefix(new_bucket(s3_endpoint))
    wanted = update_crashes.undisturbed(first, tmp_path)
    steps = crashes.steps_of(wanted.steps)
    for name in ("after plan", "after record file", "before root"):
        place = crash_places.Prefix(new_bucket(s3_endpoint))
        update_crashes.check(wanted, place, tmp_path / name, steps[name][len(steps[name]) // 2])


@pytest.mark.slow
def test_killed_at_random_moments_an_update_is_finished_by_the_next(tmp_path: Path) -> None:
    wanted = update_crashes.undisturbed(crash_places.Folder(tmp_path / "first"), tmp_path)
    place = crash_places.Folder(tmp_path / "out")
    update_crashes.check(wanted, place, tmp_path / "killed", moments=(0.1, 0.35, 0.2))


def test_an_update_that_was_killed_is_taken_up_after_more_has_come(
    tmp_path: Path, open_references: Reader, same_bits: Bits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of what was full before is listed again, however often an update is cut short."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    grow(source, 16)
    parchunk.build(parchunk.plan(str(source), split="time", region=8), str(out))
    for steps in (24, 32, 40):
        grow(source, steps)
        with monkeypatch.context() as patched:

            def killed(*_: Any) -> None:
                raise KeyboardInterrupt

            patched.setattr(import_module("parchunk.building.update"), "carry_out", killed)
            with pytest.raises(KeyboardInterrupt):
                parchunk.update(str(out))
    result = parchunk.update(str(out))
    same_values(out, source, open_references, same_bits)
    # Of `air` and `rain` regions 2 to 4 came; `time` and `x` are small.
    assert result.built == 2 * 3 + 2


def test_a_tail_of_present_chunks_is_read_from_a_server(tmp_path: Path) -> None:
    """Chunks that come where some were missing, seen through listings in text order."""

    def store(steps: int) -> Any:
        return zarr_store([("t", (5_000,), (1,), ("time",))], present={"t": LeadingRange(0, steps)})

    out = tmp_path / "refs"
    for steps in (1_234, 3_456):
        with serve(store(steps)) as server:
            options = _options(server)
            if not out.exists():
                source = parchunk.Source.open(f"s3://{server.bucket}", options)
                plan = parchunk.plan(source, split="time", region=500)
                result = parchunk.build(plan, str(out))
            else:
                result = parchunk.update(str(out), store_options=options)
        assert (result.present, result.missing) == (steps, 5_000 - steps)
    assert result.built == 8  # regions 2 to 9: two were full


@pytest.mark.parametrize("shards", ["expand", "whole"])
@pytest.mark.parametrize("after", [21, 48])
def test_sharded_arrays_grow(
    tmp_path: Path, published: Published, same_bits: Bits, shards: str, after: int
) -> None:
    """A shard that was partly filled is written anew by the source, with another index."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    array = root.create_array(
        "air",
        shape=(20, 6),
        chunks=(2, 3),
        shards=(8, 6),
        dtype="i4",
        dimension_names=["time", "x"],
    )
    array[...] = np.arange(120).reshape(20, 6)
    chosen = {"split": "time", "region": 8, "record_size": 8, "shards": shards}
    parchunk.build(parchunk.plan(str(source), **chosen), str(out))  # type: ignore[arg-type]
    array.resize((after, 6))
    array[20:] = np.arange(6 * (after - 20)).reshape(-1, 6)
    result = parchunk.update(str(out))
    assert result.built == len(result.plan.regions) - 2
    dataset = parchunk.open_dataset(str(out))
    same_bits(dataset["air"].values, array[...])
    assert parchunk.audit(str(out), against_source=True).findings == ()
    fresh = parchunk.plan(str(source), **chosen)  # type: ignore[arg-type]
    parchunk.build(fresh, str(tmp_path / "fresh"))
    assert published(out) == published(tmp_path / "fresh")


@pytest.mark.s3
def test_references_on_s3_are_updated(tmp_path: Path, bucket: Any) -> None:
    source, out = tmp_path / "s.zarr", f"s3://{bucket.name}/refs"
    grow(source, 13)
    plan = parchunk.plan(str(source), split="time", region=8)
    parchunk.build(plan, out, output_options=bucket.options)
    grow(source, 33)
    result = parchunk.update(out, output_options=bucket.options)
    assert (result.missing, len(result.plan.regions)) == (0, 5)
    dataset = parchunk.open_dataset(out, output_options=bucket.options)
    assert dataset["air"].shape == (33, 6)
    assert int(dataset["air"].sum()) == sum(range(33 * 6))
    keys = [found["path"] for page in bucket.store().list("refs/.parchunk") for found in page]
    assert "refs/.parchunk/previous.json" not in keys
