"""Arrays that were whole and lack a chunk now: their fill value goes into the root at once.

Null stands for it in the root of references that readers have, where xarray would take it for a
mask (see `parchunk.metadata.mask`). They would read a chunk that is gone as zeros until an update
is done, or for good where one is cut short.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from parchunk.metadata import whole_hides_fill
from parchunk.out.output import ROOT, Output
from parchunk.out.plan_file import published_plan
from parchunk.out.receipts import Receipt
from parchunk.out.root import with_fill_value
from parchunk.planning.plan import Plan


class FirstGaps:
    """Writes fill values into the root of ``output`` that is published, as receipts come.

    ``check`` raises when OUT is somebody else's by now.
    """

    def __init__(self, plan: Plan, output: Output, check: Callable[[], None]) -> None:
        self._plan = plan
        self._output = output
        self._check = check
        self._seen: set[str] = set()
        self._lock = Lock()

    def notice(self, receipt: Receipt) -> None:
        """Take a receipt that was written; any thread may.

        Raises
        ------
        OutputError
            When OUT cannot be read or written.
        """
        if not receipt.missing or self._plan.hierarchy.written_format == 3:
            return
        with self._lock:
            if receipt.array in self._seen:
                return
            self._seen.add(receipt.array)
            if whole_hides_fill(self._plan.by_name[receipt.array].spec):
                self._write(receipt.array)

    def _write(self, array: str) -> None:
        root = self._output.get(ROOT)
        plan = None if root is None else published_plan(self._output)
        if root is None or plan is None or array not in plan.by_name:
            return
        now = with_fill_value(root, plan, array)
        if now != root:
            self._check()
            self._output.put(ROOT, now)
