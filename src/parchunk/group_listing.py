"""Listing a group: its walks side by side, then its gaps again, until nothing is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from parchunk import cover
from parchunk.cover import Walk
from parchunk.errors import ListingError
from parchunk.groups import walks_over
from parchunk.listing import Listing, Unordered
from parchunk.metadata.spec import ArraySpec
from parchunk.rows import RowSet
from parchunk.stores import is_ordered
from parchunk.tally import Part, Sightings, Tally

#: Times that gaps are listed again while each listing still shows more.
_ROUNDS = 5


@dataclass
class GroupListing:
    """How the row sets of one array are listed.

    ``trust`` skips the second listing of gaps. ``notes`` collects what a user should know.
    """

    spec: ArraySpec
    listing: Listing
    pool: ThreadPoolExecutor
    concurrency: int
    trust: bool
    notes: list[str] = field(default_factory=list)
    ordered: bool = True

    def parts(self, row_sets: Sequence[RowSet]) -> Iterator[tuple[int, Part]]:
        """Yield (position, part) for each row set as soon as everything about it is known.

        Raises
        ------
        ListingError
            When the store cannot be listed, or not to any reliable end.
        """
        rest = dict(enumerate(row_sets))
        if not sum(rows.cells for rows in row_sets):
            tally = self._tally(row_sets)
            yield from ((position, tally.part(position)) for position in rest)
            return
        if self.ordered:
            try:
                for position, part in self._walked(row_sets):
                    del rest[position]
                    yield position, part
                return
            except Unordered as broken:
                # Early stops and offsets prove nothing here; only whole listings do.
                self.ordered = False
                self.notes.append(
                    f"{self.spec.name}: the store does not list in order ({broken}); "
                    "the array was listed whole instead"
                )
        yield from zip(rest, self._drained(list(rest.values())), strict=True)

    def _walked(self, row_sets: Sequence[RowSet]) -> Iterator[tuple[int, Part]]:
        """As `parts`, on a store that lists in order."""
        tally = self._tally(row_sets)
        walks = walks_over(self.spec, row_sets, self.concurrency, self.listing.page)
        waiting = _Waiting(self.spec, row_sets, walks, self.listing.page)
        for passed, sightings in self._side_by_side(
            [partial(self._follow, tally, walk) for walk in walks]
        ):
            tally.merge(sightings)
            ready = waiting.without(passed)
            again = self._verify(tally, ready) if ready else {}
            for position in ready:
                yield position, tally.part(position, again.get(position, 0))

    def _follow(self, tally: Tally, walk: Walk) -> Sightings:
        sightings = Sightings()
        for listed in self.listing.follow(walk):
            tally.take(listed, sightings)
        # Its chunks need not be new: a second listing of a neighbour's gap may have met them.
        return sightings

    def _verify(self, tally: Tally, positions: Sequence[int]) -> dict[int, int]:
        """List gaps a second time, until a listing of them shows nothing that was not known.

        Return how many chunks that brought, by position.
        """
        if self.trust:
            return {}
        before = {position: tally.absent(position) for position in positions}
        for _ in range(_ROUNDS):
            gaps = tally.gaps(positions)
            walks = cover.walks(self.spec.grid, self.spec.keys, gaps)
            tasks = [partial(self._look_again, tally, walk) for walk in walks]
            known = sum(tally.absent(position) for position in positions)
            for _ in self._side_by_side(tasks):
                pass
            # Chunks of row sets that still wait for their own walks are no findings.
            if sum(tally.absent(position) for position in positions) == known:
                break
        else:
            raise ListingError(
                f"{self.spec.name}: {_ROUNDS} listings of the same gaps each showed more chunks; "
                "the store is being written, or cannot be relied on: run again when it is quiet"
            )
        again = {position: before[position] - tally.absent(position) for position in positions}
        self._note(sum(again.values()))
        return again

    def _look_again(self, tally: Tally, walk: Walk) -> Sightings:
        sightings = Sightings()
        for listed in self.listing.follow(walk):
            tally.take(listed, sightings)
        return sightings

    def _drained(self, row_sets: Sequence[RowSet]) -> list[Part]:
        """List directories to their ends, and again where chunks are missing."""
        boxes = [box for rows in row_sets for box in rows.boxes(self.spec.grid)]
        directories = cover.directories(self.spec.grid, self.spec.keys, boxes, limit=1_000)
        tally = self._tally(row_sets)
        tasks = [partial(self._drain, tally, directory) for directory in directories]
        for _, sightings in self._side_by_side(tasks):
            tally.merge(sightings)
        before = [tally.absent(position) for position in range(len(row_sets))]
        if sum(before) and not self.trust:
            for _ in self._side_by_side(tasks):
                pass
        again = [count - tally.absent(position) for position, count in enumerate(before)]
        self._note(sum(again))
        return [tally.part(position, count) for position, count in enumerate(again)]

    def _drain(self, tally: Tally, directory: str) -> Sightings:
        sightings = Sightings()
        most = 2 * self.spec.total + 1_000_000
        for listed in self.listing.drain(directory):
            if listed is None:
                sightings = Sightings()
                continue
            tally.take(listed, sightings)
            if sightings.wanted + sightings.foreign > most:
                raise ListingError(
                    f"listing of {self.listing.source.describe(self.spec.name)} repeats itself "
                    "without an end: it cannot be relied on; tell whoever runs the store"
                )
        return sightings

    def _side_by_side(
        self, tasks: Sequence[Callable[[], Sightings]]
    ) -> Iterator[tuple[int, Sightings]]:
        """Run tasks in the shared pool; yield each one's position and result as it ends."""
        futures: dict[Future[Sightings], int] = {}
        try:
            for position, task in enumerate(tasks):
                futures[self.pool.submit(task)] = position
            pending = set(futures)
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()
            wait(futures)

    def _note(self, found_again: int) -> None:
        if found_again:
            self.notes.append(
                f"{self.spec.name}: a second listing of the gaps showed {found_again} chunks that "
                "the first had left out; they are referenced"
            )

    def _tally(self, row_sets: Sequence[RowSet]) -> Tally:
        base = self.listing.source.path(self.spec.name) + "/"
        return Tally(self.spec, base, row_sets)


