"""What a dataset is, as stock zarr reads its stores: values, and the bytes of each chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

#: Bytes of chunks by their indices; None of those that are not there.
Chunks = Mapping[tuple[int, ...], bytes | None]


@dataclass(frozen=True, eq=False)
class Held:
    """An array: its values, and its chunks where each of them is an object of its own."""

    values: Any
    chunks: Chunks | None
    chunk_shape: tuple[int, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    fill: int | None = -1

    @property
    def layout(self) -> tuple[Any, ...]:
        """What chunk indices mean."""
        return self.chunk_shape, np.ndim(self.values)


def of_store(folder: Path) -> dict[str, Held]:
    """Return all arrays of a store, by their names."""
    root: Any = zarr.open_group(folder, mode="r", use_consolidated=False)
    return {name: _of_array(folder / name, array) for name, array in root.arrays()}


def _of_array(folder: Path, array: Any) -> Held:
    values = np.asarray(array[...])
    if array.basename == "time":
        return Held(_dates(values, array.attrs["units"]), None, ())
    if array.shards:
        fill = int(array.fill_value)
        return Held(values, None, array.chunks, attributes_of(array.attrs), fill)
    chunks: dict[tuple[int, ...], bytes | None] = {}
    grid = [-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True)]
    for index in np.ndindex(*grid):
        file = folder / array.metadata.encode_chunk_key(index)
        chunks[index] = file.read_bytes() if file.exists() else None
    fill = int(array.fill_value)
    return Held(values, chunks, array.chunks, attributes_of(array.attrs), fill)


def attributes_of(all_of_them: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an array, but for what says its dimensions in Zarr v2."""
    return {name: one for name, one in all_of_them.items() if name != "_ARRAY_DIMENSIONS"}


def _dates(values: Any, units: str) -> Any:
    """Return days as numbers from 2000-01-01 on."""
    unit, _, origin = units.partition(" since ")
    days = np.asarray(values, "f8") / {"days": 1, "hours": 24}[unit]
    return days + (np.datetime64(origin[:10]) - np.datetime64("2000-01-01")).astype(int)


def dates_of(array: Any) -> Any:
    """Return the days of an array of time that zarr has opened."""
    return _dates(np.asarray(array[...]), array.attrs["units"])


def lacking(like: Held, axis: int, steps: int) -> Held:
    """Return an array that a store lacks: all of its chunks are missing."""
    shape = list(like.values.shape)
    shape[axis] = steps
    grid = [-(-size // chunk) for size, chunk in zip(shape, like.chunk_shape, strict=True)]
    chunks = None if like.chunks is None else dict.fromkeys(np.ndindex(*grid), None)
    return replace(like, values=np.full(shape, like.fill, like.values.dtype), chunks=chunks)


def one_after_another(parts: Sequence[Held], axis: int) -> Held:
    """Return arrays of stores that follow each other along an axis."""
    values = np.concatenate([part.values for part in parts], axis)
    if any(part.chunks is None for part in parts):
        return replace(parts[0], values=values)
    chunks: dict[tuple[int, ...], bytes | None] = {}
    first = 0
    for part in parts:
        for index, data in (part.chunks or {}).items():
            chunks[(*index[:axis], index[axis] + first, *index[axis + 1 :])] = data
        first += -(-part.values.shape[axis] // part.chunk_shape[axis])
    return replace(parts[0], values=values, chunks=chunks)


def stacked(parts: Sequence[Held]) -> Held:
    """Return arrays of stores that are one index each of a new leading dimension."""
    values = np.stack([part.values for part in parts])
    shape = (1, *parts[0].chunk_shape)
    if any(part.chunks is None for part in parts):
        return replace(parts[0], values=values, chunk_shape=shape)
    chunks = {
        (at, *index): data
        for at, part in enumerate(parts)
        for index, data in (part.chunks or {}).items()
    }
    return replace(parts[0], values=values, chunks=chunks, chunk_shape=shape)
