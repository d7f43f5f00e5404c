"""One build's bytes, however it is cut, begun, resumed or replaced."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zarr
from obstore.store import MemoryStore
from tests.made import chunk_files

import parchunk
from parchunk.building import doing
from parchunk.cover.limits import Limits
from parchunk.errors import OutputError
from parchunk.out.opening import open_output
from parchunk.out.receipt_files import read_receipts

#: The module: its name in the package is the function's.


Reader = Callable[..., zarr.Group]
Bits = Callable[[Any, Any], None]
Published = Callable[[Path], dict[str, bytes]]

pytestmark = pytest.mark.usefixtures("quiet_zarr")


@pytest.fixture(scope="module")
def grid_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,201 chunks in three arrays, some missing, with keys of several lengths. Not to be changed.

    The chunks are written by hand: a byte each.
    """
    source = tmp_path_factory.mktemp("grid") / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    random = np.random.default_rng(3)
    for name, shape in {"v": (24, 4, 10), "w": (24, 10), "time": (24,)}.items():
        root.create_array(
            name,
            shape=shape,
            chunks=(1,) * len(shape) if name != "time" else (24,),
            dtype="u1",
            compressors=None,
            dimension_names={1: ["time"], 2: ["time", "x"], 3: ["time", "y", "x"]}[len(shape)],
        )
        if name == "time":
            root[name][...] = random.integers(1, 99, shape)
            continue
        for index in np.ndindex(shape):
            path = source / name / "c" / "/".join(map(str, index))
            path.parent.mkdir(parents=True, exist_ok=True)
            if random.random() > 0.2:
                path.write_bytes(b"%c" % random.integers(1, 255))
    return source


@pytest.mark.parametrize("split", ["time", "y", "x"])
def test_slices_and_jobs_give_the_same_bytes(
    grid_store: Path,
    tmp_path: Path,
    published: Published,
    split: str,
) -> None:
    length = {"time": 8, "y": 2, "x": 5}[split]
    plan = parchunk.plan(str(grid_store), split=split, region=length)
    parchunk.build(plan, str(tmp_path / "whole"))
    wanted = published(tmp_path / "whole")
    for most in (1, 17, 333):
        out = tmp_path / f"most{most}"
        parchunk.build(plan, str(out), limits=Limits(most_held=most))
        assert published(out) == wanted


@pytest.mark.parametrize("split", ["time", "y", "x"])
@pytest.mark.parametrize("units", [7, 60])
def test_units_of_any_size_give_the_same_bytes(
    grid_store: Path,
    tmp_path: Path,
    published: Published,
    split: str,
    units: int,
) -> None:
    # Walked in text order, as on S3, so that units are written and given back one by one.
    objects = MemoryStore()
    for path in grid_store.rglob("*"):
        if path.is_file():
            key = path.relative_to(grid_store).as_posix()
            objects.put(f"s.zarr/{key}", path.read_bytes())
    source = parchunk.Source(objects, "s.zarr", url=str(grid_store))
    plan = parchunk.plan(source, split=split, region={"time": 8, "y": 2, "x": 5}[split])
    parchunk.build(plan, str(tmp_path / "whole"))
    small = Limits(unit_chunks=units)
    parchunk.build(plan, str(tmp_path / "units"), limits=small)
    assert published(tmp_path / "units") == published(tmp_path / "whole")


@pytest.mark.parametrize("record_size", [3, 7, 64, 400, 10_000])
def test_every_record_size_reads_alike(
    grid_store: Path,
    tmp_path: Path,
    open_references: Reader,
    same_bits: Bits,
    record_size: int,
) -> None:
    """On axis 0 any record size will do: a file belongs to the region of its first row."""
    plan = parchunk.plan(str(grid_store), split="time", region=7, record_size=record_size)
    little = Limits(most_held=300)
    parchunk.build(plan, str(tmp_path / "refs"), limits=little)
    opened, original = open_references(tmp_path / "refs"), zarr.open_group(grid_store, mode="r")
    for name in ("v", "w", "time"):
        same_bits(opened[name][...], original[name][...])


