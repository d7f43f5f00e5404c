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


class Setter:
    """Gives sessions to set references in.

    A fork knows the arrays as they were. So it is used only while every commit since then was one
    of this import, which changes no array once the hierarchy is in.
    """

    def __init__(self, branch: Branch) -> None:
        self._branch = branch
        self._early: Any = None
        self._tip: str | None = None

    def session_for(self, session: Any) -> Any:
        """Return what takes the virtual references that ``session`` is to commit."""
        if adapter.takes_arrays():
            return session
        if self._early is None or session.snapshot_id != self._tip:
            self._early = self._branch.session()
            if self._early.snapshot_id != session.snapshot_id:
                self._early = None
                return session
        return _fork(self._early) or session

    def merge(self, session: Any, setting: Any) -> None:
        """Put what was set into the session to be committed."""
        if setting is not session:
            session.merge(setting)

    def committed(self, snapshot: str | None) -> None:
        """Take note of the branch's new tip; None when commits of others lie before it."""
        self._tip = snapshot


def _fork(session: Any) -> Any | None:
    """Return a fork, or None where there can be none: of a repository in memory, say.

    Forking is pickling, so credentials of a caller's own making may be in the way, too.
    """
    try:
        fork = session.fork()
        return None if adapter.get(fork.store, "zarr.json") is None else fork
    except Exception:
        return None
