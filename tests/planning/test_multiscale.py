"""Image pyramids: levels with different grids along the same dimensions, named or not."""

from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore

import parchunk
from parchunk.building.build import build
from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.metadata.v2 import parse_v2_array
from parchunk.planning.choice import LEAST_ROWS, make_plan
from parchunk.stores.opening import Location

pytestmark = [pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")]


def level(name: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> ArraySpec:
    document = {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": "<u2",
        "order": "C",
        "fill_value": 0,
        "filters": None,
        "compressor": None,
        "dimension_separator": "/",
    }
    return parse_v2_array(name, document, {})


def pyramid(levels: int = 5) -> Hierarchy:
    """A light-sheet image, t c z y x, halved in y and x from level to level."""
    return Hierarchy(
        tuple(
            level(str(n), (4, 2, 300, 20000 >> n, 30100 >> n), (1, 1, 1, 512, 512))
            for n in range(levels)
        ),
        (),
    )


@pytest.mark.parametrize("split", [None, 0, 1, 2, 3])
def test_a_pyramid_has_a_plan_along_its_axes(split: int | None) -> None:
    plan = make_plan(pyramid(), Location("s3://b/image.zarr"), split=split)
    leader = plan.arrays[0]
    assert leader.axis is not None
    assert plan.record_size >= (LEAST_ROWS if split in (None, 0, 1, 2) else 40)
    for array in plan.arrays:
        rows = [p.rows.numbers(0, p.rows.total) for p in array.partitions(plan.record_size)]
        assert all(int(r[0]) % plan.record_size == 0 for r in rows)
        joined = np.sort(np.concatenate(rows))
        assert (joined == np.arange(array.spec.total)).all()


def test_an_axis_of_a_prime_number_of_chunks_is_refused_with_a_remedy() -> None:
    with pytest.raises(InputError, match="split along a leading dimension"):
        make_plan(pyramid(), Location("s3://b/image.zarr"), split=4)


def test_levels_that_share_no_divisor_leave_the_large_ones_split() -> None:
    plan = make_plan(pyramid(), Location("s3://b/image.zarr"), split=3, region=5120)
    axes = {array.spec.name: array.axis for array in plan.arrays}
    assert axes["0"] == 3
    assert None in axes.values()
    assert plan.record_size >= 100


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("split", [None, "0", "1", "2"])
@pytest.mark.parametrize("names", [None, ("z", "y", "x")])
def test_pyramids_read_back_and_get_no_made_up_names(
    tmp_path: Path, zarr_format: Any, split: str | None, names: tuple[str, ...] | None
) -> None:
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=zarr_format)
    image = root.create_group("image", attributes={"multiscales": [{"version": "0.5"}]})
    random = np.random.default_rng(0)
    extra = {"dimension_names": names} if zarr_format == 3 else {}
    if zarr_format == 3:
        extra["shards"] = (2, 10, 10)
    else:
        extra["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    for n in range(3):
        shape = (5, 23 >> n, 31 >> n)
        data = random.integers(0, 1000, shape).astype("u2")
        image.create_array(f"{n}", shape=shape, chunks=(1, 5, 5), dtype="u2", **extra)[...] = data
    plan = parchunk.plan(str(tmp_path / "s.zarr"), split=split)
    build(plan, str(tmp_path / "refs"))
    references = fsspec.filesystem(
        "reference", fo=str(tmp_path / "refs"), remote_protocol="file", asynchronous=True
    )
    opened = zarr.open_group(FsspecStore(references, read_only=True), mode="r")
    for n in range(3):
        got = opened[f"image/{n}"]
        assert got[...].tobytes() == image[f"{n}"][...].tobytes()
        named = zarr_format == 3 and names is not None
        assert ("_ARRAY_DIMENSIONS" in got.attrs) == named
    assert opened["image"].attrs["multiscales"] == [{"version": "0.5"}]
