"""What is odd about a document and stops nothing: lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parchunk.metadata.document import shorten
from parchunk.metadata.spec import ArraySpec
from parchunk.metadata.v2 import DIMENSIONS


def oddities(arrays: Iterable[ArraySpec]) -> tuple[str, ...]:
    """Return a line for each array whose document does not say what its writer meant it to."""
    return tuple(line for array in arrays for line in _of(array))


def _of(array: ArraySpec) -> Iterator[str]:
    if array.zarr_format == 3 and array.document.get("dimension_names") is not None:
        return
    named = DIMENSIONS in array.attributes
    if named and array.rank and all(name is None for name in array.dimension_names):
        found = array.attributes[DIMENSIONS]
        if found == [None] * array.rank:
            return
        yield (
            f"array {shorten(array.name)!r}: its {DIMENSIONS} {shorten(found)} are no names for "
            f"{array.rank} {'dimension' if array.rank == 1 else 'dimensions'}, so its dimensions "
            "count as unnamed; xarray will refuse it, here as in the source"
        )
