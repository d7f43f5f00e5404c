"""The tally of an array: what its walks have met so far, in 8 bytes a chunk.

Sizes are scattered by chunk number into one vector that holds the partitions one after another,
each in the order of its record files' rows. Strays are kept by partition. Nothing here does I/O.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.parsing import parse_paths, tails_of
from parchunk.keys.row_sets import Places, RowSet
from parchunk.keys.text_order import ranks_of
from parchunk.listing.identity_vector import IdentityVector, kind_of, values_of
from parchunk.listing.listed_rows import Listed
from parchunk.listing.size_vector import SizeVector
from parchunk.listing.strays import Strays, find_strays, owners_of
from parchunk.metadata.spec import ArraySpec
from parchunk.stores.identity import HELD_BYTES

#: Bytes from which on a vector is mapped memory.
_MAPPED = 1 << 16
#: Ranks looked at together when gaps are searched: a fraction of a page.
_BUCKET = 256
#: Positions looked at together when gaps are searched: bounds the temporaries.
_BLOCK = 1 << 18
#: When a row set was modified of which nothing was listed.
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Part:
    """All that is known of one row set, whose chunks have all been listed or looked for again.

    ``vector`` has sizes in row order (a view), ``modified`` is the newest modification in
    microseconds (None when no chunk was seen), ``found_again`` counts the chunks that only a
    further listing showed.
    """

    rows: RowSet
    vector: SizeVector
    modified: int | None
    strays: Strays
    found_again: int
    #: What tells the versions of objects apart, in row order (a view), where that is kept.
    identities: IdentityVector | None = None


@dataclass
class Sightings:
    """What one walk met, beside sizes; counted in only when the walk has passed whole.

    ``wanted`` rows are chunks of the row sets, ``found`` those of them that were new, ``foreign``
    rows other chunks of the array. ``strays`` are by the row set that owns them.
    """

    wanted: int = 0
    foreign: int = 0
    found: int = 0
    strays: dict[int, Strays] = field(default_factory=dict)

    def add(self, more: Sightings) -> None:
        """Add what another listing met of the same walk."""
        self.wanted += more.wanted
        self.foreign += more.foreign
        self.found += more.found
        for owner, strays in more.strays.items():
            self.strays.setdefault(owner, Strays()).merge(strays)


def _reserve(size: int) -> mmap.mmap | None:
    """Return zeroed memory that takes room only where it is touched, and can be given back.

    None for a little, which is not worth it: a process may map only so many.
    """
    if size < _MAPPED:
        return None
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, size)
    # Address space is not memory: a billion chunks may be reserved where eight million are held.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    return mmap.mmap(-1, size, flags=flags)


def _give_back(memory: mmap.mmap | None, start: int, stop: int) -> None:
    """Give memory back from one byte to another, as far as that is possible."""
    page = mmap.PAGESIZE
    # Only whole pages: the ones at the ends are shared with neighbours.
    start, stop = -(-start // page) * page, stop // page * page
    if stop > start and memory is not None and hasattr(memory, "madvise"):
        memory.madvise(mmap.MADV_DONTNEED, start, stop - start)


class Tally:
    """Sizes, newest modification and strays of an array's row sets."""

    def __init__(
        self,
        spec: ArraySpec,
        base: str,
        row_sets: Sequence[RowSet],
        identity: str = "none",
        lasting: bool = False,
    ) -> None:
        """Allocate; ``base`` is the array's path in the store, with its trailing slash.

        ``identity`` is what is noted of each object beside its size. ``lasting``: parts are read
        after their row set is released, too, so that its memory is not given back.
        """
        self.spec = spec
        self.base = base
        self.row_sets = tuple(row_sets)
        self.bounds = np.array([0, *accumulate(rows.total for rows in row_sets)], np.int64)
        self._memory = None if lasting else _reserve(int(self.bounds[-1]) * 8)
        self._vector = SizeVector(
            np.zeros(int(self.bounds[-1]), np.uint64)
            if self._memory is None
            else np.frombuffer(self._memory, np.uint64, int(self.bounds[-1]))
        )
        self.identity, kind = identity, kind_of(identity)
        self._versions: mmap.mmap | None = None
        self._identities: IdentityVector | None = None
        if kind is not None:
            total = int(self.bounds[-1])
            self._versions = None if lasting else _reserve(total * kind.itemsize)
            self._identities = IdentityVector(
                np.zeros(total, kind)
                if self._versions is None
                else np.frombuffer(self._versions, kind, total)
            )
        self._released = np.zeros(len(self.row_sets), bool)
        self.modified = np.full(len(self.row_sets), _NEVER)
        self.strays = [Strays() for _ in row_sets]
        self._again: dict[int, Strays] = {}
        self.wanted = 0
        self.foreign = 0
        self.found = 0
        self._places = Places(row_sets)
        self._lock = threading.Lock()

    def vector(self, position: int) -> SizeVector:
        """Return the sizes of one row set, as a view, in row order."""
        return self._vector[self.bounds[position] : self.bounds[position + 1]]

    def part(self, position: int, found_again: int = 0) -> Part:
        """Return what is known of one row set, once every walk that concerns it has passed."""
        newest = int(self.modified[position])
        with self._lock:
            again = self._again.pop(position, None)
            if again is not None:
                self.strays[position].merge_again(again)
        return Part(
            self.row_sets[position],
            self.vector(position),
            None if newest == _NEVER else newest,
            self.strays[position],
            found_again,
            None
            if self._identities is None
            else self._identities[self.bounds[position] : self.bounds[position + 1]],
        )

    def release(self, position: int) -> None:
        """Give the memory of a row set back, unless its parts last; ignore what comes for it."""
        self._released[position] = True
        self.strays[position] = Strays()
        first, last = int(self.bounds[position]), int(self.bounds[position + 1])
        _give_back(self._memory, first * 8, last * 8)
        width = HELD_BYTES[self.identity]
        _give_back(self._versions, first * width, last * width)

    def take(self, listed: Listed, sightings: Sightings) -> None:
        """Scatter one batch of listed objects; its other findings go to ``sightings``."""
        parsed = parse_paths(listed.paths, self.base, self.spec.space)
        sizes, modified = listed.sizes, listed.modified
        versions = None if self._identities is None else values_of(listed, self.identity)
        if parsed.chunks is not None:
            sizes, modified = sizes[parsed.chunks], modified[parsed.chunks]
            versions = None if versions is None else versions[parsed.chunks]
        if len(parsed.others):
            self._take_strays(listed, parsed.others, sightings)
        positions, owners, mine = self._locate(parsed.numbers)
        if np.count_nonzero(self._released):
            held = ~self._released[owners if owners is not None else 0]
            mine = held & (True if mine is None else mine)
            mine = np.broadcast_to(mine, positions.shape)
        if mine is not None:
            sightings.foreign += int(len(mine) - mine.sum())
            positions, sizes, modified = positions[mine], sizes[mine], modified[mine]
            versions = None if versions is None else versions[mine]
            owners = owners[mine] if owners is not None else None
        if not len(positions):
            return
        sightings.wanted += len(positions)
        sightings.found += self._vector.note(positions, sizes)
        if self._identities is not None and versions is not None:
            counted = self._vector.counted(positions, sizes)
            self._identities.note(positions, versions, counted)
        if owners is None:
            newest = int(modified.max())
            if newest > self.modified[0]:
                with self._lock:
                    self.modified[0] = max(self.modified[0], newest)
        elif (newer := modified > self.modified[owners]).any():
            with self._lock:
                np.maximum.at(self.modified, owners[newer], modified[newer])

    def merge(self, sightings: Sightings) -> None:
        """Add what a walk met, now that it has passed."""
        with self._lock:
            self.wanted += sightings.wanted
            self.foreign += sightings.foreign
            self.found += sightings.found
            for owner, strays in sightings.strays.items():
                self.strays[owner].merge(strays)

    def merge_again(self, sightings: Sightings) -> None:
        """Note the strays that a second listing met: `part` adds those that no other showed.

        They may be of a row set whose own walks have yet to pass: its gaps are closed by then,
        so that no later listing would meet them.
        """
        with self._lock:
            for owner, strays in sightings.strays.items():
                if not self._released[owner]:
                    self._again.setdefault(owner, Strays()).merge_again(strays)

    def gaps(self, positions: Sequence[int]) -> Int64Array:
        """Return rank intervals, shape (n, 2), that hold every absent chunk of the row sets.

        They are widened to multiples of a fraction of a page, which bounds their number.
        """
        marked: Int64Array = np.empty(0, np.int64)
        for position in positions:
            vector, rows = self.vector(position), self.row_sets[position]
            for begin in range(0, len(vector), _BLOCK):
                block = vector[begin : begin + _BLOCK]
                absent = np.flatnonzero(block.absent)
                if len(absent):
                    numbers = rows.numbers(begin, begin + len(block))[absent]
                    ranks = ranks_of(self.spec.grid, numbers)
                    marked = np.union1d(marked, ranks // _BUCKET)
        if not len(marked):
            return np.empty((0, 2), np.int64)
        # Neighbours up to a page apart cost no more together than a request of their own.
        breaks = np.flatnonzero(np.diff(marked) > 4)
        starts = marked[np.concatenate(([0], breaks + 1))] * _BUCKET
        stops = (marked[np.concatenate((breaks, [len(marked) - 1]))] + 1) * _BUCKET
        return np.stack([starts, np.minimum(stops, self.spec.total)], axis=1)

    def amid_gaps(self, position: int, most: int = 4, least: int = 1) -> list[int]:
        """Return a chunk number amid each of the longest runs of absent chunks of a row set.

        Those of ``most`` runs, all of ``least`` chunks or more.
        """
        absent = self.vector(position).absent
        edges = np.flatnonzero(np.diff(absent, prepend=False, append=False))
        starts, stops = edges[0::2], edges[1::2]
        longest = np.argsort(starts - stops, kind="stable")[:most]
        longest = longest[(stops - starts)[longest] >= least]
        rows, middles = self.row_sets[position], (starts + stops) // 2
        return [int(rows.numbers(at, at + 1)[0]) for at in middles[longest].tolist()]

    def absent(self, position: int) -> int:
        """Return how many chunks of a row set no listing has shown."""
        vector = self.vector(position)
        return len(vector) - vector.listed_count

    def _locate(
        self, numbers: Int64Array
    ) -> tuple[Int64Array, Int64Array | None, NDArray[np.bool_] | None]:
        """Return positions in the vector, owning row sets, and which numbers are wanted.

        Owners are None when there is one row set, the mask when every number is wanted; values
        at unwanted numbers mean nothing.
        """
        owners, offsets, mine = self._places.of(numbers)
        if owners is None:
            return offsets, None, mine
        return self.bounds[owners] + offsets, owners, mine

    def _take_strays(self, listed: Listed, rows: Int64Array, sightings: Sightings) -> None:
        tails = tails_of(listed.paths.take(pa.array(rows)), self.base)
        sizes = np.minimum(listed.sizes[rows], np.iinfo(np.int64).max).astype(np.int64)
        found = find_strays(self.spec, tails, sizes)
        if not found.num_rows:
            return
        owners = self._stray_owners(found["path"].combine_chunks())
        for owner in np.unique(owners).tolist():
            if owner >= 0:
                mine = found.filter(pa.array(owners == owner))
                sightings.strays.setdefault(owner, Strays()).add(mine)

    def _stray_owners(self, tails: pa.StringArray) -> Int64Array:
        """Return the row set that each stray belongs to: that of the next chunk in text order.

        So every stray has one owner, however the array is cut into jobs and walks. It is -1 for
        those of other jobs.
        """
        total = self.spec.total
        if not total or (len(self.row_sets) == 1 and self.bounds[-1] == total):
            return np.zeros(len(tails), np.int64)
        return owners_of(self.spec.space, self._places, tails)
