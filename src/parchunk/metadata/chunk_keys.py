"""Keys of an array's chunks, by chunk number."""

from __future__ import annotations

from parchunk.keys.numbers import unravelled
from parchunk.metadata.shard_grid import extents
from parchunk.metadata.spec import ArraySpec


def chunk_key(spec: ArraySpec, number: int) -> str:
    """Return the source's key of a chunk by number: of an inner chunk, its shard's."""
    index = chunk_index(spec, number)
    if spec.inner_chunks is not None:
        index = tuple(at // extent for at, extent in zip(index, extents(spec), strict=True))
    return f"{spec.name}/{spec.keys.tail(index)}"


def chunk_label(spec: ArraySpec, number: int) -> str:
    """Return what a message calls a chunk: its key, and which inner chunk of the array it is."""
    if spec.inner_chunks is None:
        return chunk_key(spec, number)
    index = ", ".join(map(str, chunk_index(spec, number)))
    return f"inner chunk ({index}) in {chunk_key(spec, number)}"


def object_key(spec: ArraySpec, number: int) -> str:
    """Return the source's key of an object by number: of an expanded array, of a shard."""
    return f"{spec.name}/{spec.space.key(number)}"


def chunk_index(spec: ArraySpec, number: int) -> tuple[int, ...]:
    """Return the chunk index of a chunk number, in the grid of the references."""
    return unravelled(spec.reference_grid, number)
