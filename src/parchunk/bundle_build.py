"""Building a task: a group, or a bundle of small arrays' groups.

`build_task` is one function of picklable values, so that any executor can run it anywhere.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass

from parchunk.bundle_listing import BundleListing, Member
from parchunk.errors import ListingError
from parchunk.group_build import (
    Cost,
    Costs,
    GroupTask,
    Pools,
    TaskResult,
    build_group,
    finish,
    part_writer,
    receipt_of,
)
from parchunk.listing import Requests, result_unless
from parchunk.partition_writer import Written
from parchunk.receipts import Receipt
from parchunk.tally import Part


@dataclass(frozen=True)
class BundleTask:
    """The tasks of a bundle's groups, in the order of their arrays' keys."""

    members: tuple[GroupTask, ...]
    cells: int


#: What an executor is given.
Task = GroupTask | BundleTask


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
        part_writer(member, here, counted)(position, part, written)
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
