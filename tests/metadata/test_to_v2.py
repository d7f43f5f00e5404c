"""v3 arrays as v2: zarr-python reads the same chunk objects under both documents, bit for bit."""

import json
from typing import Any

import numpy as np
import pytest
import zarr
import zarr.codecs as zc
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metadata.made_arrays import bits, sample, write

from parchunk.metadata import (
    Hierarchy,
    convert_array,
    refusals,
)
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.v2 import parse_v2_array
from parchunk.metadata.v3 import parse_v3_array

# zarr-python warns of data types and codecs that have no specification yet
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification"),
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
]

NEWER_ZARR = tuple(map(int, zarr.__version__.split(".")[:2])) >= (3, 3)


FIXED = [
    *["bool", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"],
    *["<c8", "<c16", "<U9", "S5", "<M8[ns]", "<M8[s]", "<m8[D]", "V3"],
]


@pytest.mark.parametrize("dtype", FIXED)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_fixed_data_type_in_both_orders(store, reread, dtype, order) -> None:
    transpose = [zc.TransposeCodec(order=(1, 0))] if order == "F" else []
    array = write(store, sample(dtype, (7, 9)), (3, 4), filters=transpose)
    again, document = reread(store)
    assert bits(again[...]) == bits(array[...])
    assert document["order"] == order
    assert document["dtype"] == np.dtype(dtype).str


@pytest.mark.parametrize("dtype", ["<i2", "<f8", "<c16", "<U9", "<M8[ns]", "<m8[D]"])
def test_big_endian(store, reread, dtype) -> None:
    array = write(store, sample(dtype, (7, 9)), (3, 4), serializer=zc.BytesCodec(endian="big"))
    again, document = reread(store)
    assert bits(again[...]) == bits(array[...])
    assert document["dtype"][0] == ">"


FILLS = [
    *[("bool", True), ("i1", -128), ("<u8", 2**64 - 1), ("<i8", -(2**63)), ("<i4", 7)],
    *[("<f4", np.nan), ("<f8", np.inf), ("<f8", -np.inf), ("<f4", -0.0), ("<f8", 0.1)],
    *[("<f2", 65504.0), ("<f4", np.float32(0.1)), ("<f8", 5e-324), ("<f8", 1.7976931348623157e308)],
    *[("<c8", complex(np.nan, -0.0)), ("<c16", complex(-np.inf, 0.1)), ("<c16", 1 + 2j)],
    *[("<U3", "é日x"), ("<U3", ""), ("S4", b"\xff\x00a"), ("S4", b"")],
    *[
        ("V3", b"\x00\x01\xff"),
        ("<M8[ns]", np.datetime64("NaT", "ns")),
        ("<M8[s]", np.datetime64(5, "s")),
    ],
    *[("<m8[h]", np.timedelta64(-5, "h")), ("<m8[ns]", np.timedelta64("NaT", "ns"))],
]


@pytest.mark.parametrize(("dtype", "fill"), FILLS, ids=str)
@pytest.mark.parametrize("endian", ["little", "big"])
def test_fill_values_of_absent_chunks(store, reread, dtype, fill, endian) -> None:
    zarr.create_group(store, zarr_format=3)
    serializer = zc.BytesCodec(endian=endian)
    array = zarr.create_array(
        store, name="a", shape=(3,), chunks=(2,), dtype=dtype, fill_value=fill,
        serializer=serializer,
    )  # fmt: skip
    again, _ = reread(store)
    assert bits(again[...]) == bits(array[...])


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.sampled_from(["float16", "float32", "float64"]))
def test_every_float_fill_keeps_its_bits_or_is_refused(zarr_json_plain, pattern, name) -> None:
    width = int(name[5:]) // 8
    raw = (pattern % 2 ** (8 * width)).to_bytes(width, "big")
    document = zarr_json_plain | {"data_type": name, "fill_value": "0x" + raw.hex()}
    value = np.frombuffer(raw, f">f{width}")[0]
    array = parse_v3_array("a", document)
    if refusals(Hierarchy((array,), ())):
        assert np.isnan(value)
        assert raw != np.array([np.nan], f">f{width}").tobytes()
        return
    fill = convert_array(array)["fill_value"]
    with np.errstate(over="ignore"):
        again = np.array([float(fill)], f">f{width}")
    if np.isnan(value):
        assert fill == "NaN"
        again = np.array([np.nan], f">f{width}")
    assert again.tobytes() == raw


@pytest.fixture(scope="module")
def zarr_json_plain() -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [10],
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }


@pytest.mark.parametrize("compressors", [[], [zc.ZstdCodec()], [zc.GzipCodec(), zc.Crc32cCodec()]])
def test_variable_length_strings(store, reread, compressors) -> None:
    data = np.array(["", "a", "é日本", "x" * 1000, "end"], dtype=object)
    array = write(store, data, (2,), dtype="string", fill_value="none", compressors=compressors)
    again, document = reread(store)
    assert list(again[...]) == list(array[...]) == ["", "a", "é日本", "x" * 1000, "none"]
    assert document["dtype"] == "|O"
    assert document["filters"][0] == {"id": "vlen-utf8"}
    assert (document["compressor"] is None) == (not compressors)


