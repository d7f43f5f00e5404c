"""Coordinates of many stores in what stock xarray reads: dates, bounds and what is masked."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from tests.many_stores import Made, write
from zarr.core.dtype import VariableLengthBytes

import parchunk
from parchunk.planning.joining.misfits import MisfitError

STEPS = np.arange(4)


def opened(path: Path) -> xarray.Dataset:
    return xarray.open_zarr(path, consolidated=False, chunks=None).load()


def inits(folder: Path, zarr_format: int, **bounds: Any) -> list[Path]:
    """Return forecasts whose valid times have units of their own, and bounds have those."""
    return [
        write(
            folder / f"{at}.zarr",
            {
                "step": Made(STEPS, ("step",)),
                "valid": Made(
                    STEPS,
                    ("step",),
                    None,
                    {"units": f"hours since 2000-01-0{at + 1}", "bounds": "valid_bounds"},
                ),
                "valid_bounds": Made(
                    np.stack([STEPS, STEPS + 1 + at * bounds["apart"]], 1), ("step", "nv")
                ),
                "air": Made(np.ones((4, 2)), ("step", "x"), (2, 2), {"coordinates": "valid"}),
            },
            zarr_format,
        )
        for at in range(2)
    ]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("apart", [0, 1])
@pytest.mark.parametrize("static", ["equal", "first"])
def test_stacked_coordinates_are_published_with_their_bounds(
    tmp_path: Path, zarr_format: int, apart: int, static: str
) -> None:
    paths = inits(tmp_path / "in", zarr_format, apart=apart)
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths, stack="init", static=static), out)
    whole = parchunk.open_dataset(out).load()
    for at, path in enumerate(paths):
        own = opened(path)
        assert whole.valid.dims == ("init", "step")
        for name in ("valid", "valid_bounds", "air"):
            np.testing.assert_array_equal(whole[name].values[at], own[name].values)
    assert parchunk.audit(out, against_source=True).findings == ()


def months(folder: Path, zarr_format: int, **auxiliary: Made) -> list[Path]:
    return [
        write(
            folder / f"{at}.zarr",
            {
                "time": Made(
                    STEPS,
                    ("time",),
                    None,
                    {"units": f"hours since 2000-01-0{at + 1}", "bounds": "time_bounds"},
                ),
                "air": Made(np.ones((4, 2)), ("time", "x"), (2, 2)),
                **{
                    name: Made(
                        made.values,
                        made.dimensions,
                        None,
                        {"units": f"hours since 2000-01-0{at + 1}", **made.attributes}
                        if made.attributes
                        else {},
                    )
                    for name, made in auxiliary.items()
                },
            },
            zarr_format,
        )
        for at in range(2)
    ]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("missing", [{"missing_value": -1}, {"missing_value": [-1, -2]}])
def test_missing_values_are_none_in_other_units_too(
    tmp_path: Path, zarr_format: int, missing: dict[str, Any]
) -> None:
    holes = Made(np.array([0, -1, 2, 3]), ("time",), None, missing)
    paths = months(tmp_path / "in", zarr_format, valid=holes)
    parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")
    with warnings.catch_warnings():  # xarray says where it masks several values
        warnings.simplefilter("ignore", xarray.SerializationWarning)
        expected = [opened(path).valid.values for path in paths]
        found = parchunk.open_dataset(tmp_path / "out").valid.values
    np.testing.assert_array_equal(found, np.concatenate(expected))
    assert np.isnat(found).sum() == 2


def test_a_fill_value_of_v2_counts_in_place_of_the_attribute(tmp_path: Path) -> None:
    """As xarray takes it: a 7 is a value here, whatever ``_FillValue`` says."""
    attributes = {"_FillValue": 7, "missing_value": 1}
    arrays = {
        "p": Made(np.array([1, 2, 7, 3]), ("time",), None, attributes, None, {"fill_value": 3})
    }
    paths = [write(tmp_path / f"{at}.zarr", arrays, 2) for at in range(2)]
    parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")
    with warnings.catch_warnings():  # xarray says where it masks several values
        warnings.simplefilter("ignore", xarray.SerializationWarning)
        expected = [opened(path).p.values for path in paths]
        found = parchunk.open_dataset(tmp_path / "out").p.values
    np.testing.assert_array_equal(expected[0], [np.nan, 2, 7, np.nan])
    np.testing.assert_array_equal(found, np.concatenate(expected))


def test_values_that_are_not_written_anew_are_refused_with_what_helps(tmp_path: Path) -> None:
    paths = []
    for at in range(2):
        root = zarr.open_group(tmp_path / f"{at}.zarr", mode="w", zarr_format=2)
        array = root.create_array(
            "p",
            shape=(2,),
            chunks=(2,),
            dtype=VariableLengthBytes(),
            attributes={"_ARRAY_DIMENSIONS": ["time"]},
        )
        array[:] = np.array([b"a", b"b"], object)
        paths.append(tmp_path / f"{at}.zarr")
    with pytest.raises(MisfitError, match=r"p: its values are not .*--no-inline-coordinates"):
        parchunk.plan(paths, concat="time")
    plan = parchunk.plan(paths, concat="time", inline_coordinates=False)
    assert parchunk.build(plan, tmp_path / "out").present == 2


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_bounds_whose_chunks_stay_have_one_unit(tmp_path: Path, zarr_format: int) -> None:
    """Along another axis than the first they are referenced, while what they bound is read."""
    bounds = Made(np.stack([STEPS, STEPS + 1]), ("nv", "time"))
    paths = months(tmp_path / "in", zarr_format, time_bounds=bounds)
    with pytest.raises(MisfitError, match=r"time_bounds: attribute units \(of what they bound\)"):
        parchunk.plan(paths, concat="time")
    plan = parchunk.plan(paths, concat="time", exclude="time_bounds")
    assert [array.spec.name for array in plan.arrays] == ["air", "time"]


def test_unsigned_times_in_other_units_are_refused(tmp_path: Path) -> None:
    packed = Made(np.arange(4), ("time",), None, {"_Unsigned": "true"})
    with pytest.raises(MisfitError, match="valid: is packed by _Unsigned, and has units"):
        parchunk.plan(months(tmp_path / "in", 2, valid=packed), concat="time")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_coordinate_that_was_the_same_is_stacked_once_it_differs(
    tmp_path: Path, zarr_format: int
) -> None:
    """Of one initialisation the valid times have no new dimension; the next one gives them it."""
    paths = inits(tmp_path / "in", zarr_format, apart=0)
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths[:1], stack="init"), out)
    assert parchunk.open_dataset(out).valid.dims == ("step",)
    updated = parchunk.update(out, [paths[1]])
    assert any(note.startswith("valid has other metadata") for note in updated.notes)
    whole = parchunk.open_dataset(out).load()
    for at, path in enumerate(paths):
        own = opened(path)
        for name in ("valid", "valid_bounds", "air"):
            np.testing.assert_array_equal(whole[name].values[at], own[name].values)
    assert parchunk.audit(out, against_source=True).findings == ()
    assert parchunk.update(out).notes == ()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("came", ["a store", "more of the last", "an array"])
def test_stores_of_coordinates_alone_are_updated(
    tmp_path: Path, zarr_format: int, came: str
) -> None:
    """What lies along the dimension alone is kept, so that such references have no regions."""

    def station(at: int, length: int = 2, **more: Made) -> Path:
        hours = np.arange(length) + 2 * at
        return write(
            tmp_path / f"{at}.zarr",
            {
                "time": Made(hours, ("time",), None, {"units": "hours since 2000-01-01"}),
                "level": Made(hours * 1.5, ("time",)),
                **more,
            },
            zarr_format,
        )

    paths, out = [station(0), station(1)], tmp_path / "out"
    parchunk.build(parchunk.plan([str(path) for path in paths], concat="time"), out)
    assert not parchunk.status(out).plan.regions
    if came == "a store":
        paths.append(station(2))
    elif came == "more of the last":
        station(1, 5)
    else:
        for at in range(2):
            air = np.arange(8).reshape(2, 4) + at
            station(at, air=Made(air, ("time", "x"), (1, 2)))
    parchunk.update(out, [str(path) for path in paths[2:]])
    joined = xarray.concat(
        [opened(path) for path in paths], "time", data_vars="minimal", coords="minimal",
        compat="equals",
    )  # fmt: skip
    with parchunk.open_dataset(out) as found:
        assert found.load().equals(joined)
    assert parchunk.audit(out, against_source=True).complete


def test_shards_that_come_to_stores_of_coordinates_alone_need_a_build(tmp_path: Path) -> None:
    """Their record files lie in one store each, and the record size stays."""
    hours, paths = np.arange(2), [tmp_path / f"{at}.zarr" for at in range(2)]
    for at, path in enumerate(paths):
        write(path, {"time": Made(hours + 2 * at, ("time",), None, {"units": "days"})}, 3)
    plan = parchunk.plan([str(path) for path in paths], concat="time")
    parchunk.build(plan, tmp_path / "out")
    for path in paths:
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        group.create_array(
            "air", shape=(2, 4), chunks=(1, 2), shards=(1, 4), dtype="f8",
            dimension_names=("time", "x"),
        )[...] = 1  # fmt: skip
    with pytest.raises(parchunk.InputError, match=r"--record-size .*: build anew \(--overwrite"):
        parchunk.update(tmp_path / "out")
    plan = parchunk.plan([str(path) for path in paths], concat="time")
    parchunk.build(plan, tmp_path / "out", overwrite=True)
    assert parchunk.audit(tmp_path / "out").complete
