"""Requests under way are watched: what takes too long, or is not wanted any more, is cut off.

A thread that waits for a server cannot look at a clock, nor whether the build is ending. One thread
does for all: it closes the connection, and whoever waits wakes up.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from parchunk.listing.batches import TICK


@dataclass(eq=False)
class Wait:
    """One request that is waited for, until ``end`` by the monotonic clock at most.

    Its first byte, and each that follows, may take ``quiet`` seconds. ``late`` says why it was cut
    off, where it was; ``begun``, whether an answer began to come.
    """

    connection: socket.socket
    stop: threading.Event
    end: float
    quiet: float
    moved: float = field(default_factory=time.monotonic)
    late: str = ""
    begun: bool = False

    def begin(self) -> None:
        """Note that an answer begins to come."""
        self.begun = True
        self.heard()

    def heard(self) -> None:
        """Note that something came."""
        self.moved = time.monotonic()

    def look(self) -> None:
        """Cut it off where it is time to."""
        now = time.monotonic()
        if self.stop.is_set():
            self.late = "the build is ending"
        elif now >= self.end:
            self.late = "the answer was not whole in time"
        elif now >= self.moved + self.quiet:
            self.late = f"nothing came for {self.quiet:g} s"
        if self.late:
            with contextlib.suppress(OSError):
                # Not by its own method: that of an encrypted one would pull it from under a reader.
                socket.socket.shutdown(self.connection, socket.SHUT_RDWR)


class Watch:
    """Watches waits in a thread that sleeps while there are none."""

    def __init__(self) -> None:
        self._waits: dict[int, Wait] = {}
        self._some = threading.Event()
        self._begin = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, wait: Wait) -> Iterator[Wait]:
        """Watch a wait for as long as the context lasts."""
        if self._thread is None:
            self._start()
        self._waits[id(wait)] = wait
        self._some.set()
        try:
            yield wait
        finally:
            del self._waits[id(wait)]

    def _start(self) -> None:
        with self._begin:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            while waits := list(self._waits.values()):
                for wait in waits:
                    wait.look()
                time.sleep(TICK)
