"""Arrays that must be the same in all stores: their bytes compared, and where these differ, values.

Two stores may hold the same latitudes and have compressed them by other versions of a library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.bounds import units_of
from parchunk.planning.joining.comparing import Reference
from parchunk.planning.joining.members import ToCompare
from parchunk.planning.joining.values import KeptArray, ObjectReader, read_objects, values_of
from parchunk.wording import bytes_text

#: Bytes of one array that are compared in each store, at most, uncompressed.
MOST_BYTES = 64 << 20


def differing(
    wanted: ToCompare, sources: Sequence[ObjectReader], labels: Sequence[str]
) -> str | None:
    """Return a sentence on the first store in which an array is another one; None: all alike.

    ``sources`` and ``labels`` are those of all stores. What is too large to be compared counts as
    differing.
    """
    (first, spec), *others = wanted.parts
    nbytes = spec.itemsize
    for size in spec.shape:
        nbytes *= size
    if nbytes > MOST_BYTES:
        return (
            f"{wanted.name}: has {bytes_text(nbytes)} in each store, more than the "
            f"{bytes_text(MOST_BYTES)} that are compared"
        )
    reference = Reference(labels[first], spec)
    units = units_of(spec, wanted.bounded.get(first))
    objects = read_objects(sources[first], spec)
    values: NDArray[np.generic] | None = None
    for store, other in others:
        changed = reference.meaning_changed(labels[store], other)
        if changed is not None:
            return str(changed)
        if units_of(other, wanted.bounded.get(store)) != units:
            return f"{wanted.name}: other units of what it bounds in {labels[store]}"
        found = read_objects(sources[store], other)
        if found == objects and reference.has_same_document(other):
            continue
        if values is None:
            values = values_of(sources[first].describe(wanted.name), spec, objects)
        theirs = values_of(sources[store].describe(wanted.name), other, found)
        if not same_values(values, theirs):
            return f"{wanted.name}: has other values in {labels[store]} than in {labels[first]}"
    return None


def same_chunks(spec: ArraySpec, chunk: bytes | None, other: KeptArray) -> bool:
    """Whether two arrays of one chunk each have the same values."""
    if chunk is None or other.chunk is None or spec.shape != other.spec.shape:
        return False
    tail = spec.keys.tail((0,) * spec.rank)
    one = values_of(spec.name, spec, {tail: chunk})
    return same_values(one, values_of(spec.name, other.spec, {tail: other.chunk}))


def same_values(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays hold the same, numbers of whatever length; NaN or NaT is like another."""
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        return False
    if one.dtype.names is not None:
        return one.dtype.names == other.dtype.names and all(
            same_values(one[name], other[name]) for name in one.dtype.names
        )
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fcmM")