def test_what_no_job_did_is_not_published(
    grid_store: Path, tmp_path: Path, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = parchunk.plan(str(grid_store), split="time", region=4)
    ready = doing.ready_jobs

    def losing(*arguments: Any) -> Any:
        return [one for one in ready(*arguments) if one.owned[0].partition.array != "w"]

    with monkeypatch.context() as patched:
        patched.setattr(doing, "ready_jobs", losing)
        with pytest.raises(OutputError, match=r"6 partitions .*\(w, region 0\) came to no end"):
            parchunk.build(plan, str(tmp_path / "refs"))
    assert not (tmp_path / "refs/.zmetadata").exists()
    assert parchunk.build(plan, str(tmp_path / "refs")).built == 6
    parchunk.build(plan, str(tmp_path / "whole"))
    assert published(tmp_path / "refs") == published(tmp_path / "whole")


def test_a_build_goes_on_where_it_was(
    grid_store: Path, tmp_path: Path, published: Published, tree: Any
) -> None:
    plan = parchunk.plan(str(grid_store), split="time", region=4)
    out = tmp_path / "refs"
    first = parchunk.build(plan, str(out))
    assert first.built == len(first.receipts)
    wanted, before = published(out), tree(out)
    again = parchunk.build(plan, str(out))
    assert again.built == 0
    assert tree(out) == before
    assert (again.present, again.missing, again.bytes) == (
        first.present,
        first.missing,
        first.bytes,
    )

    # Receipts are what says that a partition is done: without some, those are built again.
    (out / ".zmetadata").unlink()
    receipts = sorted((out / ".parchunk" / "receipts" / "v").iterdir())
    for receipt in receipts[::2]:
        receipt.unlink()
    for file in (out / "v").iterdir():
        if file.name in ("refs.0.parq",):
            file.unlink()
    resumed = parchunk.build(plan, str(out))
    assert resumed.built == len(receipts[::2])
    assert published(out) == wanted


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"null", b"5", b'{"parchunk_receipt": 1}', b"\xff\xfe"]
)
def test_a_damaged_receipt_counts_as_none(
    grid_store: Path, tmp_path: Path, published: Published, damage: bytes
) -> None:
    plan = parchunk.plan(str(grid_store), split="time", region=12)
    out = tmp_path / "refs"
    parchunk.build(plan, str(out))
    wanted = published(out)
    (out / ".parchunk" / "receipts" / "w" / "1.json").write_bytes(damage)
    again = parchunk.build(plan, str(out))
    assert again.built == 1
    assert published(out) == wanted


def test_a_receipt_of_another_plan_counts_as_none(grid_store: Path, tmp_path: Path) -> None:
    plan = parchunk.plan(str(grid_store), split="time", region=12)
    out = tmp_path / "refs"
    parchunk.build(plan, str(out))
    receipt = out / ".parchunk" / "receipts" / "w" / "1.json"
    receipt.write_text(receipt.read_text().replace(plan.fingerprint, "0" * 64))
    assert parchunk.build(plan, str(out)).built == 1


