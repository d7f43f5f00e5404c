"""Building one group: list it, write its partitions as they become known, receipt each."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from parchunk.arrow_memory import SYSTEM_MEMORY
from parchunk.group_listing import GroupListing, make_group_listing
from parchunk.groups import TAKERS, WRITERS, Group
from parchunk.inline_room import UNBOUNDED, InlineBound, InlineRoom, Inlining
from parchunk.listing import Listing, Patience, Requests
from parchunk.metadata.spec import ArraySpec
from parchunk.output import Output
from parchunk.partition_writer import PartitionWriter, Written
from parchunk.receipts import Receipt, check_counts, strays_path, write_receipt
from parchunk.rows import RowSet
from parchunk.shard_reading import ShardReader
from parchunk.shard_writer import ShardWriter
from parchunk.source import Source
from parchunk.stores import page_keys
from parchunk.strays import encode_strays
from parchunk.tally import Part

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What a build may vary without changing its output.

    ``concurrency`` is the number of listings side by side in one process; ``trust_listing``
    skips the second listing of gaps; ``inlining`` bounds the memory that inlined chunks take.
    """

    concurrency: int = 8
    trust_listing: bool = False
    patience: Patience = field(default_factory=Patience)
    inlining: InlineBound = UNBOUNDED


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
            page=page_keys(self.source.store),
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


class Pools:
    """Threads that the groups of one process share; a context manager that ends them.

    A `KeyboardInterrupt` does not wait for those that read: a listing may hang for as long as a
    server likes, and writes nothing when it returns.

    Meanwhile Arrow takes memory from the system.
    """

    def __init__(self, concurrency: int) -> None:
        self.listings: Executor = ThreadPoolExecutor(concurrency, thread_name_prefix="listing")
        self.takers: Executor = ThreadPoolExecutor(TAKERS, thread_name_prefix="taker")
        self.writers: Executor = ThreadPoolExecutor(WRITERS, thread_name_prefix="writer")
        self.fetches: Executor = ThreadPoolExecutor(concurrency, thread_name_prefix="fetch")
        #: For small partitions: each is written from its rows to its receipt by one thread.
        self.partitions: Executor = ThreadPoolExecutor(concurrency, thread_name_prefix="partition")
        self.stop = threading.Event()
        self.room = InlineRoom(self.stop)

    @property
    def here(self) -> Pools:
        """These for a group so small that to hand work over would take longer than the work."""
        same = copy(self)
        same.listings = same.takers = same.writers = Here()
        return same

    def __enter__(self) -> Pools:
        SYSTEM_MEMORY.use()
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        self.stop.set()
        SYSTEM_MEMORY.leave()
        orderly = error is None or isinstance(error, Exception)
        for pool in (self.listings, self.takers, self.fetches, self.writers, self.partitions):
            pool.shutdown(wait=orderly, cancel_futures=True)


class Here(Executor):
    """Runs what is submitted at once, in the thread that submits it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Return a future that has ended."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def build_group(
    task: GroupTask,
    pools: Pools,
    counted: Requests,
    notify: Callable[[Receipt], None] | None,
) -> TaskResult:
    """Build all partitions of a group; each one that is done has its receipt."""
    listed = task.listing(pools, counted)
    write = part_writer(task, pools, counted)
    costs = Costs(counted)
    receipts: list[Receipt] = []
    units = Counter(unit.partition for units in task.group.passes for unit in units)
    written = {position: Written() for position in units}
    for walked in task.group.passes:
        for at, part in listed.parts([unit.rows for unit in walked]):
            position = walked[at].partition
            write(position, part, written[position])
            units[position] -= 1
            if not units[position]:
                done = written.pop(position)
                receipt = receipt_of(task, position, done, listed.ordered, costs.since())
                finish(task, position, done, receipt)
                receipts.append(receipt)
                if notify:
                    notify(receipt)
    return TaskResult(
        tuple(receipts),
        counted.lists,
        counted.keys,
        counted.retries,
        counted.gets,
        tuple(listed.notes),
    )


def part_writer(
    task: GroupTask, pools: Pools, counted: Requests
) -> Callable[[int, Part, Written], None]:
    """Return what writes the record files of a part, given which of the partitions it is of."""
    inlining = Inlining(task.inline_threshold, task.settings.inlining, pools.room)
    if task.spec.inner_chunks is None:
        plain = PartitionWriter(
            task.spec,
            task.source,
            task.output,
            task.record_size,
            inlining,
            pools.writers,
            pools.fetches,
        )
        return lambda _, part, written: plain.write(part, written)
    reader = ShardReader(
        task.spec,
        task.source,
        pools.fetches,
        task.settings.concurrency,
        counted,
        task.settings.patience,
        pools.stop,
    )
    expanded = ShardWriter(
        reader,
        task.output,
        task.record_size,
        task.group.inner_cells,
        inlining,
        pools.writers,
    )
    partitions = task.group.partitions
    return lambda at, part, written: expanded.write(part, partitions[at].rows, written)


@dataclass(frozen=True)
class Cost:
    """What the partitions between two receipts cost."""

    lists: int
    retries: int
    seconds: float


class Costs:
    """The costs of a task, shared out among its receipts so that they add up."""

    def __init__(self, counted: Requests) -> None:
        self._counted = counted
        self._lists = self._retries = 0
        self._since = time.monotonic()

    def since(self) -> Cost:
        """Return what was spent since it was asked last."""
        now, lists, retries = time.monotonic(), self._counted.lists, self._counted.retries
        spent = Cost(lists - self._lists, retries - self._retries, round(now - self._since, 3))
        self._lists, self._retries, self._since = lists, retries, now
        return spent


def receipt_of(
    task: GroupTask, position: int, written: Written, ordered: bool, cost: Cost
) -> Receipt:
    """Return the receipt of one of a group's partitions, all of which is written."""
    partition, elements = task.group.partitions[position], task.ranges[position]
    expected = partition.rows.cells
    return Receipt(
        fingerprint=task.fingerprint,
        array=partition.array,
        region=partition.region,
        dimension=task.dimension if elements else None,
        start=elements[0] if elements else None,
        stop=elements[1] if elements else None,
        expected=expected,
        present=written.present,
        missing=expected - written.present,
        zero_sized=written.zero_sized,
        inlined=written.inlined,
        bytes=written.bytes,
        strays=written.strays.count,
        stray_reasons=written.reasons,
        found_again=written.found_again,
        last_modified=written.modified,
        verified=not task.settings.trust_listing,
        ordered=ordered,
        requests=cost.lists,
        requests_least=task.least[position],
        retries=cost.retries,
        seconds=cost.seconds,
        shards_expected=partition.objects.cells if task.spec.inner_chunks is not None else 0,
        shards_present=written.shards_present,
        empty_entries=written.empty_entries,
        index_requests=written.index_requests,
        record_files=tuple(sorted(written.files, key=lambda file: file.index)),
    )


def finish(task: GroupTask, position: int, written: Written, receipt: Receipt) -> None:
    """Write the strays and the receipt of a partition: from here on it counts as done."""
    partition = task.group.partitions[position]
    check_counts(receipt, partition)
    if written.strays.count:
        task.output.put(strays_path(partition), encode_strays(partition.array, written.strays))
    write_receipt(task.output, partition, receipt)
