"""Partitions as they are listed now, against their record files."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from parchunk.auditing.differences import RegionChanges, differences_of, newest
from parchunk.auditing.progress import Reporter
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.sharing import Part
from parchunk.auditing.source_contents import ContentReader, Reread, Shares
from parchunk.auditing.watching import WatchedListing
from parchunk.cover.forecast import least_of
from parchunk.cover.jobs import Job, Member
from parchunk.cover.memory import TAKERS
from parchunk.cover.room import room_for
from parchunk.cover.store_work import StoreWork, store_works
from parchunk.cover.walks import width_of
from parchunk.keys.placement import Target
from parchunk.listing.choosing import choose
from parchunk.listing.job import JobListing
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.tally import Part as ListedPart
from parchunk.listing.walker import Listing, batch_rows
from parchunk.out.output import Output
from parchunk.planning.inventory_again import at_hand
from parchunk.planning.plan import PartitionKey, Plan
from parchunk.stores.source import Source


@dataclass(frozen=True)
class Allowed:
    """What a comparison may use: of each of ``processes`` that share ``memory`` in bytes.

    ``concurrency`` are listings side by side in one process; ``shares`` say how much is read again
    beyond what a listing shows.
    """

    memory: int
    concurrency: int
    processes: int
    patience: Patience
    shares: Shares


@dataclass(frozen=True)
class Compared:
    """What a comparison came to; ``regions`` are the partitions with differences.

    ``least`` are the fewest LIST requests that could do.
    """

    regions: tuple[RegionChanges, ...] = ()
    lists: int = 0
    least: int = 0
    keys: int = 0
    retries: int = 0
    busy: int = 0
    notes: tuple[str, ...] = ()
    indexes: Reread = field(default_factory=Reread)
    inlined: Reread = field(default_factory=Reread)
    #: Who listed, and why.
    listing: tuple[str, ...] = ()
    #: Objects of which nothing says whether they were modified since.
    untimed: int = 0

    @classmethod
    def total(cls, parts: Iterable[Compared]) -> Compared:
        """Return what several came to together."""
        every = list(parts)
        return cls(
            regions=tuple(region for one in every for region in one.regions),
            lists=sum(one.lists for one in every),
            least=sum(one.least for one in every),
            keys=sum(one.keys for one in every),
            retries=sum(one.retries for one in every),
            busy=sum(one.busy for one in every),
            notes=tuple(note for one in every for note in one.notes),
            indexes=Reread.total(one.indexes for one in every),
            inlined=Reread.total(one.inlined for one in every),
            listing=tuple(dict.fromkeys(name for one in every for name in one.listing)),
            untimed=sum(one.untimed for one in every),
        )


@dataclass(frozen=True)
class ComparisonTask:
    """Partitions of a plan in OUT that are compared together; picklable."""

    part: Part
    source: Source
    items: tuple[Audited, ...]
    allowed: Allowed


def compare_part(task: ComparisonTask) -> Compared:
    """Compare the partitions of a task; any process can that reaches the source and OUT.

    Raises
    ------
    ParchunkError
        As `compare_partitions`, or when OUT holds another plan by now.
    """
    plan, output = task.part.plan, task.part.output
    source = at_hand(plan, task.source, task.allowed.memory)
    return compare_partitions(plan, output, source, task.items, task.allowed)


def compare_partitions(
    plan: Plan,
    output: Output,
    source: Source,
    done: Sequence[Audited],
    allowed: Allowed,
    reporter: Reporter | None = None,
) -> Compared:
    """List partitions again, and return how they differ from the references.

    ``reporter`` is told how far it is, where that is this process's.

    Raises
    ------
    ListingError, SourceError
        When the source cannot be listed.
    """
    counted = Requests(total=None if reporter is None else reporter.requests)
    stop = threading.Event()
    concurrency = allowed.concurrency
    by_partition = {item.partition.key: item for item in done}
    found: list[Compared] = []
    with (
        ThreadPoolExecutor(concurrency, thread_name_prefix="listing") as pool,
        ThreadPoolExecutor(TAKERS, thread_name_prefix="taker") as takers,
        ThreadPoolExecutor(concurrency, thread_name_prefix="fetch") as fetches,
    ):
        contents = ContentReader(plan, source, fetches, concurrency, counted, stop, allowed.shares)
        make = partial(
            _Member,
            plan=plan,
            by_partition=by_partition,
            pool=pool,
            takers=takers,
            counted=counted,
            stop=stop,
            patience=allowed.patience,
            batch=batch_rows(concurrency),
        )
        try:
            for work, job in _jobs(plan, source, done, allowed):
                by = (str(choose(work.source)),)
                reader = contents.of(work.source)
                members = [
                    make(member=member, target=target, source=work.source, contents=reader)
                    for member, target in zip(job.members, work.targets(job), strict=True)
                ]
                one = _compared(job, members, output, reporter)
                found.append(replace(one, least=least_of([job]), listing=by))
        except BaseException:
            stop.set()
            raise
    return replace(
        Compared.total(found),
        lists=counted.lists,
        keys=counted.keys,
        retries=counted.retries,
        busy=counted.busy,
        indexes=contents.indexes,
        inlined=contents.inlined,
    )


def _jobs(
    plan: Plan, source: Source, done: Sequence[Audited], allowed: Allowed
) -> Iterator[tuple[StoreWork, Job]]:
    """Yield the jobs that list partitions within the memory allowed, each with its store's work."""
    most_held = room_for(
        plan,
        [item.partition for item in done],
        allowed.memory,
        allowed.concurrency,
        allowed.processes,
        inlines=False,
    )
    width = width_of(source.manner, allowed.concurrency)
    for work in store_works(plan, source, [item.partition for item in done]):
        for job in work.jobs(most_held, width):
            yield work, work.in_out(job)


