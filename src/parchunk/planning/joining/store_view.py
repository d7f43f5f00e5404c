"""The stores of a plan: arrays and chunk numbers as each has them, for listing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from parchunk.keys.placement import Placement
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy
from parchunk.planning.joining.concatenation import longer
from parchunk.planning.joining.stacked_array import unstacked_spec
from parchunk.planning.joining.store_set import PlannedStore, StoreSet
from parchunk.planning.plan import ArrayPlan, Partition, Plan


@dataclass(frozen=True)
class StoreView:
    """What one store contributes to a plan.

    ``specs`` are its arrays by OUT's names, with the store's own shapes and chunk numbers. They are
    named as they lie below the source that is listed, in which the store is at ``within``; empty
    where the store itself is listed.
    """

    whole: Plan
    store: int
    within: str
    specs: Mapping[str, ArraySpec]

    @classmethod
    def of(cls, plan: Plan, store: int, within: str = "") -> StoreView:
        """Return the view of one store of a plan of many."""
        stores = plan.stores
        assert stores is not None
        specs = {
            array.spec.name: replace(spec, name="/".join(filter(None, (within, spec.name))))
            for array in plan.arrays
            if (spec := own_array(stores, store, array.spec)) is not None
        }
        return cls(plan, store, within, specs)

    @property
    def groups(self) -> tuple[GroupSpec, ...]:
        """The store's groups, as far as the plan knows them, named as its arrays are."""
        groups = _own_groups(self.whole.hierarchy, self._planned)
        if not self.within:
            return groups
        return tuple(
            replace(group, name="/".join(filter(None, (self.within, group.name))))
            for group in groups
        )

    @property
    def beside(self) -> Mapping[str, int]:
        """The keys below arrays of the store that are not listed, by the arrays' names there."""
        stores = self.whole.stores
        assert stores is not None
        return {
            "/".join(filter(None, (self.within, _own_name(array, self._planned)))): keys[self.store]
            for array, keys in stores.beside.items()
            if keys[self.store]
        }

    def placement(self, array: str) -> Placement:
        """Return where the references of an array (OUT's name) in this store lie among all."""
        whole, own = self.whole.by_name[array].spec, self.specs[array]
        return self._placement(
            array, whole.reference_grid, whole.reference_chunks, own.reference_grid
        )

    def object_placement(self, array: str) -> Placement:
        """Return where the objects of an array lie among all: shards, where it is expanded."""
        whole, own = self.whole.by_name[array].spec, self.specs[array]
        return self._placement(array, whole.grid, whole.chunks, own.grid)

    def _placement(
        self,
        array: str,
        grid: tuple[int, ...],
        chunks: tuple[int, ...],
        own_grid: tuple[int, ...],
    ) -> Placement:
        stores = self.whole.stores
        assert stores is not None
        place = stores.place(array)
        if place.axis is None:
            return Placement(1, 1, 0)
        if place.stacked:
            total = prod(own_grid)
            return Placement(max(total, 1), max(total, 1), self._planned.start * total)
        axis = place.axis
        begin = self._planned.start // chunks[axis]
        return Placement(
            max(prod(own_grid[axis:]), 1),
            max(prod(grid[axis:]), 1),
            begin * prod(grid[axis + 1 :]),
        )

    def partition(self, partition: Partition) -> Partition:
        """Return a partition, or what the store has of one, with its own name and numbers."""
        array = partition.array
        own = self.specs[array]
        stores = self.whole.stores
        assert stores is not None
        place = stores.place(array)
        if place.axis is None:
            return Partition(own.name, partition.region, partition.rows, partition.objects)
        if place.stacked and own.inner_chunks is not None:
            every = ArrayPlan(own).partition(None, 1)
            return Partition(own.name, partition.region, every.rows, every.objects)
        rows = self.placement(array).own_rows(partition.rows)
        objects = rows
        if own.inner_chunks is not None:
            axis, grid = place.axis, own.grid
            inner = prod(grid[axis + 1 :])
            begin = self._planned.start // own.chunks[axis]
            start = partition.objects.start - begin * inner
            objects = RowSet(
                max(grid[axis] * inner, 1),
                start,
                start + partition.objects.run,
                partition.objects.first,
                partition.objects.count,
            )
        return Partition(own.name, partition.region, rows, objects)

    @property
    def _planned(self) -> PlannedStore:
        assert self.whole.stores is not None
        return self.whole.stores.stores[self.store]


def plan_of(views: Sequence[StoreView]) -> Plan:
    """Return a plan of the arrays of some stores side by side, none of which is split.

    What is listed of them is told by `StoreView.partition`.
    """
    whole = views[0].whole
    arrays = sorted(
        (spec for view in views for spec in view.specs.values()), key=lambda spec: spec.name
    )
    groups = tuple(group for view in views for group in view.groups)
    written = whole.hierarchy.written_format
    return replace(
        whole,
        hierarchy=Hierarchy(arrays=tuple(arrays), groups=groups, written_format=written),
        split=None,
        arrays=tuple(map(ArrayPlan, arrays)),
        cuts=(),
        stores=None,
        source=None,
    )


def _own_name(array: str, store: PlannedStore) -> str:
    if not store.below:
        return array
    assert array.split("/")[: len(store.below.split("/"))] == store.below.split("/")
    return array[len(store.below) + 1 :]


def own_array(stores: StoreSet, store: int, spec: ArraySpec) -> ArraySpec | None:
    """Return an array as a store has it, None where it has not, or is not asked for it."""
    place, one = stores.place(spec.name), stores.stores[store]
    if spec.name in stores.kept:
        return None
    if place.axis is None:
        if not place.stores or place.stores[0] != store:
            return None
    elif one.start == one.stop or not stores.has(store, spec.name):
        return None
    elif place.stacked:
        spec = unstacked_spec(spec)
    else:
        spec = longer(spec, place.axis, one.stop - one.start)
    return replace(spec, name=_own_name(spec.name, one))


def _own_groups(hierarchy: Hierarchy, store: PlannedStore) -> tuple[GroupSpec, ...]:
    if not store.below:
        return hierarchy.groups
    below = store.below.split("/")
    return tuple(
        replace(group, name="/".join(group.name.split("/")[len(below) :]))
        for group in hierarchy.groups
        if group.name.split("/")[: len(below)] == below
    )
