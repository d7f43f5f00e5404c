"""Kinds of arrays, each a small store that zarr-python writes: the rows of readers.md."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec

SHAPE, CHUNKS = (6, 10), (2, 5)
NUMBERS = (
    *("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"),
    *("f2", "f4", "f8", "c8", "c16"),
)


@dataclass(frozen=True)
class Row:
    """One kind of array: its label, its Zarr format, its data, and how it is written."""

    label: str
    zarr_format: int
    data: Any
    options: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    missing: bool = False

    def write(self, root: Path) -> None:
        """Write the array ``a`` of dimensions y and x."""
        data = np.asarray(self.data)
        names = [f"dim{axis}" for axis in range(data.ndim)]
        options: dict[str, Any] = {"shape": data.shape, "chunks": CHUNKS, "dtype": data.dtype}
        options |= self.options
        if self.zarr_format == 3:
            options["dimension_names"] = names
        else:
            options["attributes"] = {"_ARRAY_DIMENSIONS": names}
        group = zarr.open_group(root, mode="w", zarr_format=self.zarr_format)
        array = group.create_array("a", config={"write_empty_chunks": True}, **options)
        array[...] = data
        if self.missing:
            first = "c/0/0" if self.zarr_format == 3 else "0.0"
            (root / "a" / first).unlink()


def numbers(dtype: str) -> Any:
    """Return rising numbers of a data type, no two chunks alike."""
    return np.arange(60).reshape(SHAPE).astype(dtype)


def masked(dtype: str, value: float) -> Any:
    """Return numbers of which some are what a mask says, and some zero."""
    data = numbers(dtype)
    data[3:, ::3] = value
    data[3:, 1::3] = 0
    return data


def encoded(value: float, dtype: str) -> str:
    """Return a float's ``_FillValue`` as xarray writes it into Zarr v3."""
    return base64.b64encode(struct.pack("<d", np.dtype(dtype).type(value))).decode()


def rows() -> list[Row]:
    """Return every kind of array, in the order of the table."""
    found = []
    for zarr_format in (2, 3):
        for dtype in NUMBERS:
            found.append(Row(f"`{dtype}`", zarr_format, numbers(dtype)))
        found += [
            Row("`datetime64[ns]`", zarr_format, numbers("i8").astype("M8[ns]")),
            Row("`timedelta64[s]`", zarr_format, numbers("i8").astype("m8[s]")),
            Row("`S4`", zarr_format, numbers("i4").astype("S4")),
            Row("`U4`", zarr_format, numbers("i4").astype("U4")),
            Row(
                "variable-length text",
                zarr_format,
                numbers("i4").astype("U4").astype(object),
                {"dtype": "string" if zarr_format == 3 else str},
            ),
            Row(
                "structured",
                zarr_format,
                np.array([(i, i / 2) for i in range(60)], "i4,f8").reshape(SHAPE),
                {"fill_value": np.zeros((), "i4,f8")[()]},
            ),
        ]
    f4, i4 = numbers("f4"), numbers("i4")
    little, big = BytesCodec(endian="little"), BytesCodec(endian="big")
    turned = {"filters": [TransposeCodec(order=(1, 0))]}
    none: dict[str, Any] = {"filters": [], "compressors": []}

    def shards(**changes: Any) -> dict[str, Any]:
        settings = {"chunk_shape": (2, 5), "codecs": (little,), **changes}
        return {**none, "chunks": (4, 5), "serializer": ShardingCodec(**settings)}

    found += [
        Row("big-endian `i4`", 2, numbers(">i4")),
        Row("big-endian `f4`", 3, f4, {"serializer": big}),
        Row("F order", 2, f4, {"order": "F"}),
        Row("F order (transpose)", 3, f4, turned),
        Row("no compressor", 2, f4, {"compressors": None}),
        Row("zlib", 2, f4, {"compressors": numcodecs.Zlib()}),
        Row("gzip", 3, f4, {"compressors": GzipCodec()}),
        Row("blosc, shuffled", 2, f4, {"compressors": numcodecs.Blosc("lz4", shuffle=1)}),
        Row("blosc", 3, f4, {"compressors": zarr.codecs.BloscCodec(cname="lz4", typesize=4)}),
        Row("checksum (crc32c)", 3, f4, {"compressors": [Crc32cCodec()]}),
        Row("delta filter", 2, i4, {"filters": [numcodecs.Delta("<i4")]}),
        Row("shuffle filter", 2, i4, {"filters": [numcodecs.Shuffle(4)]}),
        Row("fill value null, nothing missing", 2, f4, {"fill_value": None}),
        Row("fill value NaN, a chunk missing", 2, f4, {"fill_value": np.nan}, missing=True),
        Row("fill value NaN, a chunk missing", 3, f4, {"fill_value": np.nan}, missing=True),
        Row("fill value infinite, a chunk missing", 2, f4, {"fill_value": np.inf}, missing=True),
        Row("fill value 0, a chunk missing", 2, f4, {"fill_value": 0}, missing=True),
        Row("fill value 0, a chunk missing", 3, f4, {"fill_value": 0}, missing=True),
        Row("fill value 2^64-1, a chunk missing", 3, numbers("u8"), {"fill_value": 2**64 - 1},
            missing=True),
        Row("`_FillValue` -9999.9, fill value NaN, a chunk missing", 3, masked("f4", -9999.9),
            {"fill_value": np.nan, "attributes": {"_FillValue": encoded(-9999.9, "f4")}},
            missing=True),
        Row("packed, `_FillValue` -32768, fill value 0, a chunk missing", 3, masked("i2", -32768),
            {"fill_value": 0, "attributes": {"_FillValue": -32768, "scale_factor": 0.1}},
            missing=True),
        Row("packed, `_FillValue` -32768, fill value 5, a chunk missing", 3, masked("i2", -32768),
            {"fill_value": 5, "attributes": {"_FillValue": -32768, "scale_factor": 0.1}},
            missing=True),
        Row("uneven last chunks", 3, f4, {"chunks": (4, 4)}),
        Row("chunks larger than the array", 3, f4, {"chunks": (64, 64)}),
        Row("scalar", 2, np.float32(3.5), {"chunks": ()}),
        Row("scalar", 3, np.float32(3.5), {"chunks": ()}),
        Row("zero-length", 3, np.empty((0, 10), "f4")),
        Row("sharded, expanded", 3, f4, shards()),
        Row("sharded, index at the start, big-endian", 3, f4,
            shards(index_location="start", index_codecs=(big, Crc32cCodec()))),
        Row("sharded, compressed within", 3, f4, shards(codecs=(little, GzipCodec()))),
        Row("sharded, F order within", 3, f4,
            shards(codecs=(TransposeCodec(order=(1, 0)), little))),
        Row("sharded, `--shards whole`", 3, f4, shards(), {"shards": "whole"}),
        Row("plain, `--format v3`", 3, f4, {}, {"zarr_format": 3}),
    ]  # fmt: skip
    return found
