"""Ready jobs: jobs with all that building them needs, picklable."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from types import MappingProxyType

from parchunk.building.effort import Share
from parchunk.building.pools import Pools
from parchunk.cover import intervals
from parchunk.cover.jobs import Job
from parchunk.cover.memory import FRAGMENT_CHUNKS
from parchunk.cover.store_work import StoreWork
from parchunk.keys.placement import Target
from parchunk.keys.row_sets import RowSet
from parchunk.listing.choosing import choose
from parchunk.listing.job import JobListing
from parchunk.listing.one_array import ArrayListing
from parchunk.listing.patience import Requests
from parchunk.listing.walker import Listing, batch_rows
from parchunk.metadata.spec import ArraySpec
from parchunk.out.output import Output
from parchunk.out.receipt_blocks import places_in_blocks
from parchunk.out.receipts import Receipt
from parchunk.planning.joining.segments import segments, straddle
from parchunk.planning.plan import Partition, PartitionKey, Plan
from parchunk.stores.source import Source

#: Chunks of a job that is built by one thread from its listing to its receipt.
_SMALL = 1_000
#: Jobs that are built side by side, at most, ...
_AT_ONCE = 8
#: ... which hold no more chunks together than this, unless one alone does.
_HELD_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Leg:
    """One job of a ready, and where the rows of each of its members go."""

    job: Job
    targets: tuple[Target, ...]

    def listing(self, source: Source, share: Share, pools: Pools, counted: Requests) -> JobListing:
        """Return how the job is listed."""
        listing = Listing(
            source=source,
            array=self.job.array,
            requests=counted,
            patience=share.patience,
            stop=pools.stop,
            batch=batch_rows(share.concurrency),
        )
        trust = share.trust_listing or source.manner.settled
        members = [
            ArrayListing(member.spec, listing, pools.listings, pools.takers, trust)
            for member in self.job.members
        ]
        return JobListing(self.job, members, pools.turn)


# Slots: there may be ten thousand, in jobs under way.
@dataclass(frozen=True, slots=True)
class Owned:
    """A partition that is built, with all of its rows.

    ``elements`` of the split dimension are None for a whole array; ``least`` is its share of the
    fewest LIST requests. ``absent`` are rows of it that no store has, and ``known`` is the receipt
    of its first rows, where those are known. ``place`` is its array's
    among those of the plan where its receipt lies in a block, else None.
    """

    partition: Partition
    spec: ArraySpec
    elements: tuple[int, int] | None
    least: int
    place: int | None
    absent: tuple[RowSet, ...] = ()
    known: Receipt | None = None


@dataclass(frozen=True)
class ReadyJobs:
    """Everything that building some partitions needs, picklable when the source's store is.

    They are those of one job, its one leg; or of jobs that have rows of the same record files, as
    those of neighbouring stores. ``source`` is where all of them are listed. Chunks of up to
    ``inline_threshold`` bytes are inlined, and of ``coordinates`` such of up to so many bytes.
    """

    source: Source
    legs: tuple[Leg, ...]
    owned: tuple[Owned, ...]
    output: Output
    dimension: str | None
    record_size: int
    inline_threshold: int
    coordinates: Mapping[str, int]
    fingerprint: str
    share: Share

    @cached_property
    def lister(self) -> str:
        """Who lists the source, and why: the same text in very many receipts."""
        return sys.intern(str(choose(self.source)))

    @property
    def small(self) -> bool:
        """Whether to hand its work over would take longer than the work."""
        job = self.legs[0].job
        plain = job.members[0].expansion is None
        return len(self.legs) == 1 and plain and job.held <= _SMALL

    @property
    def has_seams(self) -> bool:
        """Whether there are record files whose rows come in several parts.

        A partition is then in several legs, or in several members of one that lists neighbouring
        stores together, or more than once in one.
        """
        parts = sum(len(m.partitions) for leg in self.legs for m in leg.job.members)
        return parts > len(self.owned) or any(one.absent or one.known for one in self.owned)

    @property
    def at_once(self) -> int:
        """How many legs are built side by side."""
        most = max(leg.job.held for leg in self.legs)
        return max(min(_AT_ONCE, len(self.legs), _HELD_AT_ONCE // max(most, 1)), 1)

    @property
    def held(self) -> int:
        """How many chunks are held at the same time, at most; see `parchunk.cover.jobs.Job`."""
        return self.at_once * max(leg.job.held for leg in self.legs) + self._waiting

    @property
    def _waiting(self) -> int:
        """What rows take that wait for others of their record files, in chunks' sizes."""
        if not self.has_seams:
            return 0
        most: dict[str, int] = {}
        totals: dict[str, int] = {}
        for leg in self.legs:
            rows_of: Counter[str] = Counter()
            for target, member in zip(leg.targets, leg.job.members, strict=True):
                rows_of[target.array] += sum(part.rows.total for part in member.partitions)
                totals[target.array] = target.total
            for array, rows in rows_of.items():
                most[array] = max(most.get(array, 0), rows)
        size, beside = self.record_size, self.at_once
        return FRAGMENT_CHUNKS * sum(
            min(2 * size + beside * rows, (beside + 1) * size, totals[array])
            for array, rows in most.items()
        )


