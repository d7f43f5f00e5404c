"""Regions whose references workers set, each in a fork of a session, while those before it are
committed: their commits are one after another, and the same as without workers.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np

from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.branches import AGAIN
from parchunk.icechunk_import.calls import Calls, Lot, Reading
from parchunk.icechunk_import.committing import Committer, set_lot
from parchunk.icechunk_import.forks import Forked
from parchunk.icechunk_import.planned_commits import PlannedCommit
from parchunk.workers.attendance import Attendance
from parchunk.workers.crews import Crew
from parchunk.workers.executors import result_of, submit


@dataclass(frozen=True)
class RegionToSet:
    """A region's references, and the fork to set them in; picklable.

    ``asked`` is whether to say which chunks there are. ``url`` is what the repository is called.
    """

    name: str
    url: str
    fork: Forked
    reading: Reading
    lots: tuple[Lot, ...]
    asked: bool


def set_region(region: RegionToSet) -> Forked:
    """Set the references of a region in its fork; any process can that reaches OUT.

    Raises
    ------
    OutputError, InputError
        As `set_lot` does.
    """
    adapter.load()
    adapter.quiet_logs()
    fork = pickle.loads(region.fork.data)

    def set_virtual(calls: Calls) -> int:
        return sum(call(fork.store) for call in calls.virtual)

    with adapter.reported(f"set references of {region.name} for {region.url}", AGAIN):
        calls = region.reading.calls(region.lots)
        found = [
            set_lot(lot, calls, set_virtual, fork.store, region.asked, region.url)
            for lot in region.lots
        ]
        present = tuple(None if one is None else np.packbits(one) for one in found)
        return Forked(region.fork.base, pickle.dumps(fork), present)


def set_ahead(
    committer: Committer,
    work: Sequence[PlannedCommit],
    crew: Crew,
    waits: Callable[[str], None] | None = None,
) -> Iterator[tuple[PlannedCommit, Forked | Iterator[Calls]]]:
    """Yield regions with what a worker has set of them, in their order.

    ``crew.at_once`` of them are under way or wait while one is committed. Where no fork can be
    made of the repository, as of one in memory, a region is yielded with its calls. ``waits`` is
    told what is waited for.

    Raises
    ------
    ParchunkError
        As `set_region` does, or naming the region where its worker died.
    """
    waiting = iter(work)
    flying: deque[tuple[PlannedCommit, Future[Forked] | None]] = deque()

    def start(executor: Executor) -> None:
        item = next(waiting, None)
        if item is None:
            return
        fork = committer.setter.ahead()
        if fork is None:
            flying.append((item, None))
            return
        region = RegionToSet(
            item.name,
            committer.url,
            fork,
            committer.reading,
            tuple(committer.lots(item)),
            committer.replaces(item),
        )
        name = f"set {item.name}"
        flying.append((item, submit(executor, name, set_region, region)))

    with crew.opened() as executor:
        attendance = Attendance(executor, waits)
        try:
            for _ in range(crew.at_once):
                start(executor)
            while flying:
                item, future = flying[0]
                if future is not None:
                    attendance.wait([future])
                flying.popleft()
                done: Forked | Iterator[Calls] = (
                    committer.reading.calls(committer.lots(item))
                    if future is None
                    else result_of(future, item.name)
                )
                start(executor)
                yield item, done
        finally:
            for _, future in flying:  # an executor is the caller's, and goes on
                if future is not None:
                    future.cancel()
