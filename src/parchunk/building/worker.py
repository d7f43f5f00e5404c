"""Building one job: list it, write its partitions as they become known, receipt each."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial

from parchunk.building.pools import Here, Pools
from parchunk.building.receipting import Costs, finish, receipt_of
from parchunk.building.task import Task, TaskResult
from parchunk.cover.jobs import Member
from parchunk.errors import ListingError
from parchunk.keys.placement import Target
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
            pools = stack.enter_context(Pools(task.share.concurrency))
        return _build(task, pools, Requests(total=requests), notify)


def _build(
    task: Task, pools: Pools, counted: Requests, notify: Callable[[Receipt], None] | None
) -> TaskResult:
    listed = task.listing(pools, counted)
    # What lasts is written while the walk goes on, at whatever pace OUT takes.
    hands, within = (pools.partitions, pools.here) if listed.lasting else (Here(), pools)
    members = [
        _Partitions(task, member, target, within, counted)
        for member, target in zip(task.job.members, task.targets, strict=True)
    ]
    costs = Costs(counted)
    receipts: list[Receipt] = []

    def write(at: int, position: int, part: Part) -> None:
        written = members[at].take(position, part)
        if written is None:
            return
        receipt = receipt_of(task, at, position, written, listed.members[at].ordered, costs.since())
        finish(task, at, position, written, receipt)
        receipts.append(receipt)
        if notify:
            notify(receipt)

    writes: deque[Future[None]] = deque()
    try:
        for at, position, part in listed.parts():
            writes.append(hands.submit(write, at, position, part))
            while writes and writes[0].done():
                writes.popleft().result()
    except ListingError:
        # What the walk had passed is complete: it need not be listed again.
        for writing in writes:
            result_unless(pools.stop, writing)
        raise
    else:
        for writing in writes:
            result_unless(pools.stop, writing)
    finally:
        # Those that are cancelled are not waited for: their pool may have ended.
        wait([writing for writing in writes if not writing.cancel()])
    return TaskResult(
        tuple(receipts),
        counted.lists,
        counted.keys,
        counted.retries,
        counted.gets,
        tuple(listed.notes),
    )


class _Partitions:
    """A member's partitions as they are written; different ones may be at the same time."""

    def __init__(
        self, task: Task, member: Member, target: Target, pools: Pools, counted: Requests
    ) -> None:
        self._make = partial(part_writer, task, member, target, pools, counted)
        self._write: Callable[[Part, Written], None] | None = None
        self._left = Counter(unit.partition for walked in member.passes for unit in walked.units)
        self._written: dict[int, Written] = {}

    def take(self, position: int, part: Part) -> Written | None:
        """Write a part of a partition; return all that was written of it after its last one."""
        write = self._write = self._write or self._make()
        written = self._written.setdefault(position, Written())
        write(part, written)
        self._left[position] -= 1
        if self._left[position]:
            return None
        del self._left[position]
        if not self._left:
            self._write = None  # it keeps the spelling of paths, and there may be many members
        return self._written.pop(position)


def part_writer(
    task: Task, member: Member, target: Target, pools: Pools, counted: Requests
) -> Callable[[Part, Written], None]:
    """Return what writes the record files of a part of one of a member's partitions."""
    inlining = Inlining(task.inline_threshold, task.share.inlining, pools.room)
    rows = _row_source(task, member, pools, counted)
    return RecordWriter(rows, target, task.output, task.record_size, inlining, pools.writers).write


def _row_source(task: Task, member: Member, pools: Pools, counted: Requests) -> RowSource:
    """Return where the rows of a member's array come from."""
    if member.expansion is None:
        return PlainRows(member.spec, task.source, pools.fetches)
    reader = ShardReader(
        member.spec,
        task.source,
        pools.fetches,
        task.share.concurrency,
        counted,
        task.share.patience,
        pools.stop,
        member.expansion.index_bytes,
    )
    rows_of = {partition.objects: partition.rows for partition in member.partitions}
    return ShardRows(reader, rows_of, member.expansion.rows, task.record_size)
