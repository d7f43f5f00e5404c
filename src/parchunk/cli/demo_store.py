"""A real Zarr store for the demo, and a reading of its references against the original."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray
    import zarr

#: Steps of the demo's time axis, one chunk each.
STEPS = 240
LEVELS, ROWS, COLUMNS = 6, 60, 120
#: The region length that the demo builds with, in steps.
REGION = 60


@dataclass(frozen=True)
class DemoStore:
    """The store that was made: chunk files removed from it, and the stray that was added."""

    path: Path
    removed: tuple[str, ...]
    stray: str


def make_demo_store(path: Path) -> DemoStore:
    """Write a Zarr v3 store with 3-D and 4-D variables, coordinates, attributes, and faults.

    Replaces a store of an earlier demo at ``path``.
    """
    import zarr

    shutil.rmtree(path, ignore_errors=True)
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.attrs.update({"title": "parchunk demo", "institution": "made up", "Conventions": "CF-1.8"})
    seed = np.random.default_rng(894)
    time = np.arange(STEPS)
    latitude = np.linspace(-88.5, 88.5, ROWS)
    longitude = np.arange(COLUMNS) * 3.0
    level = np.array([1000.0, 850.0, 700.0, 500.0, 300.0, 100.0])
    season = np.cos(2 * np.pi * time / STEPS)[:, None, None]
    surface = 288 - 40 * np.abs(np.sin(np.deg2rad(latitude)))[None, :, None] + 5 * season
    surface = surface + seed.normal(0, 1, (STEPS, ROWS, COLUMNS))
    profile = surface[:, None] - np.linspace(0, 70, LEVELS)[None, :, None, None]
    rain = np.maximum(seed.normal(0, 2, (STEPS, ROWS, COLUMNS)), 0)

    put = partial(_put, root)
    grid = ("time", "latitude", "longitude")
    put(
        "temperature",
        profile.astype("f4"),
        (1, 1, ROWS, COLUMNS),
        ("time", "level", *grid[1:]),
        units="K",
        long_name="air temperature",
    )
    put(
        "surface_temperature",
        surface.astype("f4"),
        (1, 30, 60),
        grid,
        units="K",
        long_name="temperature at 2 m",
    )
    put("precipitation", rain.astype("f4"), (1, 30, 60), grid, units="mm h-1")
    put("time", time, (STEPS,), ("time",), units="hours since 2026-01-01", calendar="standard")
    put("level", level, (LEVELS,), ("level",), units="hPa")
    put("latitude", latitude, (ROWS,), ("latitude",), units="degrees_north")
    put("longitude", longitude, (COLUMNS,), ("longitude",), units="degrees_east")
    return DemoStore(path, *_make_faults(path))


def _put(
    root: zarr.Group,
    name: str,
    values: np.ndarray,
    chunks: tuple[int, ...],
    dimensions: tuple[str, ...],
    **attributes: str,
) -> None:
    array = root.create_array(
        name,
        shape=values.shape,
        chunks=chunks,
        dtype=values.dtype,
        dimension_names=dimensions,
        fill_value=float("nan") if values.dtype.kind == "f" else 0,
        attributes=dict[str, Any](attributes),
    )
    array[...] = values


def _make_faults(path: Path) -> tuple[tuple[str, ...], str]:
    """Remove some chunks and leave a stray, as writers do that are killed; return their keys."""
    removed = tuple(
        f"temperature/c/{step}/{at}/0/0" for step, at in ((17, 3), (130, 0), (131, 0), (239, 5))
    )
    for key in removed:
        (path / key).unlink()
    stray = "temperature/c/17/3/0/0.partial"
    (path / stray).parent.mkdir(parents=True, exist_ok=True)
    (path / stray).write_bytes(b"left by a writer that was killed")
    return removed, stray


def compare(opened: xarray.Dataset, original: xarray.Dataset) -> list[str]:
    """Return a line for every variable, all values compared; AssertionError where they differ."""
    lines = []
    for name in sorted(map(str, original.variables)):
        ours, theirs = opened[name].values, original[name].values
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
        lines.append(f"{name}: {ours.size:,} values equal")
    return lines
