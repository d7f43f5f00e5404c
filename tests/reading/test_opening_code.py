"""The line that opens references opens what can be opened: a group, a level, or by zarr-python."""

import html
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.metadata.spec import ArraySpec
from parchunk.reading.opening_code import first_group, opening_code

pytestmark = pytest.mark.usefixtures("quiet_zarr")


def built(folder: Path, zarr_format: Any, names: tuple[str, ...]) -> parchunk.BuildResult:
    """Build a plate of two images with three levels each, the dimensions named in v3 alone."""
    plate = zarr.open_group(folder / "s", mode="w", zarr_format=zarr_format)
    named = {"dimension_names": names} if names else {}
    for field in ("A/1/0", "A/2/0"):
        for level, size in enumerate((8, 4, 2)):
            array = plate.create_array(
                f"{field}/{level}", shape=(2, size), chunks=(1, 2), dtype="u1", **named
            )
            array[...] = level + 1
    return parchunk.build(folder / "s", folder / "out")


def opened(code: str) -> Any:
    scope: dict[str, Any] = {}
    exec(f"import parchunk, xarray, zarr; found = {code}", scope)
    return scope["found"]


def test_of_a_plate_one_level_of_one_image_is_opened(tmp_path: Path) -> None:
    result = built(tmp_path, 3, ("c", "x"))
    code = opening_code(result.plan, result.url)
    assert 'group="A/1/0"' in code
    with opened(code) as image:
        assert (image["0"].dims, image["0"].values.tolist()) == (("c", "x"), [[1] * 8] * 2)
    assert html.escape(code) in result._repr_html_()
    for dropped, named in (((), "'0' give drop_variables=['1', '2']"),
                           (["0"], "'1' give drop_variables=['0', '2']"),
                           ("1", "'0' give drop_variables=['1', '2']")):  # fmt: skip
        with pytest.raises(parchunk.InputError) as error:
            parchunk.open_dataset(result.url, group="A/1/0", drop_variables=dropped)
        assert named in str(error.value)
    with parchunk.open_dataset(result.url, group="A/1/0", drop_variables=["0", "2"]) as image:
        assert image["1"].shape == (2, 4)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_in_icechunk_too(tmp_path: Path, zarr_format: int) -> None:
    pytest.importorskip("icechunk")
    result = built(tmp_path, zarr_format, ("c", "x") if zarr_format == 3 else ())
    image = opened(parchunk.to_icechunk(result.url, tmp_path / "repo").code)
    if zarr_format == 3:
        assert image["0"].values.tolist() == [[1] * 8] * 2
    else:
        assert image["A/2/0/1"][...].tolist() == [[2] * 4] * 2


def test_without_names_of_dimensions_zarr_opens_it(tmp_path: Path) -> None:
    result = built(tmp_path, 2, ())
    group = opened(opening_code(result.plan, result.url))
    assert np.array_equal(group["A/2/0/1"][...], np.full((2, 4), 2))
    told = opening_code(result.plan, result.url, ', output_options={"region": "x"}')
    assert told == "with zarr-python, as dimensions have no names: see docs/howto/read.md"


def test_arrays_of_very_many_images_are_looked_through_once(tmp_path: Path) -> None:
    looks = []

    class Watched(tuple[ArraySpec, ...]):
        def __iter__(self) -> Iterator[ArraySpec]:
            looks.append(1)
            return super().__iter__()

    zarr.create_array(tmp_path / "s", name="a", shape=2, chunks=1, dtype="u1", zarr_format=2)
    hierarchy = parchunk.plan(tmp_path / "s").hierarchy
    arrays = (replace(hierarchy.arrays[0], name=f"{field}/0") for field in range(50))
    assert first_group(replace(hierarchy, arrays=Watched(arrays))) is None
    assert len(looks) == 1
