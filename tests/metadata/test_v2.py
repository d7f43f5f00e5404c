"""Single v2 documents: what they say, and the lies they tell."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from parchunk.errors import MetadataError
from parchunk.keys.encoding import KeyEncoding
from parchunk.metadata.oddities import oddities
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.v2 import parse_v2_array, v2_itemsize


def test_a_plain_document(zarray) -> None:
    document = zarray(dimension_separator="/")
    array = parse_v2_array("air", document, {"_ARRAY_DIMENSIONS": ["y", "x"], "units": "K"})
    assert (array.name, array.zarr_format, array.shape, array.chunks) == (
        "air",
        2,
        (10, 20),
        (5, 6),
    )
    assert (array.dtype, array.itemsize, array.dimension_names) == ("<f4", 4, ("y", "x"))
    assert array.keys == KeyEncoding("", "/", 2)
    assert array.document == document
    assert array.grid == (2, 4)


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("rank", range(5))
def test_keys_are_those_that_zarr_writes(store, reader_of, separator, rank) -> None:
    keys = {"name": "v2", "separator": separator}
    zarr.create_array(
        store, name="a", shape=(5,) * rank, chunks=(2,) * rank, dtype="i2",
        zarr_format=2, chunk_key_encoding=keys,
    )[...] = 1  # fmt: skip
    objects = reader_of(store).objects
    array = parse_v2_array("a", json.loads(objects["a/.zarray"]), {})
    tails = {key.split("/", 1)[1] for key in objects if not key.rpartition("/")[2].startswith(".z")}
    assert tails == {array.keys.tail(index) for index in np.ndindex(array.grid)}


@settings(deadline=None)
@given(
    st.sampled_from(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
    | st.sampled_from(["f2", "f4", "f8", "c8", "c16"])
    | st.builds("{}{}".format, st.sampled_from("USV"), st.integers(1, 5000))
    | st.builds("{}8[{}]".format, st.sampled_from("mM"), st.sampled_from(["ns", "D", "10s", "us"])),
    st.sampled_from("<>|"),
)
def test_item_sizes_are_those_of_numpy(code, order) -> None:
    assert v2_itemsize(order + code) == np.dtype(order + code).itemsize


def test_item_sizes_of_structs() -> None:
    dtype = [["a", "<i4"], ["b", "|S3", [2, 3]], ["c", [["d", "<f8"], ["e", "|u1", 2]]]]
    assert v2_itemsize(dtype) == 4 + 18 + 10
    assert v2_itemsize([["a", "|V1", [2**31, 2**31]]]) is None


@pytest.mark.parametrize(
    ("dtype", "name", "size"),
    [
        ("|O", "|O", 8),
        ("bfloat16", "bfloat16", 8),
        ([["a", "<i4"], ["b", "<f8"]], "struct[a, b]", 12),
        ([[f"field{n}", "<i4"] for n in range(99)], None, 396),
    ],
)
def test_names_of_data_types_are_short(zarray, dtype, name, size) -> None:
    array = parse_v2_array("a", zarray(dtype=dtype), {})
    assert array.itemsize == size
    assert len(array.dtype) <= 60
    assert name is None or array.dtype == name


LIES = [
    ({"chunks": [0, 6]}, "chunks of 0 in dimension 0"),
    ({"chunks": [5, -6]}, "chunks of -6 in dimension 1"),
    ({"shape": [10, -1]}, "shape of -1 in dimension 1, which is negative"),
    ({"shape": [True, 20]}, "'shape' that is not of whole numbers"),
    ({"shape": [10.0, 20]}, "'shape' that is not of whole numbers"),
    ({"chunks": ["5", 6]}, "'chunks' that is not of whole numbers"),
    ({"chunks": [5, None]}, "'chunks' that is not of whole numbers"),
    ({"shape": "10"}, "'shape' that is not a list but 10"),
    ({"shape": None}, "'shape' that is not a list"),
    ({"chunks": [5]}, "2 dimensions in its shape but 1 in 'chunks'"),
    ({"shape": [2**63, 1]}, "'shape' of 2\\^63 or more"),
    ({"shape": [2**32, 2**31]}, "shape of 2\\^63 elements or more"),
    ({"shape": [0, 2**32, 2**32], "chunks": [1, 1, 1]}, "2\\^63 elements or more"),
    ({"chunks": [2**32, 2**32]}, "chunks of 2\\^63 elements or more"),
    ({"shape": [1] * 65, "chunks": [1] * 65}, "65 dimensions, more than the 64"),
    ({"zarr_format": 3}, "zarr_format 3 where 2 is expected"),
    ({"zarr_format": "2"}, "zarr_format 2 where 2 is expected"),
    ({"zarr_format": 2.0}, "zarr_format 2.0 where 2 is expected"),
    ({"order": "A"}, "neither C nor F"),
    ({"order": ["C"]}, "neither C nor F"),
    ({"dtype": None}, "neither a string nor a list but None"),
    ({"dtype": []}, "neither a string nor a list"),
    ({"compressor": "zlib"}, "compressor without an id: zlib"),
    ({"compressor": {"level": 1}}, "compressor without an id"),
    ({"filters": {"id": "delta"}}, "filters that are not a list"),
    ({"filters": [5]}, "filter without an id: 5"),
]


@pytest.mark.parametrize(("changes", "reason"), LIES, ids=[reason for _, reason in LIES])
def test_lies(zarray, changes, reason) -> None:
    with pytest.raises(MetadataError, match=reason) as caught:
        parse_v2_array("a", zarray(**changes), {})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "field", ["zarr_format", "shape", "chunks", "dtype", "fill_value", "order"]
)
def test_missing_fields(zarray, field) -> None:
    document = zarray()
    del document[field]
    with pytest.raises(MetadataError, match=f"has no '{field}'"):
        parse_v2_array("a", document, {})


@pytest.mark.parametrize("names", ["x", ["x"], ["x", 5], {"x": 1}, ["x", "y", "z"], None])
def test_dimension_names_that_do_not_fit_are_none_and_said(zarray, names) -> None:
    array = parse_v2_array("a", zarray(), {"_ARRAY_DIMENSIONS": names})
    assert array.dimension_names == (None, None)
    (line,) = oddities([array])
    assert line.startswith("array 'a': its _ARRAY_DIMENSIONS")
    assert "unnamed" in line


def test_dimension_names_without_an_oddity(zarray) -> None:
    for rank, names, expected in [
        (1, "x", ("x",)),  # as xarray takes it
        (2, ["x", None], ("x", None)),
        (2, [None, None], (None, None)),
        (0, [], ()),
    ]:
        document = zarray(shape=[4] * rank, chunks=[2] * rank)
        array = parse_v2_array("a", document, {"_ARRAY_DIMENSIONS": names})
        assert array.dimension_names == expected
        assert oddities([array]) == ()


def test_one_number_for_the_chunks_of_one_dimension(zarray) -> None:
    array = parse_v2_array("a", zarray(shape=[10], chunks=4), {})
    assert (array.chunks, array.grid) == ((4,), (3,))
    with pytest.raises(UnsupportedFeatureError, match="chunks 4 for 2 dimensions"):
        parse_v2_array("a", zarray(chunks=4), {})


def test_chunks_of_zero_where_there_is_nothing(zarray) -> None:
    """Old writers left a 0 there; no chunk can exist, so it is no lie."""
    array = parse_v2_array("a", zarray(shape=[0, 20], chunks=[0, 6]), {})
    assert (array.chunks, array.grid, array.total) == ((1, 6), (0, 4), 0)


def test_unknown_separator_is_refused(zarray) -> None:
    with pytest.raises(UnsupportedFeatureError, match="dimension_separator : is neither"):
        parse_v2_array("a", zarray(dimension_separator=":"), {})
