"""The documents of a whole .zmetadata."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

import parchunk
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


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_groups_that_have_groups_and_arrays_are_found_by_stock_readers(
    tmp_path: Path, zarr_format: int
) -> None:
    """zarr-python takes consolidated metadata for grouped by parent, depth by depth."""
    root = zarr.open_group(tmp_path / "in", mode="w", zarr_format=3)
    names = [f"{group}{name}" for group in ("a/", "a-b/", "b/") for name in ("x", "g/deep", "y")]
    for at, name in enumerate(names):
        root.create_array(name, data=np.full(2, at), dimension_names=["n"])
    plan = parchunk.plan(tmp_path / "in", zarr_format=zarr_format)
    parchunk.build(plan, tmp_path / "out")
    storage = {"fo": str(tmp_path / "out"), "remote_protocol": "file"}
    opened = zarr.open_group("reference://", mode="r", storage_options=storage)
    found = {name: opened[name][...].tolist() for name in names}
    assert found == {name: [at, at] for at, name in enumerate(names)}
    with xarray.open_datatree(
        "reference://",
        engine="zarr",
        backend_kwargs={"consolidated": True, "storage_options": storage},
    ) as tree:
        assert tree["b/g/deep"].values.tolist() == [7, 7]


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
