"""One store of a plan on its own: its arrays and chunk numbers as it has them, for listing it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from parchunk.keys.placement import Placement
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy
from parchunk.planning.joining.concatenation import longer
from parchunk.planning.joining.stacked_array import unstacked_spec
from parchunk.planning.joining.store_set import PlannedStore, StoreSet
from parchunk.planning.plan import ArrayPlan, Partition, Plan
from parchunk.stores.opening import Location


@dataclass(frozen=True)
class StoreView:
    """What one store contributes to a plan.

    ``plan`` is a plan of the store alone, whose arrays have the store's own names, shapes and
    chunk numbers, and none of which is split: what is listed is told by `partition`.
    """

    whole: Plan
    store: int
    plan: Plan

    @classmethod
    def of(cls, plan: Plan, store: int) -> StoreView:
        """Return the view of one store of a plan of many."""
        stores = plan.stores
        assert stores is not None
        one = stores.stores[store]
        arrays = [
            spec
            for array in plan.arrays
            if (spec := own_array(stores, store, array.spec)) is not None
        ]
        hierarchy = Hierarchy(
            arrays=tuple(sorted(arrays, key=lambda spec: spec.name)),
            groups=_own_groups(plan.hierarchy, one),
            written_format=plan.hierarchy.written_format,
        )
        return cls(
            plan,
            store,
            replace(
                plan,
                location=Location(one.url, plan.location.options),
                hierarchy=hierarchy,
                split=None,
                arrays=tuple(map(ArrayPlan, hierarchy.arrays)),
                cuts=(),
                stores=None,
                source=None,
            ),
        )

    def name_in_out(self, own: str) -> str:
        """Return what OUT calls an array of the store."""
        below = self._planned.below
        return f"{below}/{own}" if below else own

    def placement(self, array: str) -> Placement:
        """Return where the references of an array (OUT's name) in this store lie among all."""
        whole = self.whole.by_name[array].spec
        own = self.plan.by_name[_own_name(array, self._planned)].spec
        stores = self.whole.stores
        assert stores is not None
        place = stores.place(array)
        if place.axis is None:
            return Placement(1, 1, 0)
        if place.stacked:
            total = own.reference_total
            return Placement(max(total, 1), max(total, 1), self._planned.start * total)
        axis = place.axis
        inner = prod(whole.reference_grid[axis + 1 :])
        begin = self._planned.start // whole.reference_chunks[axis]
        return Placement(
            max(prod(own.reference_grid[axis:]), 1),
            max(prod(whole.reference_grid[axis:]), 1),
            begin * inner,
        )

    def partition(self, partition: Partition) -> Partition:
        """Return a partition of the plan as the store has it: its own name and numbers."""
        array = partition.array
        own = self.plan.by_name[_own_name(array, self._planned)].spec
        stores = self.whole.stores
        assert stores is not None
        place = stores.place(array)
        if place.axis is None:
            return Partition(own.name, partition.region, partition.rows, partition.objects)
        if place.stacked:
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
