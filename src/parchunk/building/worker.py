"""Building one group: list it, write its partitions as they become known, receipt each."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, wait

from parchunk.building.pools import Pools
from parchunk.building.receipting import Cost, Costs, finish, receipt_of
from parchunk.building.task import BundleTask, GroupTask, Task, TaskResult
from parchunk.errors import ListingError
from parchunk.listing.many_arrays import BundleListing, Member
from parchunk.listing.patience import Requests
from parchunk.listing.shard_reading import ShardReader
from parchunk.listing.tally import Part
from parchunk.listing.waiting import result_unless
from parchunk.out.receipts import Receipt
from parchunk.writing.inline_room import Inlining
from parchunk.writing.plain_rows import PlainRows
from parchunk.writing.record_writer import RecordWriter
from parchunk.writing.rows import RowSource
from parchunk.writing.shard_rows import ShardRows
from parchunk.writing.written import Written


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
            write(part, written[position])
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
) -> Callable[[Part, Written], None]:
    """Return what writes the record files of a part of one of the partitions."""
    inlining = Inlining(task.inline_threshold, task.settings.inlining, pools.room)
    rows = _row_source(task, pools, counted)
    return RecordWriter(rows, task.output, task.record_size, inlining, pools.writers).write


def _row_source(task: GroupTask, pools: Pools, counted: Requests) -> RowSource:
    """Return where the rows of the group's array come from."""
    if task.spec.inner_chunks is None:
        return PlainRows(task.spec, task.source, pools.fetches)
    reader = ShardReader(
        task.spec,
        task.source,
        pools.fetches,
        task.settings.concurrency,
        counted,
        task.settings.patience,
        pools.stop,
    )
    rows_of = {partition.objects: partition.rows for partition in task.group.partitions}
    return ShardRows(reader, rows_of, task.group.inner_cells, task.record_size)


def build_task(
    task: Task,
    pools: Pools | None = None,
    requests: Requests | None = None,
    notify: Callable[[Receipt], None] | None = None,
) -> TaskResult:
    """Build all partitions of a task; each one that is done has its receipt.

    ``pools`` are the process's own when several tasks share them, ``requests`` counts live, and
    ``notify`` is called with each receipt once it is written: these stay in one process.

    Raises
    ------
    ParchunkError
        Naming the array and what failed. Finished partitions keep their receipts.
    """
    with contextlib.ExitStack() as stack:
        if pools is None:
            concurrency = (
                task if isinstance(task, GroupTask) else task.members[0]
            ).settings.concurrency
            pools = stack.enter_context(Pools(concurrency))
        counted = Requests(total=requests)
        if isinstance(task, GroupTask):
            return build_group(task, pools, counted, notify)
        return _build_bundle(task, pools, counted, notify)


def _build_bundle(
    task: BundleTask,
    pools: Pools,
    counted: Requests,
    notify: Callable[[Receipt], None] | None,
) -> TaskResult:
    members = task.members
    listed = BundleListing(
        [Member(member.listing(pools, counted), member.row_sets) for member in members],
        pools.listings,
    )
    here = pools.here
    receipts: list[Receipt] = []

    def write(at: int, position: int, part: Part, ordered: bool, cost: Cost) -> None:
        member, written = members[at], Written()
        part_writer(member, here, counted)(part, written)
        receipt = receipt_of(member, position, written, ordered, cost)
        finish(member, position, written, receipt)
        receipts.append(receipt)
        if notify:
            notify(receipt)

    costs = Costs(counted)
    jobs: deque[Future[None]] = deque()
    try:
        for at, position, part in listed.parts():
            ordered = listed.members[at].listing.ordered
            # The walk goes on meanwhile, at whatever pace OUT takes.
            jobs.append(pools.partitions.submit(write, at, position, part, ordered, costs.since()))
            while jobs and jobs[0].done():
                jobs.popleft().result()
    except ListingError:
        # What the walk had passed is complete: it need not be listed again.
        for job in jobs:
            result_unless(pools.stop, job)
        raise
    else:
        for job in jobs:
            result_unless(pools.stop, job)
    finally:
        # Those that are cancelled are not waited for: their pool may have ended.
        wait([job for job in jobs if not job.cancel()])
    notes = listed.notes + [note for member in listed.members for note in member.listing.notes]
    return TaskResult(
        tuple(receipts), counted.lists, counted.keys, counted.retries, counted.gets, tuple(notes)
    )
