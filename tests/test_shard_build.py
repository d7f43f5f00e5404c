"""Expanded sharded arrays against zarr-python: the references must read back bit for bit."""

import json
import warnings
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
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
from parchunk.build import build, load_plan
from parchunk.output import Output
from parchunk.receipts import Receipt, read_receipts

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
    if prod(grid) > 3:  # and the whole first shard, so that its object is absent
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
    output = Output.open(str(out))
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
    """Return (path, offset, size) by inner chunk number: index after index, by the specification."""
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