class _Waiting:
    """Which walks each row set still waits for."""

    def __init__(
        self, spec: ArraySpec, row_sets: Sequence[RowSet], walks: Sequence[Walk], page: int
    ) -> None:
        starts = np.array([walk.start for walk in walks], np.int64)
        stops = np.array([walk.stop for walk in walks], np.int64)
        self._walks: dict[int, set[int]] = {}
        for position, rows in enumerate(row_sets):
            intervals = cover.rank_intervals(spec.grid, rows.boxes(spec.grid), max_gap=page)
            needed: set[int] = set()
            # Walks are disjoint and rise, so those an interval meets stand side by side.
            firsts = np.searchsorted(stops, intervals[:, 0], side="right")
            ends = np.searchsorted(starts, intervals[:, 1], side="left")
            for first, end in zip(firsts.tolist(), ends.tolist(), strict=True):
                needed.update(range(first, end))
            self._walks[position] = needed

    def without(self, passed: int) -> list[int]:
        """Note that a walk has passed; return the row sets that wait for nothing any more."""
        ready = []
        for position, needed in list(self._walks.items()):
            needed.discard(passed)
            if not needed:
                ready.append(position)
                del self._walks[position]
        return ready


def make_group_listing(
    spec: ArraySpec,
    listing: Listing,
    pool: ThreadPoolExecutor,
    concurrency: int,
    trust: bool,
) -> GroupListing:
    """Return the listing of a group, in the way that the source's kind of store allows."""
    return GroupListing(
        spec, listing, pool, concurrency, trust, ordered=is_ordered(listing.source.store)
    )
