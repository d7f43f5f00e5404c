"""Sharded arrays that tests make, and what their references must be."""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import zarr
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
from parchunk.cover import walks
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.out.receipt_files import read_receipts
from parchunk.out.receipts import Receipt

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


def overwrite_size(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


class Changing:
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


class Breaking(Changing):
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