def ready_jobs(
    plan: Plan,
    jobs: Iterable[tuple[StoreWork, Job]],
    pending: Sequence[Partition],
    output: Output,
    share: Share,
    known: Mapping[PartitionKey, Receipt] = MappingProxyType({}),
) -> Iterator[ReadyJobs]:
    """Yield what a worker is given to build ``jobs``, which ``pending`` partitions are of."""
    # Of one store jobs have them as they are, and there may be a hundred thousand.
    whole = {} if plan.stores is None else {partition.key: partition for partition in pending}
    places = places_in_blocks(plan)
    named = ((work, work.in_out(job)) for work, job in jobs)
    for chain in _chained(list(named)) if straddle(plan, pending) else ([one] for one in named):
        least: dict[PartitionKey, int] = {}
        for work, job in chain:
            for key, requests in _least(job, work.source.manner.page):
                least[key] = least.get(key, 0) + requests
        legs = [Leg(job, work.targets(job)) for work, job in chain]
        if len(legs) > 1:
            legs.sort(key=_place)
        if plan.stores is None:
            whole = {part.key: part for _, job in chain for part in job.partitions}
        yield ReadyJobs(
            source=chain[0][0].source,
            legs=tuple(legs),
            owned=tuple(
                _owned(plan, whole[key], least[key], places.get(key[0]), known.get(key))
                for key in least
            ),
            output=output,
            dimension=None if plan.split is None else str(plan.split),
            record_size=plan.record_size,
            inline_threshold=plan.inline_threshold,
            coordinates={
                name: size
                for name in dict.fromkeys(name for name, _ in least)
                if (size := plan.coordinate_threshold_of(name))
            },
            fingerprint=plan.fingerprint,
            share=share,
        )


def _place(leg: Leg) -> float:
    """Return where along its arrays a leg begins: neighbours share record files."""
    return min(
        int(target.numbers(partition.rows.numbers(0, 1))[0]) / max(target.total, 1)
        for target, member in zip(leg.targets, leg.job.members, strict=True)
        for partition in member.partitions
    )


def _owned(
    plan: Plan, partition: Partition, least: int, place: int | None, known: Receipt | None
) -> Owned:
    absent: tuple[RowSet, ...] = ()
    if plan.stores is not None:
        first = partition.rows.number(0) + (known.expected if known else 0)
        absent = tuple(
            part.partition.rows
            for part in segments(plan, partition)
            if part.store is None and part.partition.rows.number(0) >= first
        )
    spec = plan.by_name[partition.array].spec
    return Owned(partition, spec, plan.elements(partition), least, place, absent, known)


def _least(job: Job, page: int) -> Iterator[tuple[PartitionKey, int]]:
    """Yield each partition's share of the fewest requests that could list a job."""
    each = [[partition.objects.total for partition in m.partitions] for m in job.members]
    before = accumulate(map(sum, each[:-1]), initial=0)
    for member, chunks, keys in zip(job.members, each, before, strict=True):
        shares = intervals.shares_of_least(chunks, page, keys)
        for partition, requests in zip(member.partitions, shares, strict=True):
            yield partition.key, requests


def _chained(jobs: Sequence[tuple[StoreWork, Job]]) -> list[list[tuple[StoreWork, Job]]]:
    """Return jobs by what they build: those that have rows of the same partition are together."""
    chain_of = list(range(len(jobs)))

    def found(at: int) -> int:
        while chain_of[at] != at:
            chain_of[at] = at = chain_of[chain_of[at]]
        return at

    first: dict[PartitionKey, int] = {}
    for at, (_, job) in enumerate(jobs):
        for partition in job.partitions:
            chain_of[found(at)] = found(first.setdefault(partition.key, at))
    chains: dict[int, list[tuple[StoreWork, Job]]] = {}
    for at, one in enumerate(jobs):
        chains.setdefault(found(at), []).append(one)
    return list(chains.values())
