"""Partitions as they are listed now, against their record files."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from parchunk.auditing.compared_job import ComparedJob
from parchunk.auditing.differences import RegionChanges
from parchunk.auditing.progress import Reporter
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.record_files import record_readers
from parchunk.auditing.sharing import Part
from parchunk.auditing.source_contents import ContentReader, Reread, Shares
from parchunk.auditing.watching import WatchedListing
from parchunk.cover.forecast import least_of
from parchunk.cover.jobs import Job
from parchunk.cover.memory import TAKERS
from parchunk.cover.room import room_for
from parchunk.cover.store_work import StoreWork, store_works
from parchunk.cover.walks import width_of
from parchunk.listing.choosing import choose
from parchunk.listing.job import JobListing
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.walker import Listing, batch_rows
from parchunk.out.output import Output
from parchunk.planning.inventory_again import at_hand
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source
from parchunk.workers.here import Here

#: The share of memory, 1 of so many, that rows of record files take which are read side by side.
_FOR_READERS = 8
#: Parts of small arrays that are compared together, where one thread compares them all.
_TOGETHER = 25
#: Seconds between two progress reports when nothing is finished meanwhile.
_TICK = 0.5


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
    most_held = room_for(
        plan,
        [item.partition for item in done],
        allowed.memory,
        allowed.concurrency,
        allowed.processes,
        inlines=False,
    )
    with _Comparison(plan, output, source, done, allowed, counted, reporter) as comparison:
        found = comparison.all_of(_jobs(plan, source, done, allowed, most_held), most_held)
    return replace(
        Compared.total(found),
        lists=counted.lists,
        keys=counted.keys,
        retries=counted.retries,
        busy=counted.busy,
        indexes=comparison.contents.indexes,
        inlined=comparison.contents.inlined,
    )


def _jobs(
    plan: Plan, source: Source, done: Sequence[Audited], allowed: Allowed, most_held: int
) -> Iterator[tuple[StoreWork, Job]]:
    """Yield the jobs that list partitions within the memory allowed, each with its store's work."""
    width = width_of(source.manner, allowed.concurrency)
    for work in store_works(plan, source, [item.partition for item in done]):
        jobs = work.jobs(most_held, width)
        jobs.reverse()
        while jobs:  # none is held that was yielded: of very many arrays they take much
            yield work, work.in_out(jobs.pop())


class _Comparison:
    """What compares the jobs of one process: its threads, and what they share.

    Where listings or reads of OUT are requests, as many jobs are under way as there are listings.
    """

    def __init__(
        self,
        plan: Plan,
        output: Output,
        source: Source,
        done: Sequence[Audited],
        allowed: Allowed,
        counted: Requests,
        reporter: Reporter | None,
    ) -> None:
        self._plan, self._output = plan, output
        self._items = {item.partition.key: item for item in done}
        self._allowed, self._counted = allowed, counted
        concurrency, manner = allowed.concurrency, source.manner
        waits = manner.remote or manner.probed or output.costs_requests
        self._at_once = concurrency if waits else 1
        # Without requests they would only wait for each other.
        memory = allowed.memory // allowed.processes // _FOR_READERS
        readers = record_readers(plan, output, memory, 1)
        self._together = 1 if output.costs_requests else _TOGETHER
        self._jobs: Executor = Here()
        self._readers: Executor = Here()
        if waits:
            self._jobs = ThreadPoolExecutor(self._at_once, thread_name_prefix="job")
            self._readers = ThreadPoolExecutor(readers, thread_name_prefix="reader")
        self._listings = ThreadPoolExecutor(concurrency, thread_name_prefix="listing")
        self._takers = ThreadPoolExecutor(TAKERS, thread_name_prefix="taker")
        self._fetches = ThreadPoolExecutor(concurrency, thread_name_prefix="fetch")
        self._stop = threading.Event()
        #: Whose turn it is to read a page of small arrays.
        self._turn = threading.Lock()
        #: How many objects each thread has compared since that was told, and who tells.
        self._objects: SimpleQueue[int] = SimpleQueue()
        self._driver = threading.get_ident()
        self._reporter = reporter
        self.contents = ContentReader(
            plan, source, self._fetches, concurrency, counted, self._stop, allowed.shares
        )

    def __enter__(self) -> _Comparison:
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        if error is not None:
            self._stop.set()
        for pool in (self._jobs, self._readers, self._listings, self._takers, self._fetches):
            pool.shutdown()

    def all_of(self, jobs: Iterable[tuple[StoreWork, Job]], most_held: int) -> list[Compared]:
        """Return what jobs come to, in their order.

        As many are under way as hold ``most_held`` chunks together. The first error ends it.
        """
        found: dict[int, Compared] = {}
        flying: dict[Future[Compared], tuple[int, int]] = {}
        # What is to be started is made when its turn comes: there may be a hundred thousand.
        rest = enumerate(jobs)
        following = next(rest, None)
        while following is not None or flying:
            while following is not None and len(flying) < self._at_once:
                place, (work, job) = following
                held = job.held + sum(held for _, held in flying.values())
                if flying and held > most_held:
                    break
                flying[self._jobs.submit(self._compared, work, job)] = place, job.held
                following = next(rest, None)
            for future in wait(flying, _TICK, FIRST_COMPLETED).done:
                found[flying.pop(future)[0]] = future.result()
            self._report()
        return [found[place] for place in range(len(found))]

    def _tell(self, objects: int) -> None:
        """Tell that so many more objects are compared, now or soon: a caller has one thread."""
        self._objects.put(objects)
        if threading.get_ident() == self._driver:
            self._report()

    def _report(self) -> None:
        objects = 0
        while not self._objects.empty():
            objects += self._objects.get()
        if self._reporter is not None and objects:
            self._reporter.compared(objects)

    def _compared(self, work: StoreWork, job: Job) -> Compared:
        """List a job, and return how its arrays differ from the references."""
        source = work.source
        listing = Listing(
            source=source,
            array=job.array,
            requests=self._counted,
            patience=self._allowed.patience,
            stop=self._stop,
            batch=batch_rows(self._allowed.concurrency),
        )
        members = [
            WatchedListing(
                member.spec, listing, self._listings, self._takers, source.manner.settled,
                member=member, items=self._items,
            )
            for member in job.members
        ]  # fmt: skip
        compared = ComparedJob(
            self._plan, self._output, job, work.targets(job), self._items,
            self.contents.of(source), self._tell,
        )  # fmt: skip
        listed = JobListing(job, members, self._turn)
        compared.follow(listed, self._readers, self._together, self._stop)
        return Compared(
            regions=compared.regions(),
            notes=tuple(listed.notes),
            untimed=compared.untimed,
            least=least_of([job]),
            listing=(str(choose(source)),),
        )
