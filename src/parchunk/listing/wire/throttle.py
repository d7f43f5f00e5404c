"""How many requests a server may be sent at a time, as it answers that they are too many."""

from __future__ import annotations

import math
import threading

#: Seconds after which one who waits looks whether the build is ending.
_TICK = 0.25


class Throttle:
    """Lets so many requests be under way: half as many when the server says that it is too busy,
    and one more after each round of answers that came.

    Until it says so the first time there is no bound.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._most = math.inf
        self._under_way = self._halved = 0

    @property
    def most(self) -> float:
        """How many may be under way."""
        return self._most

    def begin(self, stop: threading.Event) -> int:
        """Wait until one more may be under way, or the build ends; return what `end` wants."""
        with self._changed:
            while self._under_way >= self._most and not stop.is_set():
                self._changed.wait(_TICK)
            self._under_way += 1
            return self._halved

    def end(self, begun: int, busy: bool) -> None:
        """Take note that a request has ended, and whether the server was too ``busy`` for it."""
        with self._changed:
            together = self._under_way
            self._under_way -= 1
            if not busy:
                self._most += 1 / self._most
            elif begun == self._halved:  # else it was of a rush that has been answered for
                self._most = max(min(self._most, together) / 2, 1.0)
                self._halved += 1
            self._changed.notify_all()
