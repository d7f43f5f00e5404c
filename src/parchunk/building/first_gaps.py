"""Arrays that were whole and lose a chunk: their fill value goes into the root before that is seen.

Null stands for it in the root of references that readers have, where xarray would take it for a
mask (see `parchunk.metadata.mask`). They would read a chunk that is gone as zeros, so that no
record file without one is written before the root has what it reads as: whoever writes it, and
wherever that is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock

from parchunk.metadata import may_hide_fill
from parchunk.metadata.spec import ArraySpec
from parchunk.out.output import ROOT, Output
from parchunk.out.plan_file import published_plan
from parchunk.out.root import whole_arrays_hiding_fill, with_fill_values
from parchunk.planning.plan import Plan


class FirstGaps:
    """Writes fill values into the root of ``output`` that is published, in any thread.

    Other processes may do the same at the same time. ``check`` raises when OUT is somebody else's
    by now.
    """

    def __init__(self, output: Output, check: Callable[[], None] | None = None) -> None:
        self._output = output
        self._check = check
        #: Arrays whose fill value the published root has not; None: nobody has looked yet.
        self._hidden: set[str] | None = None
        #: Arrays of which record files wait for the root: whoever writes it does so for all.
        self._due = set[str]()
        self._noting, self._writing = Lock(), Lock()
        #: The version of the root that was seen last, and the plan that it is of.
        self._seen: tuple[str, Plan | None] = ("", None)

    def come(self, arrays: Mapping[str, ArraySpec]) -> None:
        """Make the root ready for record files of some arrays, by name, that lack a chunk.

        Raises
        ------
        OutputError, HeldError
            When OUT cannot be read or written, or is somebody else's.
        """
        # The root that is published may be of other attributes.
        if self._hidden is None and not any(map(may_hide_fill, arrays.values())):
            return
        with self._noting:
            self._due |= arrays.keys()
        with self._writing:
            if self._hidden is None:
                self._hidden = self._looked()
            if self._hidden.isdisjoint(arrays):
                return  # or whoever wrote before has done it
            with self._noting:
                due = (self._due | arrays.keys()) & self._hidden
            self._write(due)
            self._hidden -= due
            with self._noting:
                self._due &= self._hidden

    def _looked(self) -> set[str]:
        root, _, plan = self._published()
        if plan is None or plan.hierarchy.written_format == 3:
            return set()
        return whole_arrays_hiding_fill(root, plan)

    def _write(self, due: set[str]) -> None:
        """Write what is due, on top of what other processes have."""
        written: str | None = None
        while written is None:
            before, version, plan = self._published()
            if plan is None:
                return
            root = with_fill_values(before, plan, due & plan.by_name.keys())
            if root == before:
                return
            if self._check is not None:
                self._check()
            written = self._output.put_if(ROOT, root, version)
        self._seen = written, self._seen[1]

    def _published(self) -> tuple[bytes, str, Plan | None]:
        found = self._output.get_version(ROOT)
        if found is None:
            return b"", "", None
        if found[1] != self._seen[0]:
            self._seen = found[1], published_plan(self._output)
        return *found, self._seen[1]
