"""Fill values as masks: xarray itself tells where the converted array would read otherwise."""

import json
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from packaging.version import Version

from parchunk.metadata import (
    kerchunk_metadata,
    masks_alike,
    masks_other_values,
    may_hide_fill,
    null_reads_as_fill,
    read_hierarchy,
    whole_hides_fill,
)
from parchunk.metadata.v2 import parse_v2_array

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification"),
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
]

xr = pytest.importorskip("xarray")


@pytest.fixture
def reopen(reader_of, store_of):
    """Opens the converted store with xarray, given the names of arrays to have a null fill."""

    def make(store: zarr.storage.MemoryStore, null_fill: Any, **options: Any) -> Any:
        reader = reader_of(store)
        hierarchy = read_hierarchy(reader)
        metadata = kerchunk_metadata(hierarchy, null_fill, **options)
        root = {"metadata": metadata, "zarr_consolidated_format": 1}
        objects = {key: json.dumps(value).encode() for key, value in metadata.items()}
        objects[".zmetadata"] = json.dumps(root).encode()
        for array in hierarchy.arrays:
            for index in np.ndindex(array.grid):
                chunk = reader.objects.get(f"{array.name}/{array.keys.tail(index)}")
                if chunk is not None:
                    objects[f"{array.name}/{'.'.join(map(str, index)) or '0'}"] = chunk
        return hierarchy, xr.open_dataset(store_of(objects), engine="zarr", zarr_format=2)

    return make


def dataset() -> Any:
    """Variables that hold zeros, each with a mask of its own."""
    data = xr.Dataset(
        {
            "plain": ("x", np.array([0, 1, 2, 3], "i4")),
            "real": ("x", np.array([0.0, 1.0, np.nan, 3.0], "f4")),
            "packed": ("x", np.array([np.nan, 1, 2, 0])),
            "nine": ("x", np.array([np.nan, 1, 2, -0.0], "f8")),
            "flag": ("x", np.array([True, False, True, True])),
            "scalar": ((), np.int16(0)),
        },
        coords={"x": np.arange(4)},
    )
    data.packed.encoding = {"_FillValue": -9, "dtype": "i2"}
    data.nine.encoding = {"_FillValue": -9.0}
    return data


def same(one: Any, other: Any) -> bool:
    return one.dtype == other.dtype and one.values.tobytes() == other.values.tobytes()


def test_null_fill_keeps_values_and_masks(store, reopen) -> None:
    # What missing chunks read as, beside the mask: older xarray leaves it at 0.
    encoding = {"real": {"_FillValue": np.nan, "fill_value": np.nan}}
    with zarr.config.set({"array.write_empty_chunks": True}):
        dataset().to_zarr(store, zarr_format=3, consolidated=True, encoding=encoding)
    source = xr.open_dataset(store, engine="zarr")
    hierarchy, plain = reopen(store, ())
    _, unfilled = reopen(store, {array.name for array in hierarchy.arrays})
    for array in hierarchy.arrays:
        name = array.name
        assert same(unfilled[name], source[name]), name
        assert masks_alike(array) is same(plain[name], source[name]), name
    masked = {array.name for array in hierarchy.arrays if masks_other_values(array)}
    assert masked >= {"plain", "packed", "x", "scalar"}
    assert "real" not in masked
    # the trap itself: a check that could not fail would be none
    _, unmasked = reopen(store, (), masks=False)
    assert not same(unmasked["plain"], source["plain"])


NUMBERS = st.sampled_from(["i1", "i2", "i4", "u1", "u2", "f4", "f8"])


@st.composite
def masked_arrays(draw: Any) -> tuple[Any, dict[str, Any], Any]:
    """Stored values, attributes and a fill value, as xarray and others write them into v3."""
    dtype = np.dtype(draw(NUMBERS))
    few = st.integers(0, 5) if dtype.kind == "u" else st.integers(-3, 3)
    if dtype.kind == "f":
        few |= st.sampled_from([np.nan, -0.0, -9999.9, 0.1, np.inf])
    raw = np.array(draw(st.lists(few, min_size=6, max_size=6)), dtype)
    attributes: dict[str, Any] = {}
    if draw(st.booleans()):
        attributes["_FillValue"] = dtype.type(draw(few))
    if draw(st.integers(0, 4)) == 0:
        attributes["missing_value"] = dtype.type(draw(few)).item()
    if draw(st.booleans()):
        attributes |= {"scale_factor": 0.5, "add_offset": 2.0}
    if dtype == "i1" and draw(st.booleans()):
        attributes["_Unsigned"] = "true"
    fill = draw(few | st.just(0) | st.just(attributes.get("_FillValue", 0)))
    return raw, attributes, dtype.type(fill)


