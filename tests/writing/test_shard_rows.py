"""Expanded sharded arrays against zarr-python: the references must read back bit for bit."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import fsspec
import google_crc32c
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)
from zarr.storage import FsspecStore

import parchunk
from parchunk.building.build import build
from parchunk.cover import forecast, scheduling, walks
from parchunk.cover.limits import Limits
from parchunk.errors import DamagedShardError, SourceError
from parchunk.listing import shard_reading
from parchunk.listing.patience import Patience
from parchunk.metadata import shard_index
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.out.receipts import Receipt, read_receipts

# fsspec reads references through pandas and fastparquet; zarr-python warns of types beyond v3.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated"),
    pytest.mark.filterwarnings("ignore:The data type"),
]

WIDTH = walks.Width(1, 1, 1000)
LITTLE, BIG = BytesCodec(endian="little"), BytesCodec(endian="big")


@dataclass(frozen=True)
class Case:
    """A sharded array: shapes in elements, how its index is stored, which shards are written."""

    shape: tuple[int, ...]
    shards: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str = "i4"
    fill: Any = 7
    codecs: tuple[Any, ...] = (LITTLE,)
    index_codecs: tuple[Any, ...] = (LITTLE, Crc32cCodec())
    location: str = "end"
    keys: Any = None
    #: Share of inner chunks that are left at the fill value, and so are not written.
    holes: float = 0.3
    split: Any = None
    region: int | None = None
    record_size: int | None = None
    names: tuple[str, ...] | None = None


def values(case: Case, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return random elements, with whole inner chunks of the fill value."""
    random = np.random.default_rng(seed)
    grid = [-(-s // c) for s, c in zip(case.shape, case.chunks, strict=True)]
    empty = random.random(grid) < case.holes
    if case.holes and prod(grid) > 3:  # and the whole first shard, so that its object is absent
        first = tuple(slice(0, s // c) for s, c in zip(case.shards, case.chunks, strict=True))
        empty[first] = True
    for axis, size in enumerate(case.chunks):
        empty = empty.repeat(size, axis)
    empty = empty[tuple(slice(0, s) for s in case.shape)]
    dtype = np.dtype(case.dtype)
    if dtype.kind == "b":
        data = random.integers(0, 2, case.shape).astype(dtype)
    elif dtype.kind in "SU":
        data = random.integers(10, 99, case.shape).astype(dtype)
    elif dtype.kind == "c":
        data = (random.normal(size=case.shape) + 1j * random.normal(size=case.shape)).astype(dtype)
    elif dtype.kind in "Mm":
        data = random.integers(1, 10**9, case.shape).astype(dtype)
    else:
        data = (random.random(case.shape) * 100 + 8).astype(dtype)
    data[empty] = np.array(case.fill, dtype) if dtype.kind not in "Mm" else np.array(0, dtype)
    return data


def write(root: Path, case: Case, name: str = "a", seed: int = 0) -> zarr.Array[Any]:
    """Write the array as zarr-python does, one shard at a time, leaving empty ones out."""
    extra: dict[str, Any] = {}
    if case.keys:
        extra["chunk_key_encoding"] = case.keys
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(root, mode="a", zarr_format=3)
        array = group.create_array(
            name,
            shape=case.shape,
            chunks=case.shards,
            dtype=case.dtype,
            fill_value=case.fill,
            serializer=ShardingCodec(
                chunk_shape=case.chunks,
                codecs=case.codecs,
                index_codecs=case.index_codecs,
                index_location=case.location,
            ),
            filters=[],
            compressors=[],
            dimension_names=case.names,
            config={"write_empty_chunks": False},
            **extra,
        )
        array[...] = values(case, seed)
    return array


def open_references(out: Path | str, **kwargs: Any) -> zarr.Group:
    """Open with stock fsspec and zarr only."""
    references = fsspec.filesystem(
        "reference", fo=str(out), remote_protocol="file", asynchronous=True, **kwargs
    )
    return zarr.open_group(FsspecStore(references, read_only=True, path=""), mode="r")


def receipts_of(out: Path) -> list[Receipt]:
    output = open_output(str(out))
    return list(read_receipts(output, load_plan(output)).values())


def written_shards(root: Path, name: str = "a") -> list[Path]:
    return [p for p in (root / name).rglob("*") if p.is_file() and p.name != "zarr.json"]


def check(root: Path, out: Path, case: Case, name: str = "a", **options: Any) -> list[Receipt]:
    plan = parchunk.plan(
        str(root), split=case.split, region=case.region, record_size=case.record_size
    )
    result = build(plan, str(out), **options)
    source = zarr.open_group(root, mode="r")[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = open_references(out)[name]
        got, wanted = opened[...], source[...]
    assert got.dtype.newbyteorder("=") == wanted.dtype.newbyteorder("=")
    assert got.astype(wanted.dtype).tobytes() == wanted.tobytes()
    assert opened.chunks == case.chunks
    receipts = [r for r in receipts_of(out) if r.array == name]
    there = written_shards(root, name)
    grid = [-(-s // c) for s, c in zip(case.shape, case.shards, strict=True)]
    inner = [-(-s // c) for s, c in zip(case.shape, case.chunks, strict=True)]
    assert sum(r.shards_expected for r in receipts) == prod(grid)
    assert sum(r.shards_present for r in receipts) == len(there)
    assert sum(r.expected for r in receipts) == prod(inner)
    assert result.present + result.missing == result.expected
    expected = brute_force(root, case, name)
    assert sum(r.present for r in receipts) == sum(size > 0 for _, _, size in expected.values())
    assert sum(r.bytes for r in receipts) == sum(size for _, _, size in expected.values())
    assert rows_of(out, plan.record_size, name) == expected
    return receipts


def brute_force(root: Path, case: Case, name: str) -> dict[int, tuple[str, int, int]]:
    """Return (path, offset, size) by inner chunk number, one index after another."""
    inner = [-(-s // c) for s, c in zip(case.shape, case.chunks, strict=True)]
    extent = [s // c for s, c in zip(case.shards, case.chunks, strict=True)]
    document = json.loads((root / name / "zarr.json").read_bytes())
    big = case.index_codecs[0].endian in (BIG.endian,)
    encoding = document["chunk_key_encoding"]
    separator = encoding["configuration"]["separator"]
    found = {}
    for path in written_shards(root, name):
        tail = path.relative_to(root / name).as_posix()
        parts = tail.replace(".", "/").split("/")
        index = [int(p) for p in parts if p != "c"]
        assert separator in tail or len(case.shape) == 1
        data = path.read_bytes()
        length = prod(extent) * 16
        check_length = length + 4 * (len(case.index_codecs) - 1)
        start = 0 if case.location == "start" else len(data) - check_length
        pairs = np.frombuffer(data[start : start + length], ">u8" if big else "<u8").reshape(-1, 2)
        for entry, within in enumerate(np.ndindex(*extent)):
            at = [i * e + w for i, e, w in zip(index, extent, within, strict=True)]
            if any(a >= n for a, n in zip(at, inner, strict=True)):
                continue
            offset, size = (int(x) for x in pairs[entry])
            if size == 2**64 - 1:
                continue
            found[int(np.ravel_multi_index(at, inner))] = (str(path), offset, size)
    return found


def rows_of(out: Path, record_size: int, name: str) -> dict[int, tuple[str, int, int]]:
    found = {}
    for path in (out / name).glob("refs.*.parq"):
        table = pq.read_table(path)
        first = int(path.name.split(".")[1]) * record_size
        for row, (where, offset, size, raw) in enumerate(
            zip(*(table[c].to_pylist() for c in ("path", "offset", "size", "raw")), strict=True)
        ):
            assert raw is None
            if where is not None:
                found[first + row] = (where, offset, size)
            else:
                assert (offset, size) == (0, 0)
    return found


CASES = {
    "one axis": Case((100,), (20,), (5,)),
    "two axes, partial last shards": Case((37, 41), (10, 12), (5, 3), region=10, record_size=14),
    "split on axis 0": Case((40, 24), (8, 12), (2, 3), split="0", region=16),
    "split on axis 1": Case((40, 24), (8, 12), (2, 3), split="1", region=12),
    "split on axis 1, partial": Case((9, 50), (4, 8), (2, 2), split="1", region=16, record_size=1),
    "three axes": Case((6, 20, 30), (2, 8, 12), (1, 4, 3), split="0", region=2),
    "three axes, split on the last": Case((6, 20, 24), (2, 8, 12), (1, 4, 3), split="2", region=12),
    "index at start": Case((40, 24), (8, 12), (2, 3), location="start"),
    "no checksum": Case((40, 24), (8, 12), (2, 3), index_codecs=(LITTLE,)),
    "big index": Case((40, 24), (8, 12), (2, 3), index_codecs=(BIG, Crc32cCodec())),
    "big index at start, no checksum": Case(
        (40, 24), (8, 12), (2, 3), index_codecs=(BIG,), location="start"
    ),
    "dots": Case((40, 24), (8, 12), (2, 3), keys={"name": "default", "separator": "."}),
    "v2 keys": Case((40, 24), (8, 12), (2, 3), keys={"name": "v2", "separator": "."}),
    "v2 slashes": Case((40, 24), (8, 12), (2, 3), keys={"name": "v2", "separator": "/"}),
    "no holes": Case((32, 24), (8, 12), (2, 3), holes=0.0),
    "only holes": Case((32, 24), (8, 12), (2, 3), holes=1.1),
    "one inner chunk a shard": Case((32, 24), (8, 12), (8, 12)),
    "shard larger than the array": Case((5, 5), (64, 64), (2, 4)),
    "inner chunk larger than the array": Case((5, 5), (64, 64), (8, 8)),
    "gzip": Case((40, 24), (8, 12), (2, 3), codecs=(LITTLE, GzipCodec(level=1))),
    "zstd and checksum": Case(
        (40, 24), (8, 12), (2, 3), codecs=(LITTLE, ZstdCodec(level=1), Crc32cCodec())
    ),
    "blosc": Case(
        (40, 24),
        (8, 12),
        (2, 3),
        "f8",
        np.nan,
        codecs=(LITTLE, BloscCodec(cname="lz4", typesize=8)),
    ),
    "big endian": Case((40, 24), (8, 12), (2, 3), "i2", codecs=(BIG,)),
    "Fortran order": Case(
        (40, 24), (8, 12), (2, 3), codecs=(TransposeCodec(order=(1, 0)), LITTLE, ZstdCodec())
    ),
    "bool": Case((40, 24), (8, 12), (2, 3), "bool", False),
    "complex": Case((40, 24), (8, 12), (2, 3), "c16", 0j),
    "half floats": Case((40, 24), (8, 12), (2, 3), "f2", -0.0),
    "unsigned": Case((40, 24), (8, 12), (2, 3), "u8", 2**64 - 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_expanded_shards_read_back_bit_for_bit(tmp_path: Path, case: Case) -> None:
    write(tmp_path / "s.zarr", case)
    check(tmp_path / "s.zarr", tmp_path / "refs", case)


def slices_of(most: int) -> Limits:
    """Return limits with which slices have ``most`` rows at most."""
    return Limits(inner_cells=most)


def slices_seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many rows each slice has."""
    seen: list[int] = []
    read = shard_reading.ShardReader.read

    def spy(self: Any, rows: Any, shards: Any) -> Any:
        seen.append(rows.cells)
        return read(self, rows, shards)

    monkeypatch.setattr(shard_reading.ShardReader, "read", spy)
    return seen


@pytest.mark.parametrize(("split", "record_size"), [("0", 10), ("1", 16), ("2", 4)])
@pytest.mark.parametrize("most", [7, 30, 130])
def test_slices_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str, record_size: int, most: int
) -> None:
    case = Case((13, 20, 22), (4, 8, 12), (2, 2, 3), split=split, record_size=record_size)
    case = replace(case, region=case.shards[int(split)])
    write(tmp_path / "s.zarr", case)
    seen = slices_seen(monkeypatch)
    limits = slices_of(most)
    receipts = check(tmp_path / "s.zarr", tmp_path / "refs", case, limits=limits)
    assert max(seen) <= max(most, record_size)
    assert len(seen) > len(receipts)
    plan = load_plan(open_output(str(tmp_path / "refs")))
    made = scheduling.make_jobs(plan, plan.partitions(), 10**6, WIDTH, limits=limits)
    cost = forecast.forecast_jobs(plan, made)
    assert cost.shards == sum(r.shards_expected for r in receipts)
    assert sum(r.index_requests for r in receipts) <= cost.gets


def test_each_index_is_read_once_when_slices_can_end_between_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case((64, 24), (8, 12), (2, 3), holes=0.0, split="0", region=32, record_size=16)
    write(tmp_path / "s.zarr", case)
    seen = slices_seen(monkeypatch)
    receipts = check(tmp_path / "s.zarr", tmp_path / "refs", case, limits=slices_of(70))
    assert seen == [64] * 4
    assert [r.index_requests for r in receipts] == [r.shards_present for r in receipts] == [8, 8]


@pytest.mark.parametrize("workers", [1, 2])
def test_regions_resume_and_equal_an_undisturbed_build(tmp_path: Path, workers: int) -> None:
    case = Case((40, 24), (8, 12), (2, 3), split="0", region=8)
    write(tmp_path / "s.zarr", case)
    check(tmp_path / "s.zarr", tmp_path / "whole", case)
    check(tmp_path / "s.zarr", tmp_path / "refs", case, workers=workers, concurrency=4)
    wanted = {p.name: p.read_bytes() for p in (tmp_path / "whole" / "a").iterdir()}
    for name in ("1.json", "3.json"):
        (tmp_path / "refs/.parchunk/receipts/a" / name).unlink()
    for name in ("refs.0.parq", "refs.1.parq"):
        (tmp_path / "refs/a" / name).unlink(missing_ok=True)
    (tmp_path / "refs/.parchunk/receipts/a/0.json").unlink()
    plan = parchunk.plan(str(tmp_path / "s.zarr"), split="0", region=8)
    result = build(plan, str(tmp_path / "refs"), workers=workers)
    assert result.built == 3
    assert {p.name: p.read_bytes() for p in (tmp_path / "refs/a").iterdir()} == wanted


def test_absent_shards_are_told_from_empty_entries(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3))
    root = tmp_path / "s.zarr"
    array = write(root, case)
    data = array[...]
    data[:] = 9
    data[8:10, 0:3] = 7  # one inner chunk of the fill value
    array[...] = data
    (root / "a/c/2/1").unlink()
    (root / "a/c/4/0").write_bytes(b"")
    plan = parchunk.plan(str(root))
    result = build(plan, str(tmp_path / "refs"))
    (receipt,) = result.receipts
    assert (receipt.shards_expected, receipt.shards_present) == (10, 8)
    assert (receipt.expected, receipt.missing, receipt.empty_entries) == (160, 33, 1)
    assert receipt.zero_sized == 16
    assert receipt.index_requests == 8
    data[16:24, 12:] = 7
    data[32:, :12] = 7
    assert (open_references(tmp_path / "refs")["a"][...] == data).all()


def test_small_inner_chunks_are_inlined(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), codecs=(LITTLE, ZstdCodec(level=1)))
    root = tmp_path / "s.zarr"
    array = write(root, case)
    data = array[...]
    data[:, :12] = np.arange(40)[:, None] // 2 + 100
    array[...] = data
    sizes = [size for _, _, size in brute_force(root, case, "a").values()]
    threshold = sorted(sizes)[len(sizes) // 2]
    plan = parchunk.plan(str(root), inline_threshold=threshold)
    result = build(plan, str(tmp_path / "refs"))
    inlined = sum(r.inlined for r in result.receipts)
    assert inlined == sum(size <= threshold for size in sizes) > 0
    assert inlined < len(sizes)
    for path in sorted((tmp_path / "refs/a").glob("refs.*.parq")):
        for row in pq.read_table(path).to_pylist():
            if row["raw"] is not None:
                assert (row["path"], row["offset"], row["size"]) == (None, 0, 0)
    assert open_references(tmp_path / "refs")["a"][...].tobytes() == array[...].tobytes()


def test_strays_among_shards_are_reported(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0)
    write(tmp_path / "s.zarr", case)
    (tmp_path / "s.zarr/a/c/5").mkdir()
    (tmp_path / "s.zarr/a/c/0/0.partial").write_bytes(b"x")
    (tmp_path / "s.zarr/a/c/5/0").write_bytes(b"x")
    result = build(parchunk.plan(str(tmp_path / "s.zarr")), str(tmp_path / "refs"))
    assert result.strays == 2
    assert result.missing == 0


def overwrite(path: Path, at: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    begin = at if at >= 0 else len(content) + at
    content[begin : begin + len(data)] = data
    path.write_bytes(bytes(content))


PAST = (10**6).to_bytes(8, "little")
HUGE = (2**64 - 2).to_bytes(8, "little")
DAMAGE: dict[str, tuple[bool, Callable[[Path], object], str]] = {
    "a wrong checksum": (
        True,
        lambda p: overwrite(p, -1, bytes([p.read_bytes()[-1] ^ 1])),
        "checksum",
    ),
    "a flipped bit": (True, lambda p: overwrite(p, -100, b"\x5a\x5a"), "checksum"),
    "an offset past the end": (False, lambda p: overwrite(p, -16, PAST), "past the shard's end"),
    "a size past the end": (False, lambda p: overwrite(p, -8, PAST), "past the shard's end"),
    "a size that overflows": (False, lambda p: overwrite(p, -8, HUGE), "past the shard's end"),
    "an offset that overflows": (False, lambda p: overwrite(p, -16, HUGE), "past the shard's end"),
    "half an empty entry": (
        False,
        lambda p: overwrite(p, -16, b"\xff" * 8),
        "past the shard's end",
    ),
    "cut short": (True, lambda p: p.write_bytes(p.read_bytes()[:100]), "fewer than its index"),
    "cut by a byte": (True, lambda p: p.write_bytes(p.read_bytes()[:-1]), "checksum"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_names_the_shard_and_publishes_nothing(tmp_path: Path, kind: str) -> None:
    checksum, damage, reason = DAMAGE[kind]
    codecs = (LITTLE, Crc32cCodec()) if checksum else (LITTLE,)
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0, index_codecs=codecs)
    write(tmp_path / "s.zarr", case)
    damage(tmp_path / "s.zarr/a/c/3/1")
    with pytest.raises(DamagedShardError, match=r"a/c/3/1 is damaged: ") as caught:
        build(parchunk.plan(str(tmp_path / "s.zarr")), str(tmp_path / "refs"))
    assert reason in str(caught.value)
    assert isinstance(caught.value, SourceError)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "refs/.zmetadata").exists()
    write(tmp_path / "t.zarr", case)
    (tmp_path / "s.zarr/a/c/3/1").write_bytes((tmp_path / "t.zarr/a/c/3/1").read_bytes())
    build(parchunk.plan(str(tmp_path / "s.zarr")), str(tmp_path / "refs"))
    assert (tmp_path / "refs/.zmetadata").exists()


def test_shards_that_change_after_they_were_listed_end_the_build(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0)
    root = tmp_path / "s.zarr"
    write(root, case)
    plan = parchunk.plan(str(root))
    assert plan.source is not None
    for change, said in (
        (lambda: overwrite_size(root / "a/c/3/1"), "bytes and has"),
        (lambda: (root / "a/c/3/1").unlink(), "is gone now"),
    ):
        store = _Changing(plan.source.store, change)
        changed = replace(plan, source=replace(plan.source, store=store))
        with pytest.raises(SourceError, match=said):
            build(changed, str(tmp_path / "refs"))


def overwrite_size(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


class _Changing:
    """A store on which something happens before the first ranged read."""

    def __init__(self, store: Any, change: Callable[[], object]) -> None:
        self._store = store
        self._change: Callable[[], object] | None = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get(self, path: str, *, options: Any = None) -> Any:
        if options and self._change:
            change, self._change = self._change, None
            change()
        return self._store.get(path, options=options) if options else self._store.get(path)


class _Breaking(_Changing):
    """A store of which every third ranged read breaks."""

    def __init__(self, store: Any) -> None:
        super().__init__(store, lambda: None)
        self.reads = 0

    def get(self, path: str, *, options: Any = None) -> Any:
        if options:
            self.reads += 1
            if self.reads % 3 == 0:
                raise OSError("error decoding response body")
        return super().get(path, options=options)


def memory_source(root: Path) -> parchunk.Source:
    store = MemoryStore()
    for path in root.rglob("*"):
        if path.is_file():
            store.put(path.relative_to(root).as_posix(), path.read_bytes())
    return parchunk.Source(store, url=str(root))


def test_ordered_stores_give_the_same_bytes(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), split="0", region=16)
    write(tmp_path / "s.zarr", case)
    check(tmp_path / "s.zarr", tmp_path / "local", case)
    plan = parchunk.plan(memory_source(tmp_path / "s.zarr"), split="0", region=16)
    build(plan, str(tmp_path / "memory"))
    for path in (tmp_path / "local/a").iterdir():
        assert path.read_bytes() == (tmp_path / "memory/a" / path.name).read_bytes()


def test_broken_reads_are_tried_again(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0)
    write(tmp_path / "s.zarr", case)
    plan = parchunk.plan(str(tmp_path / "s.zarr"))
    assert plan.source is not None
    store = _Breaking(plan.source.store)
    broken = replace(plan, source=replace(plan.source, store=store))
    patience = Patience(first_wait=0.001)
    result = build(broken, str(tmp_path / "refs"), patience=patience)
    assert result.missing == 0
    assert result.retries > 0
    assert result.receipts[0].index_requests > 10


def test_sharded_and_plain_arrays_side_by_side(tmp_path: Path) -> None:
    root = tmp_path / "s.zarr"
    case = Case((48, 24), (8, 12), (2, 3), names=("time", "x"))
    write(root, case, "sharded")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(root, mode="a")
        plain = group.create_array(
            "plain", shape=(48, 24), chunks=(4, 24), dtype="f4", dimension_names=("time", "x")
        )
        plain[...] = np.random.default_rng(0).random((48, 24))
        time = group.create_array(
            "time", shape=(48,), chunks=(48,), dtype="i8", dimension_names=("time",)
        )
        time[...] = np.arange(48)
    plan = parchunk.plan(str(root), split="time", region=16, record_size=4)
    build(plan, str(tmp_path / "refs"))
    opened = open_references(tmp_path / "refs")
    for name in ("sharded", "plain", "time"):
        assert opened[name][...].tobytes() == group[name][...].tobytes()
    assert [r.index for r in plan.regions] == [0, 1, 2]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a sharded array's metadata at random, all of it."""
    rank = draw(st.integers(1, 3))
    chunks = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    shards = tuple(chunk * draw(st.integers(1, 3)) for chunk in chunks)
    shape = tuple(draw(st.integers(1, 12)) for _ in range(rank))
    axis = draw(st.integers(0, rank - 1))
    serializer = draw(st.sampled_from([LITTLE, BIG]))
    order = draw(st.sampled_from([(), (TransposeCodec(order=tuple(range(rank))[::-1]),)]))
    after = draw(
        st.sampled_from(
            [
                (),
                (ZstdCodec(level=1),),
                (GzipCodec(level=1),),
                (Crc32cCodec(),),
                (BloscCodec(cname="lz4", typesize=2), Crc32cCodec()),
            ]
        )
    )
    dtype, fill = draw(
        st.sampled_from(
            [
                ("bool", True),
                ("i1", -1),
                ("u2", 65535),
                ("i4", 0),
                ("u8", 2**64 - 1),
                ("f2", -0.0),
                ("f4", np.nan),
                ("f8", np.inf),
                ("c8", 0j),
                ("U3", "x"),
                ("M8[s]", 0),
            ]
        )
    )
    separator, encoding = draw(st.sampled_from("./")), draw(st.sampled_from(["default", "v2"]))
    return Case(
        shape=shape,
        shards=shards,
        chunks=chunks,
        dtype=dtype,
        fill=np.datetime64(0, "s") if dtype == "M8[s]" else fill,
        codecs=(*order, serializer, *after),
        index_codecs=draw(
            st.sampled_from([(LITTLE,), (BIG,), (LITTLE, Crc32cCodec()), (BIG, Crc32cCodec())])
        ),
        location=draw(st.sampled_from(["start", "end"])),
        keys={"name": encoding, "separator": separator},
        holes=draw(st.sampled_from([0.0, 0.4, 1.1])),
        split=str(axis),
        region=shards[axis] * draw(st.integers(1, 2)),
    )


@given(cases())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_any_sharded_array_reads_back_or_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    root = tmp_path_factory.mktemp("random")
    write(root / "s.zarr", case)
    check(root / "s.zarr", root / "refs", case)


@pytest.mark.s3
def test_shards_on_s3_are_expanded_with_ranged_requests(tmp_path: Path, bucket: Any) -> None:
    case = Case((40, 24), (8, 12), (2, 3), split="time", region=16, names=("time", "x"))
    root = tmp_path / "s.zarr"
    array = write(root, case)
    bucket.upload(root, "data/s.zarr")
    url, options = f"s3://{bucket.name}/data/s.zarr", bucket.options
    plan = parchunk.plan(url, split="time", region=16, store_options=options)
    result = build(plan, str(tmp_path / "refs"))
    assert result.gets == result.shards_present == len(written_shards(root))
    with parchunk.open_dataset(str(tmp_path / "refs"), store_options=options) as opened:
        assert "a" in opened
        assert opened["a"].values.tobytes() == array[...].tobytes()


# Indexes so long that they are read part by part


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read indexes by three entries at a time."""
    in_parts(monkeypatch)


def in_parts(monkeypatch: pytest.MonkeyPatch, entries: int = 3) -> None:
    monkeypatch.setattr(shard_index, "PART_BYTES", 16 * entries)
    monkeypatch.setattr(shard_reading, "PART_BYTES", 16 * entries)
    monkeypatch.setattr(shard_reading, "_PART_ENTRIES", entries)


@settings(max_examples=40, deadline=None)
@given(case=cases(), entries=st.integers(1, 9))
def test_long_indexes_read_back_alike(
    tmp_path_factory: pytest.TempPathFactory, case: Case, entries: int
) -> None:
    root = tmp_path_factory.mktemp("parts")
    write(root / "s.zarr", case)
    with pytest.MonkeyPatch.context() as patched:
        in_parts(patched, entries)
        check(root / "s.zarr", root / "refs", case)


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_of_long_indexes_is_told(tmp_path: Path, kind: str) -> None:
    checksum, damage, reason = DAMAGE[kind]
    codecs = (LITTLE, Crc32cCodec()) if checksum else (LITTLE,)
    write(tmp_path / "s.zarr", Case((40, 24), (8, 12), (2, 3), holes=0.0, index_codecs=codecs))
    damage(tmp_path / "s.zarr/a/c/3/1")
    with pytest.raises(DamagedShardError, match=r"a/c/3/1 is damaged: ") as caught:
        build(parchunk.plan(str(tmp_path / "s.zarr")), str(tmp_path / "refs"))
    # An entry may be seen to be absurd before the checksum after all of them is.
    assert reason in str(caught.value) or "past the shard's end" in str(caught.value)
    assert not (tmp_path / "refs/.zmetadata").exists()


@pytest.mark.usefixtures("short_parts")
def test_the_requests_for_long_indexes_are_forecast(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0)
    write(tmp_path / "s.zarr", case)
    plan = parchunk.plan(str(tmp_path / "s.zarr"))
    jobs = scheduling.make_jobs(plan, plan.partitions(), 10**6, WIDTH)
    cost = forecast.forecast_jobs(plan, jobs)
    # 16 entries and a checksum, three entries a request
    assert cost.gets == 6 * cost.shards == 60
    assert build(plan, str(tmp_path / "refs")).gets == cost.gets


@pytest.mark.usefixtures("short_parts")
def test_a_shard_that_is_replaced_between_the_parts_of_its_index_is_not_taken(
    tmp_path: Path,
) -> None:
    case = Case((40, 24), (40, 24), (2, 3), holes=0.0)
    root = tmp_path / "s.zarr"
    write(root, case)
    plan = parchunk.plan(str(root))
    assert plan.source is not None
    reads = 0

    def replaced() -> None:
        data = (root / "a/c/0/0").read_bytes()
        (root / "a/c/0/0.new").write_bytes(data)
        (root / "a/c/0/0.new").replace(root / "a/c/0/0")

    class Later(_Changing):
        def get(self, path: str, *, options: Any = None) -> Any:
            nonlocal reads
            reads += bool(options)
            if options and reads < 4:
                return self._store.get(path, options=options)
            return super().get(path, options=options)

    changed = replace(plan, source=replace(plan.source, store=Later(plan.source.store, replaced)))
    with pytest.raises(SourceError, match="a/c/0/0 changed while it was read"):
        build(changed, str(tmp_path / "refs"))
    assert not (tmp_path / "refs/.zmetadata").exists()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_shards_of_millions_of_inner_chunks_stay_within_the_bound(tmp_path: Path) -> None:
    count = 8_000_000
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    root.create_array(
        "a", shape=(count,), chunks=(1,), shards=(count,), dtype="u1", compressors=None
    )
    entries = np.ones((count, 2), "<u8")
    entries[:, 0] = np.arange(count)
    index = entries.tobytes()
    shard = tmp_path / "s.zarr/a/c/0"
    shard.parent.mkdir()
    checksum = google_crc32c.value(index).to_bytes(4, "little")
    shard.write_bytes(bytes(count) + index + checksum)
    write(tmp_path / "small.zarr", Case((40, 24), (8, 12), (2, 3)))
    arguments = [str(tmp_path / name) for name in ("small.zarr", "s.zarr", "small", "refs")]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments], check=True, capture_output=True, text=True
    )
    present, peak = map(int, done.stdout.split())
    assert present == count
    assert peak < 160 << 20


PEAK = """
import sys
import parchunk

def status(name):
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith(name)).split()[1]) << 10

small, large, small_out, out = sys.argv[1:]
parchunk.build(parchunk.plan(small), small_out)  # imports
before = status("VmRSS")
print(parchunk.build(parchunk.plan(large), out, memory=160 << 20).present)
print(status("VmHWM") - before)
"""
