"""Listings of the audit, watched: each key is compared while it passes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from parchunk.keys.numbers import Int64Array
from parchunk.keys.parsing import parse_paths
from parchunk.keys.row_sets import RowSet
from parchunk.listing.listed_rows import Listed
from parchunk.listing.one_array import ArrayListing
from parchunk.listing.tally import Sightings, Tally
from parchunk.metadata.spec import ArraySpec


@dataclass(frozen=True)
class Times:
    """Chunk numbers of one row set, rising, by when they were modified: ``later`` than a moment.

    Those that are ``untimed`` may have been, as nothing says their times; all others were not.
    """

    later: Int64Array
    untimed: Int64Array


class _WatchedTally(Tally):
    """A tally that also keeps which chunks were modified after a moment, by row set.

    Those of which it is not known, as they have no time of their own, are kept apart.
    """

    def __init__(
        self,
        spec: ArraySpec,
        base: str,
        row_sets: Sequence[RowSet],
        since: Sequence[int],
        identity: str,
    ) -> None:
        """Watch each row set for modifications after its moment in ``since``."""
        super().__init__(spec, base, row_sets, identity)
        self._since = np.array(since, np.int64)
        self._earliest = int(self._since.min())
        self._later: dict[int, list[Int64Array]] = {}
        self._untimed: dict[int, list[Int64Array]] = {}
        self._watch = threading.Lock()
        self._owners = {rows: owner for owner, rows in enumerate(self.row_sets)}

    def take(self, listed: Listed, sightings: Sightings) -> None:
        """Tally a batch, and note what was modified later."""
        super().take(listed, sightings)
        rows = np.flatnonzero(listed.modified > self._earliest)
        if not len(rows):
            return
        parsed = parse_paths(listed.paths.take(pa.array(rows)), self.base, self.spec.space)
        modified, numbers = listed.modified[rows], parsed.numbers
        untimed = listed.without_time[rows]
        if parsed.chunks is not None:
            modified, untimed = modified[parsed.chunks], untimed[parsed.chunks]
        _, owners, mine = self._locate(numbers)
        if owners is None:
            owners = np.zeros(len(numbers), np.int64)
        newer = modified > self._since[owners]
        if mine is not None:
            newer &= mine
        with self._watch:
            for kept, which in ((self._later, newer & ~untimed), (self._untimed, newer & untimed)):
                for owner in np.unique(owners[which]).tolist():
                    kept.setdefault(owner, []).append(numbers[which & (owners == owner)])

    def times(self, rows: RowSet) -> Times:
        """Return which chunks of one row set were modified later, and forget them."""
        # By row set and not by position: a listing begun again has only those not yet done.
        owner, none = self._owners[rows], np.empty(0, np.int64)
        with self._watch:
            later, untimed = self._later.pop(owner, []), self._untimed.pop(owner, [])
        found = np.unique(np.concatenate([none, *later]))
        return Times(found, np.setdiff1d(np.concatenate([none, *untimed]), found))


class WatchedListing(ArrayListing):
    """An array's listing with watched tallies; ``since`` is the moment by row set."""

    since: Mapping[RowSet, int] = MappingProxyType({})
    tally: _WatchedTally | None = None

    def times(self, rows: RowSet) -> Times:
        """Return which chunks of one row set were modified since."""
        assert self.tally is not None
        return self.tally.times(rows)

    def tally_of(self, row_sets: Sequence[RowSet]) -> Tally:
        """Return a watched tally, which is kept."""
        base = self.listing.source.path(self.spec.name) + "/"
        since = [self.since[rows] for rows in row_sets]
        identity = self.listing.source.identity
        self.tally = _WatchedTally(self.spec, base, row_sets, since, identity)
        return self.tally
