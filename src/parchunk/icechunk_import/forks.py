"""Which session references are set in: with icechunk 1.x not the one that is committed.

For every reference, 1.x reads the array's node anew, with the list of all its manifests. So the
more regions are in, the longer one reference takes: 2.5 times as long after 49 regions. A fork of
a session that was opened when there were few manifests is as fast for the last region as for the
first, and can be merged into a session on the branch's tip.
"""

from __future__ import annotations

from typing import Any

from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.branches import Branch
from parchunk.icechunk_import.calls import Calls


class Setter:
    """Sets references that a session is to commit.

    A fork knows the arrays as they were. So it is used only while every commit since then was one
    of this import, which changes no array once the hierarchy is in. One that holds ``merged_at``
    references is merged, and another one made.
    """

    def __init__(self, branch: Branch, merged_at: int) -> None:
        self._merged_at = merged_at
        self._branch = branch
        self._early: Any = None
        self._tip: str | None = None
        self._session: Any = None
        self._fork: Any = None
        self._held = 0

    def begin(self, session: Any, of_region: bool) -> None:
        """Take the session to be committed; the hierarchy's new arrays are in it alone."""
        self._session = session
        if not of_region or adapter.takes_arrays():
            self._fork = None
            return
        if self._early is None or session.snapshot_id != self._tip:
            early = self._branch.session()
            self._early = early if early.snapshot_id == session.snapshot_id else None
        self._fork = _fork(self._early)
        self._held = 0

    def set(self, calls: Calls) -> int:
        """Set the references of a run; return how many icechunk did not take."""
        if self._fork is None:
            return sum(call(self._session.store) for call in calls.virtual)
        refused = sum(call(self._fork.store) for call in calls.virtual)
        self._held += len(calls.present)
        if self._held >= self._merged_at:
            self.merge()
            self._fork = _fork(self._early)
        return refused

    def merge(self) -> None:
        """See that all that was set is in the session to be committed."""
        if self._fork is not None:
            self._session.merge(self._fork)
            self._fork, self._held = None, 0

    def committed(self, snapshot: str | None) -> None:
        """Take note of the branch's new tip; None when commits of others lie before it."""
        self._tip = snapshot


def _fork(session: Any | None) -> Any | None:
    """Return a fork, or None where there can be none: of a repository in memory, say.

    Forking is pickling, so credentials of a caller's own making may be in the way, too.
    """
    if session is None:
        return None
    try:
        fork = session.fork()
        return None if adapter.get(fork.store, "zarr.json") is None else fork
    except Exception:
        return None
