"""Who runs calls: processes of this machine, or an executor of the caller's; what they come to, in
the order in which they were asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from parchunk.errors import InputError
from parchunk.workers.attendance import Attendance
from parchunk.workers.executors import result_of, submit
from parchunk.workers.processes import worker_processes

#: What to do where calls that write nothing came to no end.
_AGAIN = "run again"


def require_workers(workers: int) -> None:
    """Check a number of workers that a caller gives.

    Raises
    ------
    InputError
        When it is none.
    """
    if workers < 1:
        raise InputError("--workers must be 1 or more")


@dataclass(frozen=True)
class Crew:
    """What runs ``at_once`` calls: ``executor``, or else as many processes of this machine."""

    at_once: int
    executor: Executor | None = None

    @contextmanager
    def opened(self) -> Iterator[Executor]:
        """Yield what runs calls; processes end with it."""
        if self.executor is not None:
            yield self.executor
        else:
            with worker_processes(self.at_once) as pool:
                yield pool


@dataclass(frozen=True)
class Call:
    """A call of ``function``, called ``name`` on a dashboard and in errors; ``size`` is how much it
    is of what progress counts.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    size: int = 1


def in_order(
    executor: Executor,
    calls: Iterable[Call],
    at_once: int,
    done: Callable[[int], None] | None = None,
    waits: Callable[[str], None] | None = None,
) -> Iterator[Any]:
    """Yield what calls come to in their order, while ``at_once`` of them are under way or wait.

    ``done`` is told the size of each as soon as it has ended, and ``waits`` what is waited for; see
    `parchunk.workers.attendance.Attendance`.

    Raises
    ------
    ParchunkError
        What a call raised, as soon as it has; or naming it, where it was not the call that failed.
    """
    flying: deque[tuple[Call, Future[Any]]] = deque()
    ended: set[Future[Any]] = set()
    rest = iter(calls)
    attendance = Attendance(executor, waits)

    def end(call: Call, future: Future[Any]) -> None:
        result_of(future, call.name, _AGAIN)  # an error does not wait for its turn
        ended.add(future)
        if done:
            done(call.size)

    try:
        while True:
            while len(flying) < at_once and (call := next(rest, None)) is not None:
                future = submit(executor, call.name, call.function, *call.arguments, again=_AGAIN)
                flying.append((call, future))
            if not flying:
                return
            attendance.wait([future for _, future in flying if future not in ended])
            for call, future in flying:
                if future not in ended and future.done():
                    end(call, future)
            while flying and flying[0][1] in ended:
                _, future = flying.popleft()
                ended.discard(future)
                yield future.result()
    finally:
        for _, future in flying:  # an executor is the caller's, and goes on
            future.cancel()
