"""Which walks of a pass are under way, and which row sets still wait for them. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Passed:
    """A walk has passed ``rank``; None: it has ended, or failed."""

    walk: int
    rank: int | None = None


class UnderWay:
    """Which walks may start: those within a window of the first one that has not ended.

    Without it, one slow walk would let the others run ahead, and all that they meet be held.
    """

    def __init__(self, window: int, walks: int) -> None:
        self._window = window
        self._walks = walks
        self._started = 0
        self._first = 0
        self._ended: set[int] = set()

    @property
    def finished(self) -> bool:
        """Whether every walk has ended."""
        return self._first == self._walks

    def next(self) -> range:
        """Return the walks that may start now and have not."""
        end = min(self._first + self._window, self._walks)
        started, self._started = self._started, max(end, self._started)
        return range(started, self._started)

    def passed(self, walk: int) -> None:
        """Note that a walk has ended."""
        self._ended.add(walk)
        while self._first in self._ended:
            self._ended.remove(self._first)
            self._first += 1


class Waiting:
    """Which ranks of which walks each row set still waits for."""

    def __init__(self, needs: Sequence[dict[int, int]]) -> None:
        self._needs = dict(enumerate(dict(need) for need in needs))
        self._by_walk: dict[int, list[int]] = {}
        for position, need in enumerate(needs):
            for walk in need:
                self._by_walk.setdefault(walk, []).append(position)

    def ranks(self, walk: int) -> list[int]:
        """Return the ranks of a walk that row sets wait for, rising."""
        return sorted({self._needs[position][walk] for position in self._by_walk.get(walk, ())})

    def for_nothing(self) -> list[int]:
        """Return the row sets that wait for no walk at all: those without rows."""
        return [position for position, need in self._needs.items() if not need]

    def without(self, walk: int, rank: int) -> list[int]:
        """Note that a walk has passed a rank; return what waits for nothing any more."""
        ready = []
        for position in self._by_walk.get(walk, ()):
            need = self._needs[position]
            if need.get(walk, rank + 1) <= rank:
                del need[walk]
                if not need:
                    ready.append(position)
        return ready
