"""Identity vectors: what listings say of a row set's objects beside their sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.listing.listed_rows import Listed
from parchunk.stores.identity import HELD_BYTES, MOST_TAG

_TIME = pa.timestamp("us")


class IdentityVector:
    """The times or entity tags of objects in row order, where a size vector says that one is there.

    Else what it holds means nothing. A slice is a view, and shows what is noted later.
    """

    __slots__ = ("_values",)

    def __init__(self, memory: NDArray[Any]) -> None:
        """Take memory of as many values as there are rows, of a type that `kind_of` returned."""
        self._values = memory

    def __getitem__(self, rows: slice | Int64Array) -> IdentityVector:
        """Return the vector of some rows."""
        return IdentityVector(self._values[rows])

    @property
    def raw(self) -> NDArray[Any]:
        """The values as they are held: microseconds, or entity tags as bytes."""
        return self._values

    def note(self, rows: Int64Array, values: NDArray[Any], counted: NDArray[np.bool_]) -> None:
        """Note what a listing says of some rows, where its sizes were ``counted``."""
        if not counted.all():
            rows, values = rows[counted], values[counted]
        self._values[rows] = values

    def column(self) -> pa.Array:
        """Return the values as a column: times in UTC without a zone, or texts."""
        if self._values.dtype.kind == "S":
            return pa.array(self._values.astype(object), pa.binary()).cast(pa.string())
        return pa.array(np.ascontiguousarray(self._values)).cast(_TIME)


def kind_of(identity: str) -> np.dtype[Any] | None:
    """Return the type in which an identity is held, None where none is."""
    if identity == "none":
        return None
    kind = np.dtype(np.int64 if identity == "time" else f"S{MOST_TAG}")
    assert kind.itemsize == HELD_BYTES[identity]
    return kind


def values_of(listed: Listed, identity: str) -> NDArray[Any]:
    """Return what is held of listed objects, shape (n,)."""
    if identity == "time":
        return listed.modified
    assert listed.tags is not None
    return listed.tags
