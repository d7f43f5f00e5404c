"""Documents that writers have written and zarr-python would not: tables for the tests.

Each entry changes a plain document of a one-dimensional array; None among ``ABSENT`` fields is a
field left out. Some are read by zarr-python, some only by parchunk, most by nobody.
"""

from __future__ import annotations

import copy
from typing import Any

ABSENT = "(absent)"
JSON = dict[str, Any]

PLAIN_V2: JSON = {
    "zarr_format": 2,
    "shape": [10],
    "chunks": [5],
    "dtype": "<f4",
    "compressor": None,
    "fill_value": 0.0,
    "order": "C",
    "filters": None,
}

STRUCT = [["a", "<i4"], ["b", "<f8"]]
UTF8 = [{"id": "vlen-utf8"}]

#: Fields, and why zarr-python stumbles or does not.
V2: list[JSON] = [
    # fill values of other types, out of range, or as zarr-python 2 wrote them
    *({"dtype": STRUCT, "fill_value": f} for f in (0, 0.0, None, "AAAA", [0, 0], "A" * 16, {})),
    *({"dtype": "|S3", "fill_value": f} for f in (0, "", "YWJj", "a", None, 5)),
    *({"dtype": "<U3", "fill_value": f} for f in (0, "", "abc", None, 5)),
    *({"dtype": "|V3", "fill_value": f} for f in (0, "", "AAAA", [0, 0, 0], [1, 300, 0])),
    *({"dtype": "<i4", "fill_value": f} for f in ("x", "5", 1.5, 1.0, "NaN", [], 2**40, True)),
    *({"dtype": "|u1", "fill_value": f} for f in (300, -1, 255)),
    *({"dtype": "|b1", "fill_value": f} for f in (0, 2, "false", None)),
    *({"fill_value": f} for f in ("NaN", "nan", "Infinity", 1e300, "0.0", [0], {}, True, 10**400)),
    *({"fill_value": f} for f in (float("nan"), float("inf"), float("-inf"))),
    *({"dtype": "|O", "fill_value": float(f), "filters": UTF8} for f in ("nan", "inf", "-inf")),
    *({"dtype": d, "fill_value": float("nan")} for d in ("|S3", "<U3", "|V3", STRUCT)),
    *({"dtype": "<c8", "fill_value": f} for f in (0, 1.5, [0, 0], ["NaN", 0.0], [1], "x")),
    *({"dtype": "<M8[ns]", "fill_value": f} for f in (0, "NaT", -(2**63), "x", None)),
    {"dtype": "<M8", "fill_value": 0},
    {"dtype": "<m8[s]", "fill_value": 0},
    # objects
    {"dtype": "|O", "fill_value": None},
    {"dtype": "|O", "fill_value": None, "filters": [{"id": "pickle", "protocol": 5}]},
    {"dtype": "|O", "fill_value": None, "filters": [{"id": "json2", "encoding": "utf-8"}]},
    {"dtype": "|O", "fill_value": None, "filters": [{"id": "msgpack2"}]},
    {"dtype": "|O", "fill_value": None, "filters": [{"id": "vlen-array", "dtype": "<i4"}]},
    {"dtype": "|O", "fill_value": "", "filters": UTF8},
    {"dtype": "|O", "fill_value": 0, "filters": UTF8},
    {"dtype": "|O", "fill_value": None, "filters": UTF8},
    {"dtype": "O", "fill_value": "", "filters": UTF8},
    {"dtype": "|O", "fill_value": 0, "filters": [{"id": "vlen-bytes"}]},
    {"dtype": "|O", "fill_value": "", "compressor": {"id": "vlen-utf8"}},
    # codecs
    *({"compressor": c} for c in ({"id": "nope"}, {"id": "blosc"}, {"id": "zlib", "extra": 1})),
    *({"compressor": c} for c in ("zlib", {}, [], False, {"id": 5}, ABSENT)),
    {"compressor": {"id": "blosc", "cname": "foo", "clevel": 5, "shuffle": 1}},
    *({"filters": f} for f in ([{"id": "nope"}], [{"id": "delta"}], "x", [], False, ABSENT)),
    {"filters": [{"id": "delta", "dtype": "nope"}]},
    {"filters": {"id": "delta", "dtype": "<f4"}},
    # data types
    *({"dtype": d} for d in ("f4", "=f4", "|f4", "<f16", "float32", "bfloat16", "<i3", "|i4")),
    *({"dtype": d, "fill_value": 0} for d in ("<u1", "u1", ">i1", "=i1", "i4", "|M8[ns]")),
    *({"dtype": d, "fill_value": ""} for d in (">S1", "<S1", "S1", "=S1", "|S0", "<U0", "|U3")),
    *({"dtype": d, "fill_value": ""} for d in ("<V3", "|V0", "U3")),
    *({"dtype": d, "fill_value": 0} for d in (">M8[ns]", "<M8[3ns]", "<M8[foo]", "M8[ns]")),
    {"dtype": "<c32", "fill_value": None},
    {"dtype": "|S100000000", "fill_value": ""},
    *({"dtype": d, "fill_value": None} for d in ([["a", "f4"]], [["a", "<f4", [2]]], [["a"]], [])),
    {"dtype": [["a", [["b", "<f4"]]]], "fill_value": None},
    {"dtype": [["a", "u1"], ["b", "<S2"]], "fill_value": 0},
    {"dtype": [["a", "|O"]], "fill_value": 0},
    # the rest
    *({"chunks": c} for c in (5, True, 5.0, "5", [5, 5], [0], ABSENT)),
    {"shape": [10, 10], "chunks": 5},
    *({"shape": s, "chunks": 5} for s in (10, True, "10")),
    *({"order": o} for o in ("A", None, ABSENT)),
    *({"dimension_separator": s} for s in ("-", None, "/", ".")),
    {"fill_value": ABSENT},
    {"extra": {"must_understand": True}},
]

