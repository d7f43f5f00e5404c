"""Where the objects of an array of many stores are: each row's in its own store."""

from __future__ import annotations

from math import prod

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.planning.joining.store_view import StoreView, own_array
from parchunk.planning.many_sources import sources_of
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source
from parchunk.writing.known_rows import ObjectPaths, paths_in


class StoreObjects:
    """The objects of one array of a plan of many stores: in which store each is, and where."""

    def __init__(self, plan: Plan, array: str, source: Source) -> None:
        assert plan.stores is not None
        self._plan, self._array, self._stores = plan, array, plan.stores
        self._sources = sources_of(plan.stores, source)
        self._views: dict[int, StoreView] = {}
        self._paths: dict[int, ObjectPaths] = {}

    def stores(self, objects: Int64Array) -> Int64Array:
        """Return the store of each object, by its number in the dataset, shape (n,); -1: none."""
        spec, place = self._plan.by_name[self._array].spec, self._stores.place(self._array)
        if self._array in self._stores.kept:
            return np.full(len(objects), -1)
        if place.axis is None:
            return np.full(len(objects), place.stores[0] if place.stores else -1)
        index = objects // max(prod(spec.grid[place.axis + 1 :]), 1) % spec.grid[place.axis]
        found = self._stores.stores_at(index * spec.chunks[place.axis], place.series)
        there = [at for at in np.unique(found).tolist() if self._stores.has(at, self._array)]
        return np.where(np.isin(found, there), found, -1)

    def within(self, store: int, objects: Int64Array) -> tuple[Source, StoreView, Int64Array]:
        """Return a store's source, its view, and the numbers there of objects that it has."""
        view = self._view(store)
        return self._sources[store], view, view.object_placement(self._array).own(objects)

    def paths(
        self, objects: Int64Array, referenced: NDArray[np.bool_]
    ) -> pa.StringArray | pa.DictionaryArray:
        """Return the path of each row's object, null where it is not ``referenced``."""
        if not len(objects):
            return pa.array([], pa.string())
        stores = self.stores(objects)
        turns = np.flatnonzero(np.diff(stores)) + 1
        parts = [
            self._of_store(int(stores[begin]), objects[begin:end], referenced[begin:end])
            for begin, end in zip([0, *turns], [*turns, len(objects)], strict=True)
        ]
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

    def _of_store(
        self, store: int, objects: Int64Array, referenced: NDArray[np.bool_]
    ) -> pa.StringArray | pa.DictionaryArray:
        if store < 0:
            return pa.nulls(len(objects), pa.string())
        source, view, own = self.within(store, objects)
        if store not in self._paths:
            self._paths[store] = paths_in(source, view.specs[self._array])
        return self._paths[store](own, referenced)

    def _view(self, store: int) -> StoreView:
        if store not in self._views:
            own = own_array(self._stores, store, self._plan.by_name[self._array].spec)
            assert own is not None
            self._views[store] = StoreView(self._plan, store, "", {self._array: own})
        return self._views[store]


def object_paths(plan: Plan, array: str, source: Source) -> ObjectPaths:
    """Return what spells the paths of an array's objects, in one store or in many."""
    if plan.stores is None:
        return paths_in(source, plan.by_name[array].spec)
    return StoreObjects(plan, array, source).paths