def written(store: Any, values: Any, attributes: Any, fill: Any, missing: bool) -> xr.DataArray:
    """Return what xarray reads of an array in a v3 store that it writes, a chunk missing."""
    with zarr.config.set({"array.write_empty_chunks": True}):
        xr.Dataset({"a": ("x", values, attributes)}).to_zarr(
            store, zarr_format=3, consolidated=False,
            encoding={"a": {"chunks": (2,), "fill_value": fill, "compressors": None}},
        )  # fmt: skip
    if missing:
        del store._store_dict["a/c/0"]
    return xr.open_dataset(store, engine="zarr", consolidated=False)["a"].load()


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=masked_arrays(), missing=st.booleans())
@example(  # the two encodings of xarray that most stores have
    drawn=(np.array([7, 7, -9999.9, 3, 4, -0.0], "f4"), {"_FillValue": np.float32(-9999.9)},
           np.float32("nan")),
    missing=True,
)  # fmt: skip
@example(
    drawn=(np.array([7, 7, -32768, 3, 0, 1], "i2"),
           {"_FillValue": np.int16(-32768), "scale_factor": 0.1}, np.int16(0)),
    missing=True,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:variable .* has multiple fill values")
def test_xarray_reads_what_it_reads_in_the_source(reopen, drawn, missing) -> None:
    """Whatever the mask, the fill value and the packing, with a chunk missing or none."""
    raw, attributes, fill = drawn
    store = zarr.storage.MemoryStore()
    source = written(store, raw, attributes, fill, missing)
    hierarchy, found = reopen(store, () if missing else {"a"})
    (array,) = hierarchy.arrays
    if not missing or masks_alike(array):
        assert same(found["a"], source)
        return
    # What the source masks is masked, and so is the fill value; nothing else differs.
    got, wanted = found["a"].values.astype("f8"), source.values.astype("f8")
    stored = np.concatenate([np.full(2, fill), raw[2:]])
    # Where there is a mask xarray unpacks floats of 32 bits into 32, else into 64.
    differing = ~np.isclose(got, wanted, rtol=1e-6, atol=1e-6, equal_nan=True)
    assert np.isnan(got[differing]).all()
    assert (stored[differing] == fill).all()


@pytest.mark.skipif(
    Version(xr.__version__) < Version("2026.4"), reason="older xarray opens no such array of v3"
)
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("fill", [0, 2 - 1j])
@pytest.mark.parametrize("masked", [0, 2 - 1j, complex(np.nan, np.inf), None])
def test_complex_numbers_are_masked_by_the_fill_value(store, reopen, masked, fill, missing) -> None:
    """In v2 xarray heeds no ``_FillValue`` of theirs: what it says is the fill value, or said."""
    attributes = {} if masked is None else {"_FillValue": np.complex64(masked)}
    values = np.array([1j, 7, 0, 2 - 1j, np.nan, 3], "c8")
    source = written(store, values, attributes, np.complex64(fill), missing)
    hierarchy, found = reopen(store, () if missing else {"a"})
    (array,) = hierarchy.arrays
    assert not missing or masks_alike(array) is (masked == fill or (masked is None and not fill))
    if not missing or masks_alike(array):
        assert same(found["a"], source)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("dtype", ["i1", "i2", "i8", "u2"])
@pytest.mark.parametrize(
    ("name", "masked", "fill"),
    [("_FillValue", 1, 0), ("_FillValue", 7, 7), ("missing_value", 1, 0)],
)
def test_big_endian_numbers_are_masked_as_in_v3(
    store, reopen, name, masked, fill, dtype, missing
) -> None:
    """In v2 xarray swaps the bytes of their mask beside `_Unsigned`: 256 was one, and 1 none."""
    said = "false" if dtype == "u2" else "true"
    array = zarr.create_array(
        store, name="a", shape=(6,), chunks=(2,), dtype=dtype, fill_value=fill,
        dimension_names=("x",), serializer=zarr.codecs.BytesCodec(endian="big"),
        attributes={"_Unsigned": said, name: masked},
    )  # fmt: skip
    values = np.array([0, 1, 7, 256, 1792, -1]).astype(dtype)
    array[:4] = values[:4]
    if not missing:
        array[4:] = values[4:]
    zarr.open_group(store, mode="a", zarr_format=3)
    source = xr.open_dataset(store, engine="zarr", consolidated=False)["a"].load()
    _, found = reopen(store, () if missing else {"a"})
    assert same(found["a"], source)


def test_null_fill_changes_nothing_else(store, reader_of) -> None:
    dataset().to_zarr(store, zarr_format=3, consolidated=True)
    hierarchy = read_hierarchy(reader_of(store))
    plain = kerchunk_metadata(hierarchy)
    unfilled = kerchunk_metadata(hierarchy, ["plain"])
    assert unfilled.pop("plain/.zarray") == plain.pop("plain/.zarray") | {"fill_value": None}
    assert unfilled == plain


def test_v2_sources_keep_their_masks(zarray, zarr_json) -> None:
    assert not masks_other_values(parse_v2_array("a", zarray(), {}))
    assert null_reads_as_fill(parse_v2_array("a", zarray(fill_value=None), {}))
    assert not null_reads_as_fill(parse_v2_array("a", zarray(fill_value=0), {}))


@pytest.mark.parametrize(
    ("dtype", "fill", "expected"),
    [
        ("i4", 0, True),
        ("i4", 1, False),
        ("f4", 0.0, True),
        ("f4", -0.0, False),
        ("f4", np.nan, False),
        ("bool", False, True),
        ("string", "", True),
        ("string", "x", False),
        ("U3", "", True),
    ],
)
def test_which_fill_values_null_stands_for(
    store, reader_of, store_of, dtype, fill, expected
) -> None:
    """zarr-python itself is asked what an absent chunk reads as under null."""
    root = zarr.create_group(store, zarr_format=3)
    source = root.create_array("a", shape=(3,), chunks=(2,), dtype=dtype, fill_value=fill)
    (array,) = read_hierarchy(reader_of(store)).arrays
    assert null_reads_as_fill(array) is expected
    metadata = kerchunk_metadata(read_hierarchy(reader_of(store)))
    metadata["a/.zarray"]["fill_value"] = None
    objects = {key: json.dumps(value).encode() for key, value in metadata.items()}
    again = zarr.open_array(store_of(objects), path="a", mode="r", zarr_format=2)[...]
    if dtype == "string":
        assert (list(again) == list(source[...])) is expected
    else:
        assert (again.tobytes() == source[...].tobytes()) is expected


@pytest.mark.parametrize("dtype", ["i4", "f4", "c8", "bool", "S3"])
@pytest.mark.parametrize("mask", [None, 0, 7, "AAAAAAAAHEA=", ["AAAAAAAAHEA=", "AAAAAAAAAAA="]])
def test_attributes_hide_no_fill_value_that_others_could_not(store, reader_of, dtype, mask) -> None:
    """The root that is published may have had others: see `parchunk.building.first_gaps`."""
    attributes = {} if mask is None else {"_FillValue": mask}
    zarr.create_group(store)
    for name, fill in (
        ("zero", b"" if dtype == "S3" else 0),
        ("other", b"x" if dtype == "S3" else 1),
    ):
        zarr.create_array(
            store, name=name, shape=(3,), dtype=dtype, fill_value=fill, attributes=attributes
        )
    found = {array.name: array for array in read_hierarchy(reader_of(store)).arrays}
    for array in found.values():
        assert may_hide_fill(array) >= whole_hides_fill(array)
    assert may_hide_fill(found["zero"]) is (dtype == "c8")
    assert may_hide_fill(found["other"])


@pytest.mark.parametrize("value", ["x", "!!!", [1], {}, "AAAA", 1e400, None])
def test_masks_that_cannot_be_decoded_break_nothing(zarr_json, reader_of, value) -> None:
    group = {"zarr_format": 3, "node_type": "group"}
    for data_type in ("float32", "int8", "complex64"):
        document = zarr_json(attributes={"_FillValue": value}, data_type=data_type)
        document["fill_value"] = [0, 0] if data_type == "complex64" else 0
        hierarchy = read_hierarchy(reader_of({"zarr.json": group, "a/zarr.json": document}))
        json.dumps(kerchunk_metadata(hierarchy, ["a"]))
