"""Which session references are set in: with icechunk 1.x, and by workers, a fork of it.

For every reference, 1.x reads the array's node anew, with the list of all its manifests. So the
more regions are in, the longer one reference takes: 2.5 times as long after 49 regions. A fork of
a session that was opened when there were few manifests is as fast for the last region as for the
first, and can be merged into a session on the branch's tip. So can one that a worker has set, in a
process of its own, while regions before are committed.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.branches import Branch
from parchunk.icechunk_import.calls import Calls


@dataclass(frozen=True)
class Forked:
    """A session's fork, pickled: of which snapshot, and what is set in it.

    ``present`` tells for each partition which of its chunks are there, as bits, if it was asked.
    """

    base: str
    data: bytes
    present: tuple[NDArray[np.uint8] | None, ...] = ()


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
        self._reached: bool | None = None
        self._session: Any = None
        self._fork: Any = None
        self._held = 0

    def begin(self, session: Any, of_region: bool) -> None:
        """Take the session to be committed; the hierarchy's new arrays are in it alone."""
        self._session = session
        self._fork = None
        if not of_region:
            return
        if self._early is None or session.snapshot_id != self._tip:
            early = self._branch.session()
            self._early = early if early.snapshot_id == session.snapshot_id else None
        if not adapter.takes_arrays():
            self._fork = _fork(self._early)
            self._held = 0

    def ahead(self) -> Forked | None:
        """Return a fork for a worker, of before the regions; None where there can be none."""
        if self._early is None:
            self._early = self._branch.session()
            self._tip = self._early.snapshot_id
        fork = _fork(self._early)
        if fork is None:
            return None
        data = pickle.dumps(fork)
        if self._reached is None:  # 2.x pickles what is in memory, and leaves it behind
            self._reached = _holds_root(pickle.loads(data))
        return Forked(self._early.snapshot_id, data) if self._reached else None

    def take(self, forked: Forked) -> bool:
        """Merge what a worker has set; False where the branch is another one since it began."""
        if self._early is None or self._early.snapshot_id != forked.base:
            return False
        self._session.merge(pickle.loads(forked.data))
        return True

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
    except Exception:
        return None
    return fork if _holds_root(fork) else None


def _holds_root(fork: Any) -> bool:
    """Whether a fork reaches its repository."""
    try:
        return adapter.get(fork.store, "zarr.json") is not None
    except Exception:
        return False
