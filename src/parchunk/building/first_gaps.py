"""Arrays that were whole and lack a chunk now: their fill value goes into the root at once.

Null stands for it in the root of references that readers have, where xarray would take it for a
mask (see `parchunk.metadata.mask`). They would read a chunk that is gone as zeros until an update
is done, or for good where one is cut short.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Set
from threading import Lock

from parchunk.errors import ParchunkError
from parchunk.out.output import ROOT, Output
from parchunk.out.plan_file import published_plan
from parchunk.out.receipts import Receipt
from parchunk.out.root import whole_arrays_hiding_fill, with_fill_values
from parchunk.planning.plan import Plan

#: How much of an update's time writing the root may take, about, where many arrays lose chunks.
_SHARE = 0.1


class FirstGaps:
    """Writes fill values into the root of ``output`` that is published, as receipts come.

    ``check`` raises when OUT is somebody else's by now.
    """

    def __init__(self, plan: Plan, output: Output, check: Callable[[], None]) -> None:
        self._plan = plan
        self._output = output
        self._check = check
        #: Arrays whose fill value the published root has not; None: nobody has looked yet.
        self._hidden: set[str] | None = None
        self._due = set[str]()
        self._next = 0.0
        self._lock = Lock()

    def notice(self, receipt: Receipt) -> None:
        """Take a receipt that was written; any thread may.

        Raises
        ------
        OutputError
            When OUT cannot be read or written.
        """
        self.take({receipt.array} if receipt.missing else set())

    def take(self, arrays: Set[str]) -> None:
        """Take arrays that lack chunks, by receipts that are there; write what is due by now.

        Raises
        ------
        OutputError
            As `notice`.
        """
        if not (arrays or self._due) or self._plan.hierarchy.written_format == 3:
            return
        with self._lock:
            if self._hidden is None:
                root, plan = self._published()
                self._hidden = set() if plan is None else whole_arrays_hiding_fill(root, plan)
            self._due |= self._hidden & arrays
            if self._due and time.monotonic() >= self._next:
                self._write()

    def end(self) -> None:
        """Write what waits, where an update is cut short; that it was is worth more than this."""
        with self._lock, contextlib.suppress(ParchunkError):
            if self._due:
                self._write()

    def _write(self) -> None:
        """Write what is due; the next time not at once, as all of the root is written anew."""
        assert self._hidden is not None
        began = time.monotonic()
        root, plan = self._published()
        if plan is not None:
            self._check()
            self._output.put(ROOT, with_fill_values(root, plan, self._due))
        self._hidden -= self._due
        self._due.clear()
        self._next = time.monotonic() + (time.monotonic() - began) / _SHARE

    def _published(self) -> tuple[bytes, Plan | None]:
        root = self._output.get(ROOT)
        return (b"", None) if root is None else (root, published_plan(self._output))
