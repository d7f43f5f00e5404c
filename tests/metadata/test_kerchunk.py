"""The documents of a whole .zmetadata."""

import json

import pytest
import zarr

from parchunk.metadata import (
    convert_attributes,
    kerchunk_metadata,
    read_hierarchy,
)
from parchunk.metadata.v3 import parse_v3_array

# zarr-python warns of data types and codecs that have no specification yet
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification"),
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
]


def test_kerchunk_metadata_of_nested_groups(store, reader_of) -> None:
    root = zarr.create_group(store, zarr_format=3, attributes={"title": "é", "n": [1, None]})
    for path in ("x", "lev/0/t", "lev/1/t"):
        root.create_array(path, shape=(4,), chunks=(2,), dtype="f4", dimension_names=["time"])
    root["lev"].attrs["units"] = "m"
    metadata = kerchunk_metadata(read_hierarchy(reader_of(store)))
    assert sorted(metadata) == sorted(
        [".zattrs", ".zgroup", "lev/.zattrs", "lev/.zgroup", "lev/0/.zgroup", "lev/1/.zgroup"]
        + [
            f"{name}/{key}"
            for name in ("x", "lev/0/t", "lev/1/t")
            for key in (".zarray", ".zattrs")
        ]
    )
    assert metadata[".zattrs"] == {"title": "é", "n": [1, None]}
    assert metadata["lev/0/t/.zattrs"] == {"_ARRAY_DIMENSIONS": ["time"]}
    assert all(isinstance(value, dict) for value in metadata.values())
    json.dumps(metadata, allow_nan=False)


@pytest.mark.parametrize("names", [["y", "x"], ["y", None], [None, None]])
def test_dimension_names_are_written_as_they_are_given(zarr_json, names: list[str | None]) -> None:
    """As xarray takes them, which opens arrays of which some dimensions are named, or none."""
    array = parse_v3_array("a", zarr_json(dimension_names=names, attributes={"u": 1}))
    assert convert_attributes(array) == {"u": 1, "_ARRAY_DIMENSIONS": names}
    assert array.attributes == {"u": 1}


def test_dimension_names_are_not_made_up(zarr_json) -> None:
    unsaid = parse_v3_array("a", zarr_json(dimension_names=None, attributes={"u": 1}))
    assert convert_attributes(unsaid) == {"u": 1}


def test_scalars_have_an_empty_list_of_dimensions(store, reader_of) -> None:
    """xarray cannot open a v2 array without one, and there is no name to make up."""
    zarr.create_group(store, zarr_format=3).create_array("crs", shape=(), dtype="i4")
    metadata = kerchunk_metadata(read_hierarchy(reader_of(store)))
    assert metadata["crs/.zattrs"] == {"_ARRAY_DIMENSIONS": []}
