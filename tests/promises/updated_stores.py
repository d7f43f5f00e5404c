"""Stores that grow and are rewritten while updates of them are killed."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr


def make(path: Path, name: str, steps: int, width: int, **chosen: Any) -> zarr.Array:
    root = zarr.open_group(path, mode="a", zarr_format=3)
    array = root.create_array(
        name,
        shape=(steps, width),
        dtype="i4",
        fill_value=-1,
        dimension_names=["t", "x"],
        **chosen,
    )
    lengthen(array, steps, 0)
    return array


def lengthen(array: zarr.Array, steps: int, before: int | None = None) -> None:
    before = array.shape[0] if before is None else before
    array.resize((steps, array.shape[1]))
    values = np.arange(1, 1 + array.size).reshape(array.shape)
    array[before:] = values[before:]


def opened(path: Path, name: str) -> zarr.Array:
    return zarr.open_array(path / name, mode="r+")


def air(source: Path) -> dict[str, Any]:
    make(source, "air", 20, 6, chunks=(2, 3))
    make(source, "rain", 20, 6, chunks=(4, 6))
    (source / "air" / "c" / "5" / "stray").write_bytes(b"no chunk")
    return {"split": "t", "region": 8, "record_size": 4}


def with_gap(source: Path) -> dict[str, Any]:
    plan = air(source)
    (source / "air/c/4/1").unlink()
    return plan


def sharded(source: Path) -> dict[str, Any]:
    make(source, "air", 20, 6, chunks=(2, 3), shards=(4, 6))
    return {}


def flat(source: Path) -> dict[str, Any]:
    make(source, "air", 2, 60, chunks=(2, 3))
    return {"region": 12, "record_size": 8}


def rewrite(source: Path, name: str = "air", step: int = 2) -> None:
    """Write a chunk again, by default one of the first region: it has another size then."""
    array = opened(source, name)
    array[step : step + array.chunks[0], : array.chunks[1]] = 0


def grow(source: Path, steps: int = 27) -> None:
    for name in ("air", "rain"):
        if (source / name).exists():
            lengthen(opened(source, name), steps)


def grow_and_rewrite(source: Path) -> None:
    grow(source)
    rewrite(source)


def join(source: Path) -> None:
    """Let an array come that wants regions of 24 steps: those of 8 are joined."""
    rewrite(source)
    make(source, "big", 20, 30, chunks=(3, 1))


def fill(source: Path) -> None:
    array = opened(source, "air")
    array[8:10, 3:] = np.arange(1, 1 + array.size).reshape(array.shape)[8:10, 3:]


#: Scenarios: how the store is made and planned, what becomes of it, what the update is asked.
SCENARIOS: dict[str, tuple[Any, Any, list[str]]] = {
    "grown": (air, grow, []),
    "a gap was filled": (with_gap, fill, []),
    "regions": (air, rewrite, ["--regions", "0"]),
    "arrays": (air, rewrite, ["--arrays", "air"]),
    "regions and growth": (air, grow_and_rewrite, ["--regions", "0"]),
    "regions joined": (air, join, ["--regions", "0"]),
    "shards": (sharded, grow, []),
    "another split": (flat, grow, []),
}