LITTLE: JSON = {"name": "bytes", "configuration": {"endian": "little"}}

PLAIN_V3: JSON = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [10],
    "data_type": "float32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0.0,
    "codecs": [LITTLE],
    "attributes": {},
}


def sharded(*without: str, **changes: Any) -> JSON:
    """Return the codecs of an array whose shards hold five chunks, changed."""
    configuration = {
        "chunk_shape": [1],
        "codecs": [LITTLE],
        "index_codecs": [LITTLE, {"name": "crc32c"}],
        "index_location": "end",
    } | changes
    kept = {key: value for key, value in configuration.items() if key not in without}
    return {"codecs": [{"name": "sharding_indexed", "configuration": kept}]}


def after(*codecs: Any) -> JSON:
    """Return the codecs of an array with these behind the bytes."""
    return {"codecs": [LITTLE, *codecs]}


def named(name: str, **configuration: Any) -> JSON:
    """Return a part with a configuration."""
    return {"name": name, "configuration": configuration}


BYTE: JSON = {"data_type": "uint8", "fill_value": 0}
RAW: JSON = {"data_type": named("raw_bytes", length_bytes=2), "fill_value": "AAA="}

#: Odd documents and the plain ones that mean the same, which zarr-python can write chunks under.
SAME_V3: list[tuple[JSON, JSON]] = [
    ({"attributes": None}, {}),
    ({"attributes": ABSENT}, {}),
    ({"storage_transformers": None}, {}),
    ({"dimension_names": None}, {}),
    ({"dimension_names": [None]}, {}),
    ({"consolidated_metadata": None}, {}),
    ({"extra": {"must_understand": False, "x": 1}}, {}),
    ({"data_type": {"name": "float32"}}, {}),
    ({"data_type": {"name": "float32", "configuration": {}}}, {}),
    ({"fill_value": 0}, {}),
    ({"fill_value": float("nan")}, {"fill_value": "NaN"}),
    ({"chunk_key_encoding": "default"}, {}),
    ({"chunk_key_encoding": {"name": "default"}}, {}),
    ({"chunk_grid": named("regular", chunk_shape=5)}, {}),
    (BYTE | {"codecs": ["bytes"]}, BYTE | {"codecs": [{"name": "bytes"}]}),
    (BYTE | {"codecs": [named("bytes")]}, BYTE | {"codecs": [{"name": "bytes"}]}),
    ({"codecs": [named("endian", endian="little")]}, {}),
    (after("crc32c"), after({"name": "crc32c"})),
    (after(named("crc32c", x=1)), after({"name": "crc32c"})),
    (after("gzip"), after(named("gzip", level=5))),
    (after({"name": "gzip"}), after(named("gzip", level=5))),
    (after({"name": "gzip", "configuration": None}), after(named("gzip", level=5))),
    (after("zstd"), after(named("zstd", level=0, checksum=False))),
    (after(named("zstd", level=3)), after(named("zstd", level=3, checksum=False))),
    (after(named("zstd", level=3, checksum=None)), after(named("zstd", level=3))),
    (after("blosc"), after(named("blosc", cname="zstd", clevel=5, shuffle="shuffle", typesize=4))),
    (
        after(named("blosc", cname="lz4", clevel=5, shuffle="shuffle")),
        after(named("blosc", cname="lz4", clevel=5, shuffle="shuffle", typesize=4, blocksize=0)),
    ),
    (
        after(named("blosc", cname="lz4", clevel=5, shuffle="noshuffle", typesize=0)),
        after(named("blosc", cname="lz4", clevel=5, shuffle="noshuffle", typesize=4)),
    ),
    ({"codecs": [named("transpose", order="C"), LITTLE]}, {}),
    ({"codecs": [named("transpose", order="F"), LITTLE]}, {}),
    (after(named("zlib", level=1)), after(named("numcodecs.zlib", level=1))),
    (after("numcodecs.zlib"), after(named("numcodecs.zlib"))),
    (after(named("numcodecs.zlib", id="zlib", level=1)), after(named("numcodecs.zlib", level=1))),
    (
        {"codecs": [named("delta", dtype="<f4"), LITTLE]},
        {"codecs": [named("numcodecs.delta", dtype="<f4"), LITTLE]},
    ),
    ({"data_type": "r16", "fill_value": [0, 0], "codecs": ["bytes"]}, RAW | {"codecs": ["b"]}),
    (RAW | {"fill_value": [0, 0], "codecs": [{"name": "bytes"}]}, RAW | {"codecs": ["b"]}),
    (RAW | {"fill_value": 0, "codecs": [{"name": "bytes"}]}, RAW | {"codecs": ["b"]}),
    ({"data_type": "complex64", "fill_value": 0}, {"data_type": "complex64", "fill_value": [0, 0]}),
    (sharded("index_location"), sharded()),
    (sharded("index_codecs"), sharded()),
    (sharded("codecs"), sharded()),
    (sharded("codecs", "index_codecs", "index_location"), sharded()),
    (sharded(index_codecs=[LITTLE, "crc32c"]), sharded()),
    (sharded(chunk_shape=1), sharded()),
    (
        sharded(codecs=[LITTLE, "gzip"]),
        sharded(codecs=[LITTLE, named("gzip", level=5)]),
    ),
]
for _, plain in SAME_V3:
    if plain.get("codecs") == ["b"]:
        plain["codecs"] = [{"name": "bytes"}]

