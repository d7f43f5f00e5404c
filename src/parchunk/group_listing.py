"""Listing a group: its walks side by side, then its gaps again, until nothing is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue

import numpy as np

from parchunk import cover
from parchunk.cover import Walk
from parchunk.errors import ListingError
from parchunk.groups import walks_over
from parchunk.listing import Listing, Unordered
from parchunk.metadata.spec import ArraySpec
from parchunk.rows import RowSet
from parchunk.stores import is_ordered, walk_pieces
from parchunk.tally import Part, Sightings, Tally
from parchunk.text_order import position_of

#: Times that gaps are listed again while each listing still shows more.
_ROUNDS = 5
_NO_GAPS: cover.Ints = np.empty((0, 2), np.int64)


@dataclass
class GroupListing:
    """How the row sets of one array are listed.

    ``trust`` skips the second listing of gaps. ``notes`` collects what a user should know.
    """

    spec: ArraySpec
    listing: Listing
    pool: ThreadPoolExecutor
    pieces: int
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
        walks = walks_over(self.spec, row_sets, self.pieces, self.listing.page)
        waiting = _Waiting(self.spec, row_sets, walks, self.listing.page)
        passed: SimpleQueue[tuple[int, int | Exception]] = SimpleQueue()
        futures = [
            self.pool.submit(self._follow, tally, walk, waiting.ends(at), partial(_put, passed, at))
            for at, walk in enumerate(walks)
        ]
        again = 0
        try:
            for ready in waiting.until_nothing(passed):
                found = self._verify(tally, ready)
                again += sum(found.values())
                for position in ready:
                    yield position, tally.part(position, found.get(position, 0))
        finally:
            for future in futures:
                future.cancel()
            wait(futures)
        referenced = int(np.count_nonzero(tally.sizes)) - again
        if tally.wanted != referenced:
            raise ListingError(
                f"{self.spec.name}: {tally.wanted} chunks were listed and {referenced} recorded; "
                "this cannot be: please report it"
            )

    def _follow(
        self, tally: Tally, walk: Walk, ends: Sequence[int], put: Callable[[int | Exception], None]
    ) -> None:
        """Follow a walk; put each of the ranks ``ends`` when it has passed, or what went wrong."""
        base = len(tally.base)
        left = list(reversed(ends))
        try:
            for listed in self.listing.follow(walk):
                sightings = Sightings()
                tally.take(listed, sightings)
                tally.merge(sightings)
                if left:
                    tail = listed.paths[-1].as_py()[base:]
                    reached = position_of(self.spec.grid, self.spec.keys, tail)
                    while left and left[-1] <= reached:
                        put(left.pop())
            while left:
                put(left.pop())
        except Exception as error:  # handed to the thread that waits for it
            put(error)

    def _verify(self, tally: Tally, positions: Sequence[int]) -> dict[int, int]:
        """List gaps a second time, until a listing of them shows nothing that was not known.

        Return how many chunks that brought, by position.
        """
        if self.trust:
            return {}
        first = {position: tally.absent(position) for position in positions}
        absent = sum(first.values())
        for _ in range(_ROUNDS):
            gaps = tally.gaps(positions) if absent else _NO_GAPS
            walks = cover.walks(self.spec.grid, self.spec.keys, gaps)
            for _ in self._side_by_side([partial(self._look_again, tally, walk) for walk in walks]):
                pass
            left = {position: tally.absent(position) for position in positions}
            if sum(left.values()) == absent:
                break
            absent = sum(left.values())
        else:
            raise ListingError(
                f"{self.spec.name}: {_ROUNDS} listings of the same gaps each showed more chunks; "
                "the store is being written, or cannot be relied on: run again when it is quiet"
            )
        again = {position: first[position] - left[position] for position in positions}
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
    """Which walks each row set still waits for, and up to which rank."""

    def __init__(
        self, spec: ArraySpec, row_sets: Sequence[RowSet], walks: Sequence[Walk], page: int
    ) -> None:
        starts = np.array([walk.start for walk in walks], np.int64)
        stops = np.array([walk.stop for walk in walks], np.int64)
        #: By row set: walk -> the rank that it must pass.
        self._needs: list[dict[int, int]] = []
        for rows in row_sets:
            intervals = cover.rank_intervals(spec.grid, rows.boxes(spec.grid), max_gap=page)
            needs: dict[int, int] = {}
            # Walks are disjoint and rise, so those an interval meets stand side by side.
            firsts = np.searchsorted(stops, intervals[:, 0], side="right")
            ends = np.searchsorted(starts, intervals[:, 1], side="left")
            for first, end, stop in zip(
                firsts.tolist(), ends.tolist(), intervals[:, 1].tolist(), strict=True
            ):
                for walk in range(first, end):
                    needs[walk] = min(stop, int(stops[walk]))
            self._needs.append(needs)

    def ends(self, walk: int) -> list[int]:
        """Return the ranks of a walk at which some row set has seen all it needs of it, rising."""
        return sorted({needs[walk] for needs in self._needs if walk in needs})

    def until_nothing(
        self, passed: SimpleQueue[tuple[int, int | Exception]]
    ) -> Iterator[list[int]]:
        """Yield the row sets that wait for nothing any more, as (walk, rank) events come in."""
        waiting = dict(enumerate(self._needs))
        ready = [position for position, needs in waiting.items() if not needs]
        while True:
            for position in ready:
                del waiting[position]
            if ready:
                yield ready
            if not waiting:
                return
            walk, rank = passed.get()
            if isinstance(rank, Exception):
                raise rank
            ready = []
            for position, needs in waiting.items():
                if needs.get(walk, rank + 1) <= rank:
                    del needs[walk]
                    if not needs:
                        ready.append(position)


def _put(
    passed: SimpleQueue[tuple[int, int | Exception]], walk: int, rank: int | Exception
) -> None:
    passed.put((walk, rank))


def make_group_listing(
    spec: ArraySpec,
    listing: Listing,
    pool: ThreadPoolExecutor,
    concurrency: int,
    trust: bool,
) -> GroupListing:
    """Return the listing of a group, in the way that the source's kind of store allows."""
    return GroupListing(
        spec,
        listing,
        pool,
        walk_pieces(listing.source.store, concurrency),
        trust,
        ordered=is_ordered(listing.source.store),
    )
