"""Who shares the work of an audit: processes beside this one, or an executor of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from parchunk.out.output import Output
from parchunk.out.shared_plan import shared_plan
from parchunk.planning.plan import Plan
from parchunk.workers.crews import Call, Crew, in_order, require_workers

#: Tasks that an executor is given at a time, at least and at most: what they found waits for those
#: before, and may be many megabytes where all chunks are missing.
_AT_ONCE = 8, 64


@dataclass(frozen=True)
class Hands:
    """What runs ``at_once`` tasks; the work is cut into as many as ``among`` so many, at least.

    ``processes`` are those that share memory and listings: tasks of an executor have each their
    own. ``waits`` is told what is waited for.
    """

    executor: Executor
    at_once: int
    among: int
    processes: int
    waits: Callable[[str], None] | None = None

    def in_order(
        self,
        calls: Iterable[Call],
        done: Callable[[int], None] | None = None,
        requests: int | None = None,
    ) -> Iterator[Any]:
        """Yield what tasks come to, in their order; see `parchunk.workers.crews.in_order`.

        ``requests`` are how many may be under way in all processes together: where these are more,
        that many tasks have one each.
        """
        at_once = self.at_once
        if requests is not None and requests < self.processes:
            at_once = requests
        return in_order(self.executor, calls, at_once, done, self.waits)


@contextmanager
def opened_hands(
    workers: int, executor: Executor | None, waits: Callable[[str], None] | None = None
) -> Iterator[Hands | None]:
    """Yield who shares the work; None for this process alone. ``waits`` is told who is waited for.

    Raises
    ------
    InputError
        When ``workers`` is no number of them.
    """
    require_workers(workers)
    if executor is not None:
        low, high = _AT_ONCE
        yield Hands(executor, min(max(2 * workers, low), high), workers, 1, waits)
    elif workers == 1:
        yield None
    else:
        with Crew(workers).opened() as pool:
            yield Hands(pool, 2 * workers, workers, workers)


@dataclass(frozen=True)
class Part:
    """Where a part of an audit is done: ``name`` says of what it is for people.

    ``fingerprint`` is that of the plan, which OUT must still hold.
    """

    name: str
    output: Output
    fingerprint: str

    @property
    def plan(self) -> Plan:
        """The plan in OUT, read once by each process.

        Raises
        ------
        InputError
            When OUT holds another by now.
        """
        return shared_plan(self.output, self.fingerprint, self.name, "audit again")