def test_variable_length_bytes(store, reread) -> None:
    data = np.array([b"", b"a", b"\xff\x00", b"end"], dtype=object)
    dtype = zarr.dtype.VariableLengthBytes()
    array = write(store, data, (2,), dtype=dtype, fill_value=b"\x00\xfe")
    again, document = reread(store)
    assert bits(again[...]) == bits(array[...])
    assert document["filters"] == [{"id": "vlen-bytes"}]


STRUCT = [("a", "<i4"), ("b", "<f8"), ("c", "S3"), ("d", "<M8[s]")]
NESTED = [*STRUCT, ("e", [("f", "<u2"), ("g", "<f4")])]


def test_structured(store, reread) -> None:
    data = sample(np.dtype(STRUCT), (5,))
    data["c"] = b"xy"
    fill = np.array([(7, -0.0, b"q", 3)], STRUCT)[0]
    array = write(store, data, (2,), dtype=np.dtype(STRUCT), fill_value=fill)
    again, document = reread(store)
    assert again[...].tobytes() == array[...].tobytes()
    assert document["dtype"][3] == ["d", "<M8[s]"]


@pytest.mark.skipif(not NEWER_ZARR, reason="older zarr reads no v2 struct within a struct")
def test_structured_within_structured(store, reread) -> None:
    data = sample(np.dtype(NESTED), (5,))
    data["c"] = b"xy"
    fill = np.array([(7, -0.0, b"q", 3, (9, np.inf))], NESTED)[0]
    array = write(store, data, (2,), dtype=np.dtype(NESTED), fill_value=fill)
    again, document = reread(store)
    assert again[...].tobytes() == array[...].tobytes()
    assert document["dtype"][4] == ["e", [["f", "<u2"], ["g", "<f4"]]]


@pytest.mark.skipif(not NEWER_ZARR, reason="older zarr reads big-endian structs as little")
def test_big_endian_structured(store, reread) -> None:
    data = sample(np.dtype(STRUCT), (5,))
    data["c"] = b"xy"
    fill = np.array([(7, 1.5, b"q", 3)], STRUCT)[0]
    endian = zc.BytesCodec(endian="big")
    array = write(store, data, (2,), dtype=data.dtype, fill_value=fill, serializer=endian)
    again, document = reread(store)
    assert document["dtype"][0] == ["a", ">i4"]
    assert bits(again[...].astype(STRUCT)) == bits(array[...])


def test_raw_bits_of_the_core_specification(zarr_json) -> None:
    document = zarr_json(data_type="r24", fill_value=[1, 2, 255], codecs=["bytes"])
    array = parse_v3_array("a", document)
    assert (array.dtype, array.itemsize) == ("|V3", 3)
    assert convert_array(array)["fill_value"] == "AQL/"


@pytest.mark.parametrize("rank", range(5))
@pytest.mark.parametrize("encoding", ["default/", "default.", "v2/", "v2."])
def test_every_rank_and_key_encoding(store, reread, rank, encoding) -> None:
    keys = {"name": encoding[:-1], "separator": encoding[-1]}
    data = sample("<i4", (5, 3, 4, 3)[:rank])
    array = write(store, data, (2, 2, 3, 1)[:rank], chunk_key_encoding=keys)
    again, document = reread(store)
    assert bits(again[...]) == bits(array[...])
    assert document["dimension_separator"] == "."


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_zero_length_arrays(store, reread, shape) -> None:
    zarr.create_group(store, zarr_format=3)
    zarr.create_array(store, name="a", shape=shape, chunks=(2,) * len(shape), dtype="f4")
    again, _ = reread(store)
    assert again[...].shape == shape


# v2 sources


@pytest.mark.parametrize("separator", [".", "/"])
def test_v2_is_kept_but_for_its_separator(zarray, separator) -> None:
    document = zarray(
        dtype=[["a", "<i4"], ["b", "|S3"]],
        fill_value=None,
        order="F",
        filters=[{"id": "shuffle", "elementsize": 7}],
        compressor={"id": "zlib", "level": 3},
        dimension_separator=separator,
        extra={"kept": True},
    )
    converted = convert_array(parse_v2_array("a", document, {}))
    assert converted == document | {"dimension_separator": "."}
    assert document["dimension_separator"] == separator


def test_v2_without_filters_or_with_none_of_them(zarray) -> None:
    for document in (zarray(filters=[]), {k: v for k, v in zarray().items() if k != "filters"}):
        assert convert_array(parse_v2_array("a", document, {}))["filters"] is None


@pytest.mark.parametrize(
    ("fill", "text"), [("NaN", "NaN"), ("Infinity", "Infinity"), ("-Infinity", "-Infinity")]
)
def test_bare_nan_becomes_the_string_that_json_has(zarray, fill, text) -> None:
    document = json.loads(
        json.dumps(zarray()).replace('"fill_value": 0.0', f'"fill_value": {fill}')
    )
    assert convert_array(parse_v2_array("a", document, {}))["fill_value"] == text


def test_unknown_v2_data_types_are_refused(zarray) -> None:
    for dtype in ["bfloat16", "<q9", "<U999999999", [["a", "nope"]], [["a"]], [["a", "<i4", -1]]]:
        with pytest.raises(UnsupportedFeatureError, match="is not one of Zarr v2"):
            convert_array(parse_v2_array("a", zarray(dtype=dtype), {}))


# the whole .zmetadata
