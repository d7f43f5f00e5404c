"""What is to be listed of each store: a plan of one store is that, a plan of many has views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from parchunk.cover.jobs import Job
from parchunk.keys.placement import Target
from parchunk.planning.joining.store_view import StoreView
from parchunk.planning.many_sources import source_in
from parchunk.planning.plan import Partition, Plan
from parchunk.stores.source import Source


@dataclass(frozen=True)
class StoreWork:
    """The ``pending`` partitions of one store, as the store has them, and its source.

    ``plan`` is what jobs are made by: that of the store alone.
    """

    plan: Plan
    source: Source
    pending: tuple[Partition, ...]
    view: StoreView | None = None

    def in_out(self, job: Job) -> Job:
        """Return a job whose partitions are called as in OUT; its arrays as in the store."""
        view = self.view
        if view is None:
            return job
        members = tuple(
            replace(
                member,
                partitions=tuple(
                    replace(partition, array=view.name_in_out(partition.array))
                    for partition in member.partitions
                ),
            )
            for member in job.members
        )
        return replace(job, members=members)

    def targets(self, job: Job) -> tuple[Target, ...]:
        """Return where the rows of each member are written; ``job`` is as `in_out` returns it."""
        if self.view is None:
            return tuple(Target(m.spec.name, m.spec.reference_total) for m in job.members)
        found = []
        for member in job.members:
            array = self.view.name_in_out(member.spec.name)
            total = self.view.whole.by_name[array].spec.reference_total
            found.append(Target(array, total, self.view.placement(array)))
        return tuple(found)


def store_works(plan: Plan, source: Source, pending: Sequence[Partition]) -> Iterator[StoreWork]:
    """Yield the work in each store, one after another; partitions that no store has are in none."""
    if plan.stores is None:
        yield StoreWork(plan, source, tuple(pending))
        return
    by_store: dict[int, list[Partition]] = {}
    for partition in pending:
        store = plan.store_of(partition)
        if store is not None:
            by_store.setdefault(store, []).append(partition)
    for store, partitions in sorted(by_store.items()):
        view = StoreView.of(plan, store)
        own = tuple(map(view.partition, partitions))
        yield StoreWork(view.plan, source_in(plan.stores.stores[store], source), own, view)
