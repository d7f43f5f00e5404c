"""How often a listing is tried again, and what listings cost."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from parchunk.errors import InputError
from parchunk.listing.waiting import go_on

T = TypeVar("T")


@dataclass
class Requests:
    """What listings cost so far; shared by threads. A task's count also adds to ``total``."""

    lists: int = 0
    keys: int = 0
    retries: int = 0
    #: Of those, requests that were too many for the store.
    busy: int = 0
    #: Shard indexes read.
    gets: int = 0
    #: Chunks asked for by themselves.
    heads: int = 0
    total: Requests | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(
        self,
        *,
        lists: int = 0,
        keys: int = 0,
        retries: int = 0,
        busy: int = 0,
        gets: int = 0,
        heads: int = 0,
    ) -> None:
        """Add to the counts, and to those of `total`."""
        with self._lock:
            self.lists += lists
            self.keys += keys
            self.retries += retries
            self.busy += busy
            self.gets += gets
            self.heads += heads
        if self.total is not None:
            self.total.add(
                lists=lists, keys=keys, retries=retries, busy=busy, gets=gets, heads=heads
            )


@dataclass(frozen=True)
class Patience:
    """How often a listing that makes no progress is tried again, and how long to wait.

    One that delivers nothing for ``quiet`` seconds is taken for broken: longer than a client of
    `parchunk.stores` tries again by itself. All listings of a process together ask for
    ``lists_per_second`` pages a second at most.
    """

    attempts: int = 5
    first_wait: float = 0.2
    longest_wait: float = 10.0
    quiet: float = 240.0
    lists_per_second: float = math.inf

    def __post_init__(self) -> None:
        """Check the rate, which divides.

        Raises
        ------
        InputError
            When it is none.
        """
        rate = self.lists_per_second
        if not (isinstance(rate, int | float) and rate > 0):
            raise InputError(f"lists_per_second={rate!r}: give a number above 0")

    def tried(
        self,
        ask: Callable[[], T],
        is_final: Callable[[Exception], bool],
        count: Callable[[], None],
        stop: threading.Event,
    ) -> T:
        """Return what ``ask`` returns, tried again, and counted, while its errors are not final.

        What the last attempt raises is raised.

        Raises
        ------
        Cancelled
            When the build is ending.
        """
        attempt = 0
        while True:
            go_on(stop)
            attempt += 1
            try:
                return ask()
            except Exception as error:  # obstore's classes do not tell which ones pass
                if attempt >= self.attempts or is_final(error):
                    raise
            count()
            self.wait(attempt, stop)

    def wait(self, attempt: int, stop: threading.Event) -> None:
        """Wait before the attempt after ``attempt`` (counted from 1), or until ``stop``."""
        longest = min(self.first_wait * 2 ** (attempt - 1), self.longest_wait)
        stop.wait(longest * random.uniform(0.5, 1.0))
