"""How fast something goes: by its last minutes, not by what was done before."""

from __future__ import annotations

from collections import deque

#: The share of what is done from which on nothing is said of how long the rest takes.
NEARLY = 0.99


class Rate:
    """What comes a second over the last so many seconds."""

    def __init__(self, window: float = 300.0) -> None:
        self._window = window
        self._seen: deque[tuple[float, float]] = deque()

    def take(self, now: float, done: float) -> float | None:
        """Return the rate with what is done ``now``; None until there are two looks."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > self._window:
            self._seen.popleft()
        then, before = self._seen[0]
        return (done - before) / (now - then) if now > then and done >= before else None
