"""Doing pending partitions elsewhere: as tasks of an executor of the caller's, such as Dask's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from parchunk.building.effort import Effort
from parchunk.building.results import JobResult, Progress, TaskResult
from parchunk.building.running import Run, Start
from parchunk.building.tasks import Task, do_task, tasks_of
from parchunk.errors import OutputError
from parchunk.out.advance import Advance, Observer
from parchunk.out.kept_rows import keep_rows
from parchunk.out.output import Output
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source
from parchunk.workers.attendance import Attendance
from parchunk.workers.executors import result_of, submit

#: Tasks that an executor is given at a time.
_AT_ONCE = 256
#: Seconds between two looks at OUT for what tasks have done, and how much of the time they take.
_LOOK = 5.0
_SHARE = 0.05


def do_elsewhere(
    plan: Plan, source: Source, output: Output, run: Run, effort: Effort, lease: str
) -> int:
    """Do all partitions of which ``run`` has no receipt; return the fewest LIST requests for it.

    Tasks are given the opened source and OUT, which an executor of other processes pickles.

    Raises
    ------
    ParchunkError
        Naming the task, where it was not the task itself that failed.
    """
    assert effort.executor is not None
    executor = effort.executor
    done = {receipt.key for receipt in run.receipts}
    tasks = tasks_of(plan, source, output, effort, None, done, lease)
    started: dict[Future[Any], Task] = {}
    least = 0

    def start(task: Task) -> Future[Any]:
        future: Future[Any] = submit(executor, task.name, do_task, task, source, output)
        started[future] = task
        return future

    def finished(future: Future[Any]) -> TaskResult:
        result: TaskResult = result_of(future, started.pop(future).name)
        return result

    def take(result: JobResult) -> None:
        nonlocal least
        assert isinstance(result, TaskResult)
        run.add(replace(result, receipts=tuple(r for r in result.receipts if r.key not in done)))
        done.update(receipt.key for receipt in result.receipts)
        least += result.requests_least

    if tasks:
        keep_rows(source, output)
    attendance = Attendance(executor)
    run.watch = Watch(plan, output, attendance)
    starts: Iterator[Start] = ((0, partial(start, task)) for task in tasks)
    try:
        run.drive(starts, _AT_ONCE, result_of=finished, take=take, tick=attendance.look)
    except BaseException:
        for future in started:  # the executor is the caller's, and goes on
            future.cancel()
        raise
    attendance.end()
    return least


class Watch:
    """What tasks have done so far wherever they run, as OUT shows it, and whether any can run."""

    def __init__(self, plan: Plan, output: Output, attendance: Attendance) -> None:
        self._observer = Observer(output, plan)
        self._attendance = attendance
        self._next = 0.0
        self._seen: Advance | None = None

    def __call__(self, now: Progress) -> Progress:
        """Return progress with what is under way added to what has come back."""
        began = time.monotonic()
        if began >= self._next:
            with suppress(OutputError):  # the next look may see more
                self._seen = self._observer.look()
            self._next = time.monotonic() + max(_LOOK, (time.monotonic() - began) / _SHARE)
        seen = self._seen
        now = replace(now, waiting=self._attendance.waiting)
        if seen is None:
            return now
        return replace(
            now,
            partitions=max(now.partitions, seen.partitions),
            chunks=max(now.chunks, seen.chunks),
            listed=now.listed + seen.listed,
            requests=now.requests + seen.requests,
            retries=now.retries + seen.retries,
        )
