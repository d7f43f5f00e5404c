"""Rows of a listing: what a page holds, in the columns that are needed, and in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from parchunk.stores.identity import Tags


class Unordered(Exception):
    """The store broke the order or the offset that early stops rely on; ``args[0]`` says how."""


class Endless(Exception):
    """The store delivers the same keys again and again."""


@dataclass(frozen=True)
class Listed:
    """A run of listed objects, in the order listed, as columns of one length.

    ``paths`` are as the store has them, ``sizes`` in bytes, ``modified`` in microseconds since the
    epoch; ``tags`` are entity tags, where the source is to say them. Of rows that are ``untimed``
    it is only known that they are no younger; None: of all it is known when they were modified.
    """

    paths: pa.StringArray
    sizes: NDArray[np.uint64]
    modified: NDArray[np.int64]
    tags: Tags | None = None
    untimed: NDArray[np.bool_] | None = None

    def slice(self, begin: int, end: int | None = None) -> Listed:
        """Return the rows from one place to another, or to the end."""
        rows = slice(begin, end)
        tags = None if self.tags is None else self.tags[rows]
        length = None if end is None else end - begin
        paths = self.paths.slice(begin, length)
        untimed = None if self.untimed is None else self.untimed[rows]
        return Listed(paths, self.sizes[rows], self.modified[rows], tags, untimed)

    def filter(self, keep: NDArray[np.bool_]) -> Listed:
        """Return the rows that are to be kept."""
        tags = None if self.tags is None else self.tags[keep]
        paths = self.paths.filter(pa.array(keep))
        untimed = None if self.untimed is None else self.untimed[keep]
        return Listed(paths, self.sizes[keep], self.modified[keep], tags, untimed)

    @property
    def without_time(self) -> NDArray[np.bool_]:
        """Which rows are untimed, shape (n,)."""
        return np.zeros(len(self.paths), bool) if self.untimed is None else self.untimed


def join(pages: list[Listed]) -> Listed:
    """Return the rows of pages, one or more, in one piece."""
    if len(pages) == 1:
        return pages[0]
    timed = all(page.untimed is None for page in pages)
    return Listed(
        pa.concat_arrays([page.paths for page in pages]),
        np.concatenate([page.sizes for page in pages]),
        np.concatenate([page.modified for page in pages]),
        np.concatenate(tags) if (tags := [p.tags for p in pages if p.tags is not None]) else None,
        None if timed else np.concatenate([page.without_time for page in pages]),
    )


def in_order(listed: Listed, previous: str | None) -> Listed:
    """Check that keys rise strictly and lie after ``previous``.

    obstore strips the slash of directory markers: ``t/0/`` comes as ``t/0``, which may sort before
    the one that it follows (``t/0.tmp``) or equal the chunk ``t/0``, and never after the next one.
    So objects of no bytes that break the order are set aside as what they must be, markers;
    anything else is a broken promise.
    """
    while len(listed.paths):
        paths = listed.paths
        left = pa.concat_arrays([pa.array([previous or ""]), paths.slice(0, len(paths) - 1)])
        falls = np.flatnonzero(~_flags(pc.greater(paths, left)))
        if not len(falls):
            break
        keep = np.ones(len(paths), bool)
        for at in falls.tolist():
            if listed.sizes[at] == 0:
                keep[at] = False
            else:
                raise Unordered(f"key {paths[at].as_py()} came after {left[at].as_py()}")
        listed = listed.filter(keep)
    return listed


def _flags(booleans: pa.BooleanArray) -> NDArray[np.bool_]:
    return np.asarray(booleans).astype(bool)


def up_to(listed: Listed, last: str) -> Listed:
    """Leave out what sorts after ``last``; rows are in order."""
    kept = pc.sum(pc.less_equal(listed.paths, pa.scalar(last))).as_py() or 0
    return listed.slice(0, kept)


def after(listed: Listed, key: str) -> Listed:
    """Leave out what does not sort after ``key``; rows are in order."""
    left = pc.sum(pc.less_equal(listed.paths, pa.scalar(key))).as_py() or 0
    return listed.slice(left)


class Repeats:
    """Looks for pages that come again: without order, nothing else tells that none is new."""

    #: Batches that may have come before: a store that is being written may page in odd ways.
    MOST = 10

    def __init__(self) -> None:
        self._met: set[int] = set()
        self._again = 0

    def check(self, paths: pa.Array) -> None:
        """Look at the next batch's paths. 8 bytes a batch are kept.

        Raises
        ------
        Endless
            When one key comes more than twice in it (a marker may share a chunk's), or `MOST`
            batches have come before.
        """
        keys = pa.array(paths).to_pylist()
        digest = hash(tuple(keys))
        self._again += digest in self._met
        self._met.add(digest)
        if self._again > self.MOST or 2 * len(set(keys)) < len(keys):
            raise Endless("it repeats itself without an end (tell whoever runs the store)")
