"""The path that references of each chunk must have, whichever store it is in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.placement import Placement
from parchunk.keys.spelling import PathBuilder
from parchunk.planning.joining.store_view import own_array
from parchunk.planning.plan import Plan
from parchunk.stores.urls import below


class ArrayPaths(Protocol):
    """Spells the reference paths of an array's objects."""

    def build(
        self, numbers: Int64Array, present: NDArray[np.bool_] | None = None
    ) -> pa.StringArray:
        """Return the paths of object numbers, shape (n,); null where ``present`` is not."""


def array_paths(plan: Plan, array: str) -> ArrayPaths:
    """Return what spells the reference paths of an array of a plan; the numbers are OUT's."""
    if plan.stores is None:
        spec = plan.by_name[array].spec
        return PathBuilder(f"{below(plan.location.url, spec.name)}/", spec.space)
    return _PathsInStores(plan, array)


class _PathsInStores:
    """Paths of an array whose objects are in many stores."""

    def __init__(self, plan: Plan, array: str) -> None:
        self._plan, self._array = plan, array
        self._last: tuple[int, PathBuilder, Placement] | None = None

    def build(
        self, numbers: Int64Array, present: NDArray[np.bool_] | None = None
    ) -> pa.StringArray:
        built = [
            self._built(store, numbers[begin:end], None if present is None else present[begin:end])
            for begin, end, store in self._runs(numbers)
        ]
        return (
            built[0] if len(built) == 1 else pa.chunked_array(built, pa.string()).combine_chunks()
        )

    def _built(
        self, store: int | None, numbers: Int64Array, present: NDArray[np.bool_] | None
    ) -> pa.StringArray:
        if store is None:
            return pa.nulls(len(numbers), pa.string())
        last = self._last
        if last is None or last[0] != store:
            last = self._last = (store, *self._in_store(store))
        _, paths, placement = last
        return paths.build(placement.own(numbers), present)

    def _runs(self, numbers: Int64Array) -> Iterator[tuple[int, int, int | None]]:
        """Yield ``(begin, end, store)`` of neighbouring objects in one store; None: in none."""
        stores, spec = self._plan.stores, self._plan.by_name[self._array].spec
        assert stores is not None
        place = stores.place(self._array)
        axis = place.axis
        if axis is None:
            yield 0, len(numbers), stores.store_of(self._array, None)
            return
        elements = numbers // prod(spec.grid[axis + 1 :]) % spec.grid[axis] * spec.chunks[axis]
        at = stores.stores_at(elements, place.series)
        ends = [*(np.flatnonzero(np.diff(at)) + 1).tolist(), len(at)]
        for begin, end in pairwise([0, *ends]):
            if begin < end:
                yield begin, end, stores.store_of(self._array, int(elements[begin]))

    def _in_store(self, store: int) -> tuple[PathBuilder, Placement]:
        stores, spec = self._plan.stores, self._plan.by_name[self._array].spec
        assert stores is not None
        own = own_array(stores, store, spec)
        assert own is not None, "the store has the array"
        one, place = stores.stores[store], stores.place(self._array)
        paths = PathBuilder(f"{below(one.url, own.name)}/", own.space)
        if place.axis is None:
            return paths, Placement(1, 1, 0)
        if place.stacked:
            total = max(own.total, 1)
            return paths, Placement(total, total, one.start * own.total)
        axis = place.axis
        return paths, Placement(
            max(prod(own.grid[axis:]), 1),
            max(prod(spec.grid[axis:]), 1),
            one.start // spec.chunks[axis] * prod(spec.grid[axis + 1 :]),
        )
