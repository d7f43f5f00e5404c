"""The check of many record files, side by side: by threads of this process, or shared out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby
from typing import NamedTuple, TypeVar

from parchunk.auditing.policy import Policy
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.record_check import RecordChecker, RecordJob, RecordResult, checker_of
from parchunk.auditing.sharing import Hands, Part
from parchunk.auditing.sizes import Sizes
from parchunk.cover.memory import ROW_BYTES, file_rows
from parchunk.out.output import Output
from parchunk.planning.plan import Plan
from parchunk.planning.stretches import stretch_name
from parchunk.workers.crews import Call

#: Record files read side by side when each is a request.
_REMOTE_READERS = 16
#: Rows of record files that are checked one after another, where none is a request: a hundred
#: thousand small ones are not handed over one by one.
_ROWS_AT_ONCE = 10_000
#: Rows and record files of a task, at most: about a second's work, and what it found goes by wire.
_ROWS, _FILES = 1_000_000, 400
#: Tasks that each of those gets who share them, where there are enough record files: the last ones
#: to end wait for nobody long.
_TASKS_OF_EACH = 4

#: Rows of record files on average, fewer than which threads would only wait for each other: with
#: two of them, files of 96 rows took a third more time, and those of 20,000 a quarter less.
_SMALL = 5_000


class FileToCheck(NamedTuple):
    """A record file of an ``array``; ``place`` is its partition's in the order of stretches."""

    array: str
    job: RecordJob
    place: int


class _Check(NamedTuple):
    """A record file, and what checks those of its array."""

    checker: RecordChecker
    job: RecordJob


_File = TypeVar("_File", FileToCheck, _Check)


@dataclass(frozen=True)
class FilesTask:
    """Record files of a plan in OUT that are checked together, so many side by side; picklable."""

    part: Part
    policy: Policy
    files: tuple[tuple[str, tuple[RecordJob, ...]], ...]
    readers: int


def checked_files(
    plan: Plan,
    output: Output,
    policy: Policy,
    done: Sequence[Sequence[Audited]],
    memory: int,
    hands: Hands | None,
    checked: Callable[[int], None],
) -> Generator[RecordResult]:
    """Yield what the record files of ``done`` partitions hold, in their order.

    ``done`` are lists beside the plan's arrays. ``checked`` is told how many more were. ``memory``
    in bytes bounds how many are read side by side where each is a request.

    Raises
    ------
    ParchunkError
        When OUT cannot be read, or naming the arrays whose tasks could not be run.
    """
    begins = list(accumulate((array.regions for array in plan.arrays), initial=0))[:-1]
    files = (
        FileToCheck(array.spec.name, job, begin + (item.partition.region or 0))
        for array, begin, items in zip(plan.arrays, begins, done, strict=True)
        for item in items
        for job in item.jobs(plan.record_size)
    )
    if hands is None:
        readers = record_readers(plan, output, memory, min(os.cpu_count() or 2, 8))
        for result in _checked_here(plan, output, policy, files, readers):
            checked(1)
            yield result
        return
    rows = sum(item.partition.rows.total for items in done for item in items)
    most = min(_ROWS, -(-rows // (_TASKS_OF_EACH * hands.among)))
    readers = record_readers(plan, output, memory // hands.processes, 1)
    calls = (_call(plan, output, policy, some, readers) for some in _cut(files, most))
    for results in hands.in_order(calls, checked):
        yield from results


def record_readers(plan: Plan, output: Output, memory: int, near: int) -> int:
    """Return how many record files are read side by side: ``near`` many without requests."""
    if not output.costs_requests:
        return near
    return max(min(_REMOTE_READERS, memory // (file_rows(plan) * ROW_BYTES)), 1)


def _checked_here(
    plan: Plan, output: Output, policy: Policy, files: Iterable[FileToCheck], readers: int
) -> Iterator[RecordResult]:
    """Yield what record files hold, read by so many threads; small ones by none of them.

    Where each is a request, so many requests are under way.
    """
    checks = _checks(plan, output, policy, files)
    rows = 1 if output.costs_requests else _ROWS_AT_ONCE
    flying: deque[Callable[[], list[RecordResult]]] = deque()
    with ThreadPoolExecutor(readers, thread_name_prefix="audit") as pool:
        for some in _cut(checks, rows):
            is_mine = not output.costs_requests and _are_small(some)
            flying.append(
                partial(_checked, some) if is_mine else pool.submit(_checked, some).result
            )
            while len(flying) > 2 * readers:
                yield from flying.popleft()()
        while flying:
            yield from flying.popleft()()


def _checks(
    plan: Plan, output: Output, policy: Policy, files: Iterable[FileToCheck]
) -> Iterator[_Check]:
    for array, some in groupby(files, lambda file: file.array):
        # It holds the tails of paths, and is not kept.
        checker = checker_of(plan, plan.by_name[array], output, policy)
        for file in some:
            yield _Check(checker, file.job)


def _are_small(checks: Sequence[_Check]) -> bool:
    """Whether files have few rows each."""
    return sum(check.job.rows for check in checks) < _SMALL * len(checks)


def _checked(checks: Iterable[_Check]) -> list[RecordResult]:
    return [check.checker.check(check.job) for check in checks]


def _cut(files: Iterable[_File], most: int) -> Iterator[list[_File]]:
    """Yield files in runs of ``most`` rows each, or of one that has more."""
    held: list[_File] = []
    rows = 0
    for file in files:
        if held and (rows + file.job.rows > most or len(held) == _FILES):
            yield held
            held, rows = [], 0
        held.append(file)
        rows += file.job.rows
    if held:
        yield held


def _call(
    plan: Plan, output: Output, policy: Policy, files: Sequence[FileToCheck], readers: int
) -> Call:
    name = f"audit {stretch_name(plan, files[0].place, files[-1].place + 1)}"
    grouped = tuple(
        (array, tuple(file.job for file in some))
        for array, some in groupby(files, lambda file: file.array)
    )
    task = FilesTask(Part(name, output, plan.fingerprint), policy, grouped, readers)
    return Call(name, check_files, (task,), len(files))


def check_files(task: FilesTask) -> list[RecordResult]:
    """Return what the record files of a task hold; any process can that reaches OUT.

    Sizes and pictures of all files of an array are in the result of its last one that is readable.

    Raises
    ------
    InputError, OutputError
        When OUT holds another plan by now, or cannot be read.
    """
    plan, output = task.part.plan, task.part.output
    files = (FileToCheck(array, job, 0) for array, jobs in task.files for job in jobs)
    results = _checked_here(plan, output, task.policy, files, task.readers)
    found: list[RecordResult] = []
    for _, jobs in task.files:
        before: RecordResult | None = None
        for _ in jobs:
            result = next(results)
            found.append(result)
            if result.readable:
                if before is not None:
                    _hand_on(before, result)
                before = result
    return found


def _hand_on(before: RecordResult, result: RecordResult) -> None:
    """Add one file's sizes and picture to those of the next: they take more than all else."""
    result.sizes.merge(before.sizes)
    before.sizes = Sizes(fixed=before.sizes.fixed)
    if before.heat is not None and result.heat is not None:
        result.heat.merge(before.heat)
        before.heat = None
