"""The room that a process gives to the inlined chunks of the record files it writes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parchunk.cover.inlining import InlineBound
from parchunk.listing.waiting import Cancelled
from parchunk.out.record_files import record_path

#: Seconds between two looks at whether a build was stopped.
_TICK = 0.5


class InlineRoom:
    """What the record files that are written side by side hold of inlined chunks."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int, room: int) -> Iterator[None]:
        """Hold ``size`` bytes of ``room``, once there are so many; ``size`` is no more than it.

        Raises
        ------
        Cancelled
            When the build is stopped meanwhile.
        """
        with self._changed:
            while self._held + size > room:
                self._changed.wait(_TICK)
                if self._stop.is_set():
                    raise Cancelled("cancelled")
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()


@dataclass(frozen=True)
class Inlining:
    """What is inlined, chunks of ``threshold`` bytes or fewer, and within which memory.

    ``is_coordinate``: the threshold is that of a coordinate.
    """

    threshold: int
    bound: InlineBound
    room: InlineRoom
    is_coordinate: bool = False

    def small(self, present: NDArray[np.bool_], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which chunks of a record file are inlined."""
        return present & (sizes <= self.threshold)

    def held(
        self, array: str, index: int, sizes: NDArray[np.int64]
    ) -> AbstractContextManager[None]:
        """Return a context in which a record file's inlined chunks may be held, of these sizes.

        Raises
        ------
        InputError
            When there can be no room for them.
        """
        if not len(sizes):
            return nullcontext()
        wanted = self.bound.check(record_path(array, index), sizes, self.is_coordinate)
        return self.room.taken(wanted, self.bound.room)
