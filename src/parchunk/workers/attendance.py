"""Whether anybody takes what a Dask cluster was given: it waits for such workers for ever."""

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
#: What Dask calls workers that end what they are at, if that, and are gone then.
_LEAVING = {"closing_gracefully", "closing", "stopping", "stopped", "closed"}


class Attendance:
    """Whether an executor's workers take tasks; of other executors than Dask's it is not known.

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
        self.end()

    def end(self) -> None:
        """Nothing is waited for any more: what was given has been done."""
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
        if client.sync(scheduler.ncores_running, callback_timeout=_ANSWER):
            return None
        # Of very many workers it is long: asked only where none of them takes tasks.
        known = client.sync(scheduler.identity, callback_timeout=_ANSWER)["workers"].values()
    except TimeoutError:
        return _no_answer
    except (OSError, RuntimeError, asyncio.CancelledError):
        return None
    states = {worker["status"] for worker in known}
    if "paused" in states:
        return None if "running" in states else _all_paused
    if not states:
        return _no_worker
    return _all_leaving if states <= _LEAVING else None  # others are about to take tasks


def _no_worker(seconds: float, address: str) -> str:
    return (
        f"no worker has been there for {seconds:.0f} s: waiting for some; start them (dask worker "
        f"{address}), or stop this, and run it again later"
    )


def _all_paused(seconds: float, address: str) -> str:
    return (
        f"all workers have been paused for {seconds:.0f} s, as Dask does where their memory is "
        "nearly full: they end what they are at, and take nothing new until some is free; if that "
        "lasts, stop this, and run it again with a lower --memory, or with workers that have more; "
        f"or start others (dask worker {address})"
    )


def _all_leaving(seconds: float, address: str) -> str:
    return (
        f"all workers that are there have been closing for {seconds:.0f} s, and take nothing new: "
        f"waiting for others; start them (dask worker {address}), or stop this, and run it again "
        "later"
    )


def _no_answer(seconds: float, address: str) -> str:
    return (
        f"the Dask scheduler at {address} has not answered for {seconds:.0f} s: waiting for it; "
        "see whether its machine is well, or stop this, and run it again later"
    )
