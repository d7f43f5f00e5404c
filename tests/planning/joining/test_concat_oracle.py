"""Stores joined along a dimension, against xarray's own concat of the same stores."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.many_stores import Made, as_one_store, join, write

UNITS = {"hours": 1, "minutes": 60, "seconds": 3600, "days": 1 / 24}
SETTINGS = settings(
    max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def opened(path: Path, zarr_format: int) -> xarray.Dataset:
    return xarray.open_zarr(path, consolidated=False, zarr_format=zarr_format, chunks=None).load()


@st.composite
def months(draw: st.DrawFn) -> dict[str, Any]:
    """Return stores of hours that follow each other, each with units of its own."""
    chunk = draw(st.integers(1, 3))
    count = draw(st.integers(1, 5))
    lengths = [chunk * draw(st.integers(0 if at else 1, 3)) for at in range(count)]
    lengths[-1] += draw(st.integers(0, chunk - 1))
    units = []
    hours = 0
    for length in lengths:
        unit = draw(st.sampled_from(["hours", "minutes", "seconds"]))
        units.append((unit, draw(st.sampled_from([0, hours, -48, 7]))))
        hours += length
    return {
        "format": draw(st.sampled_from([2, 3])),
        "calendar": draw(st.sampled_from([None, "standard", "proleptic_gregorian"])),
        "chunk": chunk,
        "lengths": lengths,
        "units": units,
        "axis": draw(st.integers(0, 2)),
        "order": draw(st.sampled_from("CF")),
        "shards": draw(st.sampled_from([None, 2])),
        "holes": draw(st.booleans()),
        "dtype": draw(st.sampled_from(["<i4", "<i8", "<f8"])),
        "bounds": draw(st.booleans()),
        "seed": draw(st.integers(0, 9)),
    }


def write_months(folder: Path, made: dict[str, Any]) -> list[Path]:
    random = np.random.default_rng(made["seed"])
    begin, paths = 0, []
    for at, (length, (unit, apart)) in enumerate(zip(made["lengths"], made["units"], strict=True)):
        hours = np.arange(begin, begin + length)
        since = np.datetime64("1999-12-31T00") + np.timedelta64(apart, "h")
        times = {"units": f"{unit} since {str(since).replace('T', ' ')}:00"}
        if made["calendar"]:
            times["calendar"] = made["calendar"]
        values = ((hours - apart) * UNITS[unit]).astype(made["dtype"])
        shape, names = [4, 2], ["y", "x"]
        shape.insert(made["axis"], length)
        names.insert(made["axis"], "time")
        chunks = [2, 1]
        chunks.insert(made["axis"], made["chunk"])
        shards = None
        if made["format"] == 3 and made["shards"] and made["chunk"] % 2 == 0:
            shards = tuple(chunks)
            chunks[made["axis"]] //= 2
        options: dict[str, Any] = {"compressors": None}
        if made["format"] == 2:
            options["order"] = made["order"]
        elif made["order"] == "F":
            options["filters"] = [__import__("zarr").codecs.TransposeCodec(order=(2, 1, 0))]
        data = random.integers(0 if made["holes"] else 1, 3, shape).astype("<i2")
        arrays = {
            "air": Made(data, tuple(names), tuple(chunks), {"units": "K"}, shards, options),
            "time": Made(values, ("time",), None, dict(times)),
            "valid": Made(values + 1, ("time",), None, dict(times)),
            "y": Made(np.arange(4.0), ("y",)),
        }
        if made["bounds"]:
            arrays["time"] = Made(values, ("time",), None, times | {"bounds": "time_bnds"})
            both = np.stack([values, values + 1], axis=1)
            arrays["time_bnds"] = Made(both, ("time", "nv"))
        paths.append(write(folder / f"{at}.zarr", arrays, made["format"], title="t", number=at))
        begin += length
    return paths


@SETTINGS
@given(months())
def test_months_read_back_as_xarray_joins_them(made: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_months(folder, made)
        joined = join(paths, concat="time")
        whole = opened(as_one_store(folder / "all", paths, joined), made["format"])
        expected = xarray.concat(
            [opened(path, made["format"]) for path in paths],
            "time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="override",
            combine_attrs="override",
        )
        xarray.testing.assert_equal(whole, expected)
        if made["dtype"] != "<f8":
            assert joined.joined.arrays["time"].spec.dtype.startswith("<i")
        assert joined.joined.borders == (0, *np.cumsum(made["lengths"]).tolist())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_one_store_is_a_dataset_of_one(tmp_path: Path, zarr_format: int) -> None:
    made = {
        "format": zarr_format, "calendar": None, "chunk": 2, "lengths": [5],
        "units": [("hours", 0)], "axis": 0, "order": "C", "shards": None, "holes": True,
        "dtype": "<i8", "bounds": True, "seed": 1,
    }  # fmt: skip
    paths = write_months(tmp_path, made)
    whole = opened(as_one_store(tmp_path / "all", paths, join(paths, concat="time")), zarr_format)
    xarray.testing.assert_identical(whole, opened(paths[0], zarr_format))
