"""Requests that nobody waits for any more: each keeps a thread, so that there may be only so many.

Requests of obstore cannot be interrupted. Those of a client without a time-out may go on for ever.
"""

from __future__ import annotations

import os
import threading

#: Requests that may hang in a process before no other is begun: more than the 1,024 listings of a
#: build, all of which are left where it is stopped, and most of which are answered soon.
MOST = 2_000


class Hanging:
    """How many requests hang of which nobody wants the answer any more."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def is_full(self) -> bool:
        """Whether there are as many as there may be."""
        return self._count >= MOST

    def change(self, by: int) -> None:
        """Count those that were left, and those of them that have ended."""
        with self._lock:
            self._count += by


HANGING = Hanging()
if hasattr(os, "register_at_fork"):
    # A forked process has the count, and none of the threads.
    os.register_at_fork(after_in_child=HANGING.__init__)  # type: ignore[misc]
#: Said where no more requests are begun.
TOO_MANY = (
    f"{MOST:,} requests of before have no answer yet, so no more are begun: check the endpoint and "
    "the network, and end this process"
)


class Request:
    """One request: left by who waits for it, and ended by its thread."""

    def __init__(self) -> None:
        self._is_left = self._is_over = False
        self._hanging = HANGING
        self._lock = threading.Lock()

    def leave(self) -> None:
        """Wait no longer: it hangs until it ends."""
        with self._lock:
            if not (self._is_left or self._is_over):
                self._is_left = True
                self._hanging.change(1)

    def end(self) -> None:
        """Count it no longer: its thread has come back."""
        with self._lock:
            if self._is_left and not self._is_over:
                self._hanging.change(-1)
            self._is_over = True
