"""Listings of the audit, watched: each key is compared while it passes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from parchunk.auditing.receipt_check import Audited
from parchunk.cover.jobs import Member
from parchunk.keys.numbers import Int64Array
from parchunk.keys.parsing import parse_paths
from parchunk.keys.row_sets import RowSet
from parchunk.listing.listed_rows import Listed
from parchunk.listing.one_array import ArrayListing
from parchunk.listing.tally import Part, Sightings, Tally
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import PartitionKey


@dataclass(frozen=True)
class Times:
    """Chunk numbers of one row set, rising, by when they were modified: ``later`` than a moment.

    Those that are ``untimed`` may have been, as nothing says their times; all others were not.
    """

    later: Int64Array
    untimed: Int64Array


_NONE: Int64Array = np.empty(0, np.int64)
#: What is said where all is as it was.
_AS_THEN = Times(_NONE, _NONE)


@dataclass(frozen=True)
class WatchedPart(Part):
    """A part, and which of its chunks were modified since the build saw its partition."""

    times: Times = field(kw_only=True)


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
        lasting: bool,
    ) -> None:
        """Watch each row set for modifications after its moment in ``since``."""
        super().__init__(spec, base, row_sets, identity, lasting)
        self._since = np.array(since, np.int64)
        self._earliest = int(self._since.min())
        self._later: dict[int, list[Int64Array]] = {}
        self._untimed: dict[int, list[Int64Array]] = {}
        self._watch = threading.Lock()

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

    def part(self, position: int, found_again: int = 0) -> WatchedPart:
        """Return what is known of one row set, once every walk that concerns it has passed."""
        known = super().part(position, found_again)
        return WatchedPart(
            known.rows,
            known.vector,
            known.modified,
            known.strays,
            known.found_again,
            known.identities,
            times=self._times(position),
        )

    def _times(self, position: int) -> Times:
        """Return which chunks of one row set were modified later, and forget them."""
        with self._watch:
            later, untimed = self._later.pop(position, []), self._untimed.pop(position, [])
        if not later and not untimed:
            return _AS_THEN
        found = np.unique(np.concatenate([_NONE, *later]))
        return Times(found, np.setdiff1d(np.concatenate([_NONE, *untimed]), found))


@dataclass(slots=True, kw_only=True)
class WatchedListing(ArrayListing):
    """An array's listing with watched tallies, whose parts are watched.

    ``member`` is what it lists, and ``items`` are the partitions of all, done as they are.
    """

    member: Member
    items: Mapping[PartitionKey, Audited]
    _moments: dict[RowSet, int] | None = None

    def tally_of(self, row_sets: Sequence[RowSet]) -> Tally:
        """Return a watched tally."""
        base = self.listing.source.path(self.spec.name) + "/"
        moments = self._moments or self._moments_of()
        if len(self.member.passes) > 1:
            self._moments = moments
        # By row set and not by position: a listing begun again has only those not yet done.
        since = [moments[rows] for rows in row_sets]
        identity = self.listing.source.identity
        return _WatchedTally(self.spec, base, row_sets, since, identity, self.lasting)

    def _moments_of(self) -> dict[RowSet, int]:
        """Return the newest modification that the build saw, by row set."""
        keys = [partition.key for partition in self.member.partitions]
        return {
            unit.rows: _newest(self.items[keys[unit.partition]])
            for walked in self.member.passes
            for unit in walked.units
        }


def _newest(item: Audited) -> int:
    """Return the newest modification that the build saw in a partition, in microseconds."""
    if item.receipt is None or item.receipt.last_modified is None:
        return int(np.iinfo(np.int64).max)
    return item.receipt.last_modified
