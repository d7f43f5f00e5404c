"""Whether anybody is there to do what a Dask cluster was given: it waits for workers for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any

from parchunk.workers.executors import client_of

#: Seconds that no worker may be there before that is said.
PATIENCE = 30.0
#: Seconds between two looks, at least and at most, as they may take but so much of the time.
_LOOK, _LONGEST, _SHARE = 2.0, 10.0, 0.05
#: Seconds that the scheduler may take to answer one.
_ANSWER = 5.0


class Attendance:
    """Whether an executor has workers; of other executors than Dask's it is not known.

    ``tell`` is called with what is waited for as soon as that is to be said, and with "" once it is
    there.
    """

    def __init__(self, executor: Executor, tell: Callable[[str], None] | None = None) -> None:
        self._client = client_of(executor)
        scheduler = None if self._client is None else self._client.scheduler
        self._address = "" if scheduler is None else scheduler.address  # None once it is closed
        self._tell = tell
        self._next = 0.0
        self._lacking: Callable[[float, str], str] | None = None
        self._since = 0.0
        #: What is waited for, in words; "" while nothing is.
        self.waiting = ""

    def look(self) -> None:
        """See who is there, unless that was seen just now."""
        began = time.monotonic()
        if self._client is None or began < self._next:
            return
        lacking = _lacking(self._client)
        now = time.monotonic()
        self._next = now + min(max(_LOOK, (now - began) / _SHARE), _LONGEST)
        if lacking is not self._lacking:
            self._lacking, self._since = lacking, began
            self._say("")
        if lacking is not None and not self.waiting and now - self._since >= PATIENCE:
            self._say(lacking(now - self._since, self._address))

    def wait(self, futures: Collection[Future[Any]]) -> None:
        """Wait until one of some futures is done, and look meanwhile."""
        every = None if self._client is None else _LOOK
        while not wait(futures, every, FIRST_COMPLETED).done:
            self.look()
        self._lacking = None
        self._say("")

    def _say(self, waiting: str) -> None:
        if waiting != self.waiting:
            self.waiting = waiting
            if self._tell is not None:
                self._tell(waiting)


def _lacking(client: Any) -> Callable[[float, str], str] | None:
    """Return what says that something is not there; None where all is, or it cannot be known.

    A client that has lost its scheduler cancels what it was given, which is an error of that.
    """
    scheduler = client.scheduler
    if client.status != "running" or scheduler is None or client.asynchronous:
        return None
    try:
        running = client.sync(scheduler.ncores_running, callback_timeout=_ANSWER)
    except TimeoutError:
        return _no_answer
    except (OSError, RuntimeError, asyncio.CancelledError):
        return None
    return None if running else _no_worker


def _no_worker(seconds: float, address: str) -> str:
    return (
        f"no worker has been there for {seconds:.0f} s: waiting for some; start them (dask worker "
        f"{address}), or stop this, and run it again later"
    )


def _no_answer(seconds: float, address: str) -> str:
    return (
        f"the Dask scheduler at {address} has not answered for {seconds:.0f} s: waiting for it; "
        "see whether its machine is well, or stop this, and run it again later"
    )
