"""Listings of the audit, watched: each key is compared while it passes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
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


class _WatchedTally(Tally):
    """A tally that also keeps which chunks were modified after a moment, by row set."""

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
        if parsed.chunks is not None:
            modified = modified[parsed.chunks]
        _, owners, mine = self._locate(numbers)
        if owners is None:
            owners = np.zeros(len(numbers), np.int64)
        newer = modified > self._since[owners]
        if mine is not None:
            newer &= mine
        numbers, owners = numbers[newer], owners[newer]
        with self._watch:
            for owner in np.unique(owners).tolist():
                self._later.setdefault(owner, []).append(numbers[owners == owner])

    def later(self, rows: RowSet) -> Int64Array:
        """Return the chunk numbers of one row set that were modified later, and forget them."""
        with self._watch:
            # By row set and not by position: a listing begun again has only those not yet done.
            found = self._later.pop(self._owners[rows], [])
        return np.unique(np.concatenate([np.empty(0, np.int64), *found]))


class WatchedListing(ArrayListing):
    """An array's listing with watched tallies; ``since`` is the moment by row set."""

    since: Mapping[RowSet, int] = MappingProxyType({})
    tally: _WatchedTally | None = None

    def later(self, rows: RowSet) -> Int64Array:
        """Return chunk numbers of one row set that were modified since, rising."""
        assert self.tally is not None
        return self.tally.later(rows)

    def tally_of(self, row_sets: Sequence[RowSet]) -> Tally:
        """Return a watched tally, which is kept."""
        base = self.listing.source.path(self.spec.name) + "/"
        since = [self.since[rows] for rows in row_sets]
        identity = self.listing.source.identity
        self.tally = _WatchedTally(self.spec, base, row_sets, since, identity)
        return self.tally