#: Documents that no one need read.
ODD_V3: list[JSON] = [
    *({"codecs": c} for c in (["bytes"], [{"name": "bytes"}], [named("bytes", endian=None)])),
    {"codecs": [named("bytes", endian="native")]},
    {"codecs": [named("bytes", endian="little", x=1)]},
    *({"codecs": c} for c in ([], [LITTLE, LITTLE], [named("gzip", level=1)], "bytes", None)),
    *(after(named("gzip", level=level)) for level in (-1, 11, "x")),
    *(after(named("zstd", level=level)) for level in (30, None)),
    after(named("blosc", cname="lz4", clevel=10, shuffle="shuffle", typesize=4)),
    after(named("blosc", cname="foo", clevel=5, shuffle="shuffle", typesize=4)),
    after(named("blosc", cname="lz4", clevel=5, shuffle=None, typesize=None)),
    after(named("blosc", cname="lz4", clevel=5, shuffle="shuffle", typesize=4, x=1)),
    {"codecs": [{"name": "transpose"}, LITTLE]},
    {"codecs": [named("transpose", order=[1]), LITTLE]},
    after(named("nope")),
    after({"name": "nope", "must_understand": False}),
    after({"configuration": {}}),
    after(named("https://codec.zarrs.dev/bytes_to_bytes/bz2", level=5)),
    {"codecs": [named("numcodecs.delta"), LITTLE]},
    {"codecs": [named("numcodecs.delta", dtype="nope"), LITTLE]},
    {"codecs": [named("numcodecs.fixedscaleoffset", offset=0, scale=1), LITTLE]},
    *({"fill_value": f} for f in (None, "x", True, 1e300, "0.5", "0x7fc00001", "nan", [0], ABSENT)),
    *({"data_type": "int32", "fill_value": f} for f in (0.0, 1.5, "5", "NaN", 2**40)),
    *({"data_type": "bool", "fill_value": f} for f in (0, "false", None)),
    *({"data_type": "complex64", "fill_value": f} for f in (["NaN", "NaN"], [1], "x")),
    {"data_type": "string", "fill_value": "", "codecs": ["vlen-utf8"]},
    {"data_type": "string", "fill_value": None, "codecs": [{"name": "vlen-utf8"}]},
    {"data_type": "string", "fill_value": 0, "codecs": [{"name": "vlen-utf8"}]},
    {"data_type": "string", "fill_value": "", "codecs": [{"name": "bytes"}]},
    *({"data_type": d} for d in ("float128", "bfloat16", "r12", "r0", {"name": "r16"}, 5, None)),
    {"data_type": "int4", "fill_value": 0},
    {"data_type": named("fixed_length_utf32", length_bytes=12), "fill_value": 0},
    {
        "data_type": named("null_terminated_bytes", length_bytes=3),
        "fill_value": 0,
        "codecs": ["bytes"],
    },
    {
        "data_type": named("structured", fields=[["a", "int32"], ["b", "float64"]]),
        "fill_value": 0,
    },
    {"chunk_grid": named("regular", chunk_shape=[0])},
    {"chunk_grid": named("rectilinear", kind="inline", chunk_shapes=[[5, 5]])},
    {"chunk_grid": "regular"},
    *({"shape": s} for s in (10, [-1], ["10"], ABSENT)),
    *({"chunk_key_encoding": k} for k in ({"name": "v3"}, ABSENT, named("v2", separator="-"))),
    *({"extra": e} for e in ({"x": 1}, 1, {"must_understand": True})),
    {"storage_transformers": [named("t")]},
    *({"dimension_names": n} for n in ("x", ["x", "y"], [5])),
    *({"attributes": a} for a in ([1], "x")),
    {"attributes": {"a": float("nan")}},
    sharded(codecs=["bytes"]),
    sharded(index_codecs=["bytes"]),
    sharded(index_codecs=[{"name": "bytes"}]),
    sharded(index_codecs=[named("bytes", endian="big")]),
    sharded(chunk_shape=[2]),
    sharded(index_location="middle"),
    sharded(x=1),
    sharded(codecs=sharded()["codecs"]),
    {"codecs": [*sharded()["codecs"], named("gzip", level=1)]},
]


def document(plain: JSON, changes: JSON) -> JSON:
    """Return a document with changes; what is `ABSENT` is left out."""
    made = copy.deepcopy(plain) | copy.deepcopy(changes)
    return {key: value for key, value in made.items() if value != ABSENT}