def _compared(
    job: Job, members: Sequence[_Member], output: Output, reporter: Reporter | None
) -> Compared:
    """List a job, and return how its members differ from the references."""
    listed = JobListing(job, [each.listed for each in members])
    for at, position, part in listed.parts():
        members[at].take(output, position, part)
        if reporter is not None:
            reporter.compared(len(part.vector))
    return Compared(
        regions=tuple(made for each in members for made in each.made()),
        notes=tuple(listed.notes),
        untimed=sum(each.untimed for each in members),
    )


class _Member:
    """One array's partitions as they are compared."""

    def __init__(
        self,
        plan: Plan,
        member: Member,
        target: Target,
        by_partition: Mapping[PartitionKey, Audited],
        source: Source,
        pool: Executor,
        takers: Executor,
        counted: Requests,
        stop: threading.Event,
        patience: Patience,
        batch: int,
        contents: ContentReader,
    ) -> None:
        """Prepare; nothing is listed yet."""
        spec = member.spec
        items = [by_partition[p.key] for p in member.partitions]
        listing = Listing(
            source=source,
            array=spec.name,
            requests=counted,
            patience=patience,
            stop=stop,
            batch=batch,
        )
        frozen = source.manner.settled
        self.listed = WatchedListing(spec, listing, pool, takers, trust=frozen)
        self.listed.since = {
            unit.rows: newest(items[unit.partition])
            for walked in member.passes
            for unit in walked.units
        }
        self._differences = differences_of(
            items, member, target, plan.record_size, contents, plan.identity
        )

    def take(self, output: Output, partition: int, part: ListedPart) -> None:
        """Compare a part of one of the partitions with its record files."""
        self._differences[partition].take(output, part, self.listed.times(part.rows))

    @property
    def untimed(self) -> int:
        """Of how many objects nothing says whether they were modified since."""
        return sum(found.untimed for found in self._differences)

    def made(self) -> list[RegionChanges]:
        """Return the differences of those partitions that have any."""
        return [made for found in self._differences if (made := found.made()) is not None]
