"""Tasks: jobs with all that building them needs, picklable."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from parchunk.building.effort import Settings
from parchunk.building.pools import Pools
from parchunk.cover import intervals
from parchunk.cover.jobs import Group, Work
from parchunk.keys.row_sets import RowSet
from parchunk.listing.one_array import GroupListing, make_group_listing
from parchunk.listing.patience import Requests
from parchunk.listing.walker import Listing
from parchunk.metadata.spec import ArraySpec
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source


@dataclass(frozen=True)
class GroupTask:
    """Everything that building a group needs, picklable when the source's store is.

    ``ranges`` stands beside ``group.partitions``: each one's elements of the split dimension,
    None for a whole array. So does ``least``: each one's share of the fewest LIST requests.
    """

    source: Source
    output: Output
    spec: ArraySpec
    group: Group
    dimension: str | None
    ranges: tuple[tuple[int, int] | None, ...]
    least: tuple[int, ...]
    record_size: int
    inline_threshold: int
    fingerprint: str
    settings: Settings

    @property
    def cells(self) -> int:
        """The chunks that are held at the same time, at most."""
        return self.group.cells

    @property
    def row_sets(self) -> list[RowSet]:
        """The rows of its units, where it has one pass."""
        (units,) = self.group.passes
        return [unit.rows for unit in units]

    def listing(self, pools: Pools, counted: Requests) -> GroupListing:
        """Return how the group is listed."""
        listing = Listing(
            source=self.source,
            array=self.spec.name,
            requests=counted,
            patience=self.settings.patience,
            stop=pools.stop,
        )
        return make_group_listing(
            self.spec,
            listing,
            pools.listings,
            pools.takers,
            self.settings.concurrency,
            self.settings.trust_listing,
        )


@dataclass(frozen=True)
class TaskResult:
    """What building a task came to. ``notes`` are lines that a user should read."""

    receipts: tuple[Receipt, ...]
    requests: int
    keys: int
    retries: int
    gets: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BundleTask:
    """The tasks of a bundle's groups, in the order of their arrays' keys."""

    members: tuple[GroupTask, ...]
    cells: int


def task_for(plan: Plan, source: Source, output: Output, work: Work, settings: Settings) -> Task:
    """Return what an executor is given to build a group or a bundle."""
    if isinstance(work, Group):
        return _group_task(plan, source, output, work, settings)
    cells = [
        sum(partition.objects.cells for partition in group.partitions) for group in work.groups
    ]
    members = (
        _group_task(plan, source, output, group, settings, before)
        for group, before in zip(work.groups, accumulate([0, *cells[:-1]]), strict=True)
    )
    return BundleTask(tuple(members), work.cells)


def _group_task(
    plan: Plan, source: Source, output: Output, group: Group, settings: Settings, before: int = 0
) -> GroupTask:
    """Return the task of a group; ``before`` keys of a bundle come before its own."""
    cells = (partition.objects.cells for partition in group.partitions)
    return GroupTask(
        source=source,
        output=output,
        spec=plan.by_name[group.array].spec,
        group=group,
        dimension=None if plan.split is None else str(plan.split),
        ranges=tuple(plan.elements(partition) for partition in group.partitions),
        least=intervals.shares_of_least(cells, source.manner.page, before),
        record_size=plan.record_size,
        inline_threshold=plan.inline_threshold,
        fingerprint=plan.fingerprint,
        settings=settings,
    )


#: What an executor is given.
Task = GroupTask | BundleTask
