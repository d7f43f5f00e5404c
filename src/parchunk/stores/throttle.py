"""How many requests a process may send a store: at a time, as that bears them, and a second."""

from __future__ import annotations

import math
import threading
import time
from functools import lru_cache

from parchunk.stores.same_store import SameStore

#: Statuses that say that requests are too many.
BUSY = frozenset({429, 503})
#: Seconds after which one who waits looks whether the build is ending.
_TICK = 0.25


class Pace:
    """When requests may begin of which there may be ``rate`` a second."""

    def __init__(self, rate: float = math.inf) -> None:
        self._lock = threading.Lock()
        self._apart = 1 / rate
        self._next = -math.inf

    def wait(self, stop: threading.Event) -> None:
        """Wait until one more may begin, or the build ends."""
        if not self._apart:
            return
        with self._lock:
            now = time.monotonic()
            begins = max(self._next, now)
            self._next = begins + self._apart
        if begins > now:
            stop.wait(min(begins - now, threading.TIMEOUT_MAX))

    def give_back(self) -> None:
        """Let another begin for one that was not sent."""
        with self._lock:
            self._next -= self._apart


class Throttle:
    """Lets so many requests be under way: half as many when the server says that it is too busy,
    and one more after each round of answers that came.

    Until it says so the first time there is no bound. Each begins at a ``pace``.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self._changed = threading.Condition()
        self._most = math.inf
        self._under_way = self._halved = 0
        self._pace = pace or Pace()

    @property
    def most(self) -> float:
        """How many may be under way."""
        return self._most

    def begin(self, stop: threading.Event) -> int:
        """Wait until one more may begin, or the build ends; return what `end` wants."""
        with self._changed:
            while self._under_way >= self._most and not stop.is_set():
                self._changed.wait(_TICK)
            self._under_way += 1
            halved = self._halved
        self._pace.wait(stop)
        return halved

    def end(self, begun: int, busy: bool, asked: bool = True) -> None:
        """Take note that a request has ended, and whether the server was too ``busy`` for it.

        One that was not ``asked``, as nothing was left to ask for, is another's.
        """
        with self._changed:
            together = self._under_way
            self._under_way -= 1
            if not asked:
                self._pace.give_back()
            elif not busy:
                self._most += 1 / self._most
            elif begun == self._halved:  # else it was of a rush that has been answered for
                self._most = max(min(self._most, together) / 2, 1.0)
                self._halved += 1
            self._changed.notify_all()


@lru_cache(maxsize=32)
def throttle_of(store: SameStore, prefix: str, rate: float, process: int) -> Throttle:
    """Return the one throttle of a store's prefix, which the threads of a process share.

    All of a process that are of one ``rate`` keep it together.
    """
    return Throttle(_pace_of(rate, process))


@lru_cache(maxsize=32)
def _pace_of(rate: float, process: int) -> Pace:
    return Pace(rate)
