"""Listing one array: its walks side by side, then its gaps again, until nothing is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue

import numpy as np

from parchunk.cover import directories
from parchunk.cover.jobs import Pass
from parchunk.cover.walks import Walk, named_walks, needed_ranks, walk
from parchunk.errors import ListingError
from parchunk.keys.row_sets import RowSet
from parchunk.keys.text_order import ranks_of
from parchunk.listing.batches import TICK
from parchunk.listing.gap_check import GapCheck
from parchunk.listing.listed_rows import Listed, Unordered
from parchunk.listing.tally import Part, Sightings, Tally
from parchunk.listing.under_way import Passed, UnderWay, Waiting
from parchunk.listing.waiting import go_on, leave, next_from, result_unless
from parchunk.listing.walker import Listing
from parchunk.metadata.spec import ArraySpec

#: Chunks of a gap that is long: a page that leaves out a part of itself leaves such ones.
LONG = 16


# Slots: there may be ten thousand, in jobs under way.
@dataclass(slots=True)
class ArrayListing:
    """How the row sets of one array are listed.

    ``listing`` may be of an array beside it: its own is made when it is listed alone.
    Walks are followed in ``pool`` and what they deliver is read in ``takers``, which must be
    another: walks wait for it. ``trust`` skips the second listing of gaps. ``notes`` collects what
    a user should know. ``ordered`` becomes false where the store turns out not to list in order,
    and ``lasting`` true where parts are read by others while the listing goes on.
    """

    spec: ArraySpec
    listing: Listing
    pool: Executor
    takers: Executor
    trust: bool
    notes: list[str] = field(default_factory=list)
    ordered: bool = field(init=False)
    lasting: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.ordered = self.listing.source.manner.ordered

    def parts(self, walked: Pass) -> Iterator[tuple[int, Part]]:
        """Yield (position, part) for each unit of a pass once everything about it is known.

        What a part holds is given back when the next one is asked for, unless it is ``lasting``.

        Raises
        ------
        ListingError
            When the store cannot be listed, or not to any reliable end.
        """
        self.listing = self.listing.of(self.spec.name)
        row_sets = walked.row_sets
        rest = dict(enumerate(row_sets))
        if not sum(rows.total for rows in row_sets):
            tally = self.tally_of(row_sets)
            yield from ((position, tally.part(position)) for position in rest)
            return
        if self.ordered:
            try:
                for position, part in self._walked(walked):
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

    def _walked(self, walked: Pass) -> Iterator[tuple[int, Part]]:
        """As `parts`, on a store that lists in order."""
        tally = self.tally_of(walked.row_sets)
        course, width = named_walks(self.spec.space, walked.spans), walked.width
        needs = needed_ranks(self.spec.grid, walked.row_sets, walked.spans, width.page)
        passed: SimpleQueue[Passed] = SimpleQueue()
        under_way = UnderWay(width.window, len(course))
        futures: dict[int, Future[None]] = {}
        recorded = 0
        try:
            waiting = Waiting(needs)
            ready = waiting.for_nothing()
            while True:
                for at in under_way.next():
                    ends = waiting.ranks(at)
                    futures[at] = self.pool.submit(
                        self._follow, tally, at, course[at], ends, passed
                    )
                if ready:
                    again = self._verify(tally, ready)
                    for position in ready:
                        part = tally.part(position, again.get(position, 0))
                        yield position, part
                        recorded += len(part.vector) - tally.absent(position)
                        tally.release(position)
                if under_way.finished:
                    break
                event = next_from(passed, self.listing.stop)
                if event.rank is None:
                    under_way.passed(event.walk)
                    futures.pop(event.walk).result()  # there may be tens of thousands
                    ready = []
                else:
                    ready = waiting.without(event.walk, event.rank)
        finally:
            leave(self.listing.stop, futures.values())
        self.check_recorded(tally, recorded)

    def check_recorded(self, tally: Tally, recorded: int) -> None:
        """Check that no chunk which walks met was lost on its way.

        More may be recorded than walks met: a second listing of gaps goes past others'.

        Raises
        ------
        ListingError
            When one was: a fault in parchunk.
        """
        if tally.wanted > recorded:
            raise ListingError(
                f"{self.spec.name}: {tally.wanted} chunks were listed and {recorded} recorded; "
                "this cannot be: please report it"
            )

    def _follow(
        self,
        tally: Tally,
        at: int,
        walk: Walk,
        ends: Sequence[int],
        passed: SimpleQueue[Passed],
    ) -> None:
        """Follow a walk; tell when it has passed each of the ranks ``ends``, and its end."""
        left = list(reversed(ends))
        taking: Future[None] | None = None
        try:
            for listed in self.listing.follow(walk):
                if taking is not None:
                    taking.result()
                # The store is asked for more while this is read.
                taking = self.takers.submit(self._take, tally, listed, at, left, passed)
            if taking is not None:
                taking.result()
            while left:
                passed.put(Passed(at, left.pop()))
        finally:
            # Not with what was raised, which would hold itself: it holds this frame.
            passed.put(Passed(at))
            # One that is cancelled and whose pool has ended would be waited for without an end.
            if taking is not None and not taking.cancel():
                wait([taking])

    def _take(
        self,
        tally: Tally,
        listed: Listed,
        at: int,
        left: list[int],
        passed: SimpleQueue[Passed],
    ) -> None:
        """Count a batch of a walk in; tell which of the ranks ``left``, falling, it has passed."""
        sightings = Sightings()
        tally.take(listed, sightings)
        tally.merge(sightings)
        if left:
            tail = listed.paths[-1].as_py()[len(tally.base) :]
            reached = self.spec.space.position(tail)
            # Strays after the last chunk are its row set's, which waits for the walk's end.
            reached = min(reached, self.spec.total - 1)
            while left and left[-1] <= reached:
                passed.put(Passed(at, left.pop()))

    def _verify(self, tally: Tally, positions: Sequence[int]) -> dict[int, int]:
        """List gaps a second time, and a third; return what that brought, by position."""

        def look_again() -> None:
            gaps = self.gap_walks(tally, positions)
            tasks = [partial(self._look_again, tally, gap) for gap in gaps]
            for _, sightings in self._side_by_side(tasks):
                tally.merge_again(sightings)

        def contradicted() -> bool:
            """Whether a page that begins amid a long gap shows what two pages have left out."""
            numbers = [at for position in positions for at in tally.amid_gaps(position, 2, LONG)]
            ranks = ranks_of(self.spec.grid, np.array(numbers, np.int64)).tolist()
            beginning = [walk(self.spec.space, at, at + 1) for at in ranks]
            tasks = [partial(self._look_again, tally, begun) for begun in beginning]
            found = False
            for _, sightings in self._side_by_side(tasks):
                found |= sightings.found > 0
                tally.merge_again(sightings)
            return found

        return self._until_settled(tally, positions, look_again, contradicted)

    def gap_walks(self, tally: Tally, positions: Sequence[int]) -> list[Walk]:
        """Return the walks that meet every absent chunk of some row sets."""
        return named_walks(self.spec.space, tally.gaps(positions))

    def _until_settled(
        self,
        tally: Tally,
        positions: Sequence[int],
        look_again: Callable[[], None],
        contradicted: Callable[[], bool],
    ) -> dict[int, int]:
        """Look again until nothing is in doubt; return how many chunks that brought, by position.

        Raises
        ------
        ListingError
            When each listing shows more than the one before.
        """
        if self.trust:
            return {}
        check = GapCheck(tally, positions, contradicted)
        while not check.settled():
            look_again()
        return self.found_again(check)

    def found_again(self, check: GapCheck) -> dict[int, int]:
        """Return how many chunks a check brought, by position, and note it."""
        found = check.found_again
        if any(found.values()):
            self.notes.append(
                f"{self.spec.name}: a second listing of the gaps showed {sum(found.values())} "
                "chunks that the first had left out; they are referenced"
            )
        return found

    def _contradicted(self, tally: Tally, positions: Sequence[int]) -> bool:
        """Whether an object is there that two listings have left out, asked of the object itself.

        A listing without order has no witness: where it ends without a word, it looks like a gap,
        twice, too. It leaves long gaps: a chunk amid each of the longest tells.
        """
        if not self.listing.source.manner.remote:
            return False
        numbers = [number for position in positions for number in tally.amid_gaps(position)]
        futures = [self.pool.submit(self._is_there, number) for number in numbers]
        try:
            return any(result_unless(self.listing.stop, future) for future in futures)
        finally:
            leave(self.listing.stop, futures)

    def _is_there(self, number: int) -> bool:
        return self.listing.has(self.spec.space.key(number))

    def _look_again(self, tally: Tally, walk: Walk) -> Sightings:
        sightings = Sightings()
        for listed in self.listing.follow(walk):
            tally.take(listed, sightings)
        return sightings

    def _drained(self, row_sets: Sequence[RowSet]) -> Iterator[Part]:
        """List directories to their ends, and again where chunks are missing."""
        boxes = [box for rows in row_sets for box in rows.boxes(self.spec.grid)]
        drained = directories.whole_directories(self.spec.space, boxes, limit=1_000)
        tally = self.tally_of(row_sets)
        tasks = [partial(self._drain, tally, directory) for directory in drained]
        if not self.listing.source.manner.remote:  # where it costs no requests
            beside = directories.directories_beside(self.spec.space, drained)
            tasks += [partial(self._beside, tally, directory) for directory in beside]
        for _, sightings in self._side_by_side(tasks):
            tally.merge(sightings)
        positions = range(len(row_sets))

        def look_again() -> None:
            for _, sightings in self._side_by_side(tasks):
                tally.merge_again(sightings)

        again = self._until_settled(
            tally, positions, look_again, partial(self._contradicted, tally, positions)
        )
        for position in positions:
            yield tally.part(position, again.get(position, 0))
            tally.release(position)

    def _drain(self, tally: Tally, directory: str) -> Sightings:
        sightings = Sightings()
        for listed in self.listing.drain(directory):
            if listed is None:
                sightings = Sightings()
                continue
            tally.take(listed, sightings)
        return sightings

    def _beside(self, tally: Tally, directory: str) -> Sightings:
        """Look for strays in a directory of which others list the chunks."""
        sightings = Sightings()
        listed, within = self.listing.directly_in(directory)
        if listed is not None:
            tally.take(listed, sightings)
        for folder in within:
            if not directories.holds_chunks(self.spec.space, folder):
                sightings.add(self._drain(tally, folder))
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
                finished, pending = wait(pending, TICK, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield futures[future], future.result()
                go_on(self.listing.stop)
        finally:
            leave(self.listing.stop, futures)

    def tally_of(self, row_sets: Sequence[RowSet]) -> Tally:
        """Return a tally of row sets of the array."""
        base = self.listing.source.path(self.spec.name) + "/"
        return Tally(self.spec, base, row_sets, self.listing.source.identity, self.lasting)
