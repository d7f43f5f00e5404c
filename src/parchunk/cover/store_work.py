"""What is to be listed of the stores of a plan: of one alone, or of small neighbours together.

Stores lie side by side as the arrays of one do: an array of each, called by where it lies below the
folder above them, is one more array of that folder. So small stores are listed as small arrays are,
by one walk over many, and nothing else knows that they are stores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from parchunk.cover.contents import Content, contents_of
from parchunk.cover.jobs import Job
from parchunk.cover.limits import USUAL, Limits
from parchunk.cover.scheduling import make_jobs
from parchunk.cover.walks import Width
from parchunk.keys.placement import Target
from parchunk.planning.joining.segments import segments, straddle
from parchunk.planning.joining.store_view import StoreView, plan_of
from parchunk.planning.many_sources import key_in, place_with
from parchunk.planning.plan import Partition, PartitionKey, Plan
from parchunk.stores.source import Source

#: Chunks of neighbouring stores that are one work, at most: many walks, each as long as they get.
_CHUNKS = 500_000
#: Arrays of neighbouring stores that are one work, at most: each is some Python objects.
_ARRAYS = 10_000


@dataclass(frozen=True)
class StoreWork:
    """What some stores have of ``pending`` partitions, as they have it, and the source to list.

    ``plan`` is what jobs are made by: that of these stores alone. Several partitions may have one
    key: what a store has of a record file that another store begins, and what follows it.
    ``workers`` are those that share the work; ``beside`` is what else is there.
    """

    plan: Plan
    source: Source
    pending: tuple[Partition, ...]
    beside: tuple[Content, ...] = ()
    #: The view that has an array, and what OUT calls it, by its name in ``plan``.
    views: Mapping[str, tuple[StoreView, str]] = field(default_factory=dict)
    workers: int = 1

    def jobs(self, most_held: int, width: Width, limits: Limits = USUAL) -> list[Job]:
        """Return the jobs of this work, as `make_jobs` does."""
        return make_jobs(
            self.plan, self.pending, most_held, width, self.workers, limits, self.beside
        )

    def in_out(self, job: Job) -> Job:
        """Return a job whose partitions are called as in OUT; its arrays as in the source."""
        if not self.views:
            return job
        members = tuple(
            replace(
                member,
                partitions=tuple(
                    replace(partition, array=self.views[member.spec.name][1])
                    for partition in member.partitions
                ),
            )
            for member in job.members
        )
        return replace(job, members=members)

    def targets(self, job: Job) -> tuple[Target, ...]:
        """Return where the rows of each member are written."""
        if not self.views:
            return tuple(Target(m.spec.name, m.spec.reference_total) for m in job.members)
        found = []
        for member in job.members:
            view, array = self.views[member.spec.name]
            total = view.whole.by_name[array].spec.reference_total
            found.append(Target(array, total, view.placement(array)))
        return tuple(found)


def store_works(
    plan: Plan,
    source: Source,
    pending: Sequence[Partition],
    workers: int = 1,
    known: Mapping[PartitionKey, int] = MappingProxyType({}),
) -> Iterator[StoreWork]:
    """Yield the work in stores, in the order of their keys; ``source`` is the folder above them.

    Stores in other buckets come after, bucket by bucket, as they lie beside it. Chunks that no
    store has are in none. Where partitions have rows of several stores, ``workers`` share
    neighbouring regions and not stores: each partition is one worker's. So many first rows of
    partitions as are ``known`` are not listed.
    """
    if plan.stores is None:
        yield StoreWork(plan, source, tuple(pending), workers=workers)
        return
    across = straddle(plan, pending)
    for some in _shared_out(pending, workers) if across else [pending]:
        by_store: dict[int, list[Partition]] = {}
        for partition in some:
            before = known.get(partition.key, 0)
            for part in segments(plan, partition):
                before -= part.partition.rows.total
                if part.store is not None and before < 0:
                    by_store.setdefault(part.store, []).append(part.partition)
        yield from _works(plan, source, by_store, 1 if across else workers)


def _shared_out(pending: Sequence[Partition], workers: int) -> Iterator[list[Partition]]:
    """Yield partitions in at most ``workers`` runs of regions, of about as many rows each."""
    rows: Counter[int] = Counter()
    for partition in pending:
        rows[partition.region or 0] += partition.rows.total
    share = max(-(-rows.total() // workers), 1)
    run_of, before = {}, 0
    for region in sorted(rows):
        run_of[region] = before // share
        before += rows[region]
    runs: dict[int, list[Partition]] = {}
    for partition in pending:
        runs.setdefault(run_of[partition.region or 0], []).append(partition)
    yield from (runs[run] for run in sorted(runs))


def _works(
    plan: Plan, source: Source, pending: Mapping[int, Sequence[Partition]], workers: int
) -> Iterator[StoreWork]:
    assert plan.stores is not None
    places = source.places
    within: dict[str, dict[int, str]] = {place.url: {} for place in places}
    for at, one in enumerate(plan.stores.stores):
        place = place_with(one.url, places)
        within[place.url][at] = key_in(one, place)
    for place in places:
        keys = within[place.url]
        order = sorted(keys, key=lambda at: f"{keys[at]}/")
        for first, stop in _runs(keys, order, pending, len(plan.arrays)):
            work = _work(plan, place, keys, order[first:stop], pending)
            # What follows the last key of a walk tells that it was the last.
            following = tuple(Content(f"{keys[at]}/", 1) for at in order[stop : stop + 1])
            yield replace(work, workers=workers, beside=work.beside + following)


def _runs(
    keys: Mapping[int, str],
    order: Sequence[int],
    pending: Mapping[int, Sequence[Partition]],
    arrays: int,
) -> Iterator[tuple[int, int]]:
    """Yield ranges of ``order``, each from one store that has work to another, or the same."""
    alone = _not_apart(keys.values())
    first = stop = chunks = 0
    for at, store in enumerate(order):
        if store not in pending:
            continue
        more = sum(partition.rows.total for partition in pending[store])
        apart = keys[store] in alone or (stop and keys[order[stop - 1]] in alone)
        if stop and (apart or chunks + more > _CHUNKS or (at + 1 - first) * arrays > _ARRAYS):
            yield first, stop
            stop = chunks = 0
        if not stop:
            first = at
        stop, chunks = at + 1, chunks + more
    if stop:
        yield first, stop


def _not_apart(keys: Collection[str]) -> set[str]:
    """Return the keys of stores that lie in one another, or are one: what they share has one name.

    Such stores are listed alone.
    """
    counted = Counter(keys)
    found = {key for key, count in counted.items() if count > 1}
    for key in keys:
        parts = key.split("/")
        above = {"/".join(parts[:depth]) for depth in range(len(parts))} & counted.keys()
        if key and above:
            found |= above | {key}
    return found


def _work(
    plan: Plan,
    source: Source,
    keys: Mapping[int, str],
    run: Sequence[int],
    pending: Mapping[int, Sequence[Partition]],
) -> StoreWork:
    views = {store: StoreView.of(plan, store, keys[store]) for store in run}
    listed = [view for store, view in views.items() if store in pending]
    beside: list[Content] = []
    for store, view in views.items():
        if store in pending:
            beside += _beside(view)
        else:
            every = contents_of(plan_of([view]), _beside(view))
            beside.append(Content(f"{view.within}/", sum(content.keys for content in every)))
    return StoreWork(
        plan_of(listed),
        source,
        tuple(view.partition(partition) for view in listed for partition in pending[view.store]),
        tuple(beside),
        {spec.name: (view, array) for view in listed for array, spec in view.specs.items()},
    )


def _beside(view: StoreView) -> list[Content]:
    """Return what the plan of some stores does not know of one of them."""
    found = [Content(f"{name}/", keys) for name, keys in view.beside.items()]
    groups = view.groups
    if view.within and groups and groups[0].zarr_format == 2:
        found.append(Content(f"{view.within}/.zmetadata", 1))
    return found