def test_receipts_account_for_every_file(grid_store: Path, tmp_path: Path) -> None:
    from parchunk.out.record_files import digest

    plan = parchunk.plan(str(grid_store), split="y", region=2, record_size=10)
    out = tmp_path / "refs"
    result = parchunk.build(plan, str(out))
    receipts = read_receipts(open_output(str(out)), plan)
    assert len(receipts) == len(list(plan.partitions())) == len(result.receipts)
    seen = []
    for receipt in receipts.values():
        assert receipt.fingerprint == plan.fingerprint
        assert receipt.present + receipt.missing == receipt.expected
        assert receipt.present == sum(f.present for f in receipt.record_files)
        for file in receipt.record_files:
            path = out / receipt.array / f"refs.{file.index}.parq"
            assert file.bytes == path.stat().st_size
            assert file.digest == digest(path.read_bytes())
            table = pq.read_table(path)
            assert file.rows == table.num_rows
            there = pc.or_(table["path"].is_valid(), table["raw"].is_valid())
            assert file.present == (pc.sum(there).as_py() or 0)
            seen.append(path)
    assert sorted(seen) == sorted(out.rglob("*.parq"))
    newest = max(file.stat().st_mtime_ns // 1000 for file in chunk_files(grid_store))
    assert max(r.last_modified or 0 for r in receipts.values()) == newest


def test_equal_sources_give_equal_bytes_from_memory_and_disk(
    grid_store: Path, tmp_path: Path, published: Published
) -> None:
    """A MemoryStore lists in order and is walked, a local folder is not and is drained."""
    memory = MemoryStore()
    for file in grid_store.rglob("*"):
        if file.is_file():
            memory.put(f"deep/s.zarr/{file.relative_to(grid_store).as_posix()}", file.read_bytes())
    source = parchunk.Source(memory, "deep/s.zarr", grid_store.as_posix())
    wanted = None
    for split, region in (("time", 7), ("time", 24), ("y", 2), ("x", 5)):
        one, other = tmp_path / f"m{split}{region}", tmp_path / f"d{split}{region}"
        options = {"split": split, "region": region}
        walked = parchunk.build(parchunk.plan(source, **options), str(one))
        drained = parchunk.build(parchunk.plan(str(grid_store), **options), str(other))
        assert published(one) == published(other)
        assert walked.present == drained.present
        assert walked.missing == drained.missing
        wanted = wanted or walked.present
        assert walked.present == wanted
        assert all(r.ordered for r in walked.receipts if r.expected)
        assert not any(r.ordered for r in drained.receipts if r.expected)


def test_inlined_chunks_need_no_source(
    grid_store: Path, tmp_path: Path, open_references: Reader, same_bits: Bits
) -> None:
    source = shutil.copytree(grid_store, tmp_path / "s.zarr")
    plan = parchunk.plan(
        str(source), split="time", region=12, inline_threshold=1, inline_coordinates=False
    )
    result = parchunk.build(plan, str(tmp_path / "refs"))
    inlined = {r.array: r.inlined for r in result.receipts}
    assert inlined["time"] == 0
    assert sum(r.inlined for r in result.receipts) == result.present - 1
    kept = zarr.open_group(source, mode="r")
    wanted = {name: kept[name][...] for name in ("v", "w")}
    shutil.rmtree(source)
    opened = open_references(tmp_path / "refs")
    for name, values in wanted.items():
        same_bits(opened[name][...], values)


# Edges that real stores have


def test_overwrite_leaves_nothing_of_the_old_build(tmp_path: Path, tree: Any) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    root.create_array("t", shape=(60,), chunks=(1,), dtype="i4")[...] = 1
    root.create_array("g/u", shape=(60,), chunks=(1,), dtype="i4")[...] = 1
    parchunk.build(parchunk.plan(str(source), region=10, record_size=10), str(out))
    assert (out / "t" / "refs.5.parq").exists()
    (out / "notes.txt").write_text("mine")
    (out / "t" / "mine.parq").write_text("mine")
    plan = parchunk.plan(str(source), region=60, record_size=60, include=["t"])
    with pytest.raises(parchunk.InputError, match="another plan"):
        parchunk.build(plan, str(out))
    assert (out / "t" / "refs.5.parq").exists()
    parchunk.build(plan, str(out), overwrite=True)
    assert sorted(path for path in tree(out) if not path.startswith(".parchunk")) == [
        ".zmetadata",
        "notes.txt",
        "t",
        "t/mine.parq",
        "t/refs.0.parq",
    ]


def test_a_chunk_that_changes_before_it_is_inlined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    root.create_array("t", shape=(6,), chunks=(1,), dtype="i4", compressors=None)[...] = 1
    monkeypatch.setattr(parchunk.Source, "get", _without(parchunk.Source.get, "t/3"))
    with pytest.raises(parchunk.SourceError, match=r"t/3 was listed with 4 bytes and now is gone"):
        parchunk.build(parchunk.plan(str(source), inline_threshold=4), str(tmp_path / "refs"))
    assert not (tmp_path / "refs" / ".zmetadata").exists()


def _without(get: Any, gone: str) -> Any:
    return lambda self, key: None if key == gone else get(self, key)
