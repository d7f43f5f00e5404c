"""Listing small arrays: one walk over them, then one over all their gaps, until none is in doubt.

Each array has a tally and the rules of `parchunk.listing.one_array`; only the walks are shared.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from parchunk.cover.jobs import Pass
from parchunk.cover.key_ranges import BEFORE_SLASH, KeyRange, common_directory, ranges_of
from parchunk.cover.walks import Walk
from parchunk.listing.gap_check import GapCheck
from parchunk.listing.listed_rows import Listed, Unordered
from parchunk.listing.one_array import LONG, ArrayListing
from parchunk.listing.tally import Part, Sightings, Tally
from parchunk.listing.waiting import leave, next_from
from parchunk.listing.walker import Listing, Refused
from parchunk.metadata.names import DOCUMENTS


@dataclass
class SharedListing:
    """How small arrays, in the order of their keys, are listed by one walk.

    ``members`` are how each is listed, and ``passes`` stand beside them. Who has the ``turn`` reads
    a page: threads that do so at the same time wait for each other at every call that leaves
    Python. ``notes`` collects what a user should know; the members' notes are theirs.
    """

    members: Sequence[ArrayListing]
    passes: Sequence[Pass]
    pool: Executor
    turn: threading.Lock
    notes: list[str] = field(default_factory=list)
    _left_out: bool = False

    def parts(self) -> Iterator[tuple[int, int, Part]]:
        """Yield (member, position, part) for each unit as soon as everything about it is known.

        Raises
        ------
        ListingError
            When the store cannot be listed, or not to any reliable end.
        """
        done, ordered = bytearray(len(self.members)), True
        try:
            for at, parts in self._walked():
                done[at] = True
                yield from ((at, position, part) for position, part in enumerate(parts))
            return
        except Unordered as broken:
            # Early stops and offsets prove nothing here; only whole listings do.
            ordered = False
            why = f"the store does not list in order ({broken}); each array was listed whole"
        except Refused as refused:
            # Who may list an array, or its store, need not be allowed to list what is above.
            why = f"what is above cannot be listed ({refused}); each array was listed alone"
        rest = [at for at, known in enumerate(done) if not known]
        names = [self.members[at].spec.name for at in rest]
        more = f" and {len(names) - 1} more" if names[1:] else ""
        self.notes.append(f"{names[0]}{more}: {why} instead")
        for at in rest:
            member = self.members[at]
            member.ordered, member.lasting = ordered, True
            for position, part in member.parts(self.passes[at]):
                yield at, position, part

    def _walked(self) -> Iterator[tuple[int, list[Part]]]:
        """Yield each member with its parts, on a store that lists in order."""
        tallies = _Tallies(self.members, self.passes)
        ranges: list[KeyRange] = []
        for at, (member, walked) in enumerate(zip(self.members, self.passes, strict=True)):
            ranges += ranges_of(member.spec, walked.spans, at)
        doubted: dict[int, GapCheck] = {}
        for at in self._followed(tallies, ranges, range(len(self.members)), again=False):
            if self.members[at].trust:
                yield at, self._parts(tallies, at, {})
                tallies.let_go(at)
                continue
            doubted[at] = self._check(tallies[at], at)
            yield from self._settled(tallies, doubted, at)
        while doubted:
            left = sorted(doubted)
            gaps = [
                found
                for at in left
                for found in ranges_of(
                    self.members[at].spec, tallies[at].gaps(self._positions(at)), at
                )
            ]
            # Not before the walk has ended: what it shows of one array tells of all.
            before = self._absent(tallies, left)
            passed = list(self._followed(tallies, gaps, left, again=True))
            self._left_out = self._left_out or self._absent(tallies, left) < before
            for at in passed:
                yield from self._settled(tallies, doubted, at)

    def _settled(
        self, tallies: _Tallies, doubted: dict[int, GapCheck], at: int
    ) -> Iterator[tuple[int, list[Part]]]:
        """Yield a member and its parts if no gap of it is to be listed again."""
        if doubted[at].settled():
            found_again = self.members[at].found_again(doubted.pop(at))
            yield at, self._parts(tallies, at, found_again)
            tallies.let_go(at)

    def _parts(self, tallies: _Tallies, at: int, found_again: Mapping[int, int]) -> list[Part]:
        """Return all parts of a member, none of which is in doubt."""
        tally, positions = tallies[at], self._positions(at)
        parts = [tally.part(position, found_again.get(position, 0)) for position in positions]
        absent = self._absent(tallies, [at])
        self.members[at].check_recorded(tally, sum(len(part.vector) for part in parts) - absent)
        return parts

    def _followed(
        self,
        tallies: _Tallies,
        ranges: Sequence[KeyRange],
        members: Sequence[int],
        *,
        again: bool,
    ) -> Iterator[int]:
        """Walk over ranges of some members, in their order; yield each once its own have passed."""
        yield from sorted(set(members).difference(found.owner for found in ranges))
        if not ranges:
            return
        passed: SimpleQueue[int | None] = SimpleQueue()
        stop = self.members[0].listing.stop
        future = self.pool.submit(self._follow, tallies, ranges, again, passed)
        complete = 0
        try:
            while (event := next_from(passed, stop)) is not None:
                for last in range(complete, event):
                    owner = ranges[last].owner
                    if last + 1 == len(ranges) or ranges[last + 1].owner != owner:
                        yield owner
                complete = event
            future.result()
        finally:
            leave(stop, [future])
            del future  # what it raised holds this frame, and would hold itself

    def _follow(
        self,
        tallies: _Tallies,
        ranges: Sequence[KeyRange],
        again: bool,
        passed: SimpleQueue[int | None],
    ) -> None:
        """Follow a walk over ranges; tell how many are complete, and None at its end."""
        try:
            complete = 0
            for shares, now in follow_ranges(self.members[0].listing, ranges):
                with self.turn:
                    for at, listed in shares:
                        tally, sightings = tallies[ranges[at].owner], Sightings()
                        tally.take(listed, sightings)
                        (tally.merge_again if again else tally.merge)(sightings)
                if now > complete:
                    complete = now
                    passed.put(complete)
        finally:
            # Not with what was raised, which would hold itself: it holds this frame.
            passed.put(None)

    def _positions(self, at: int) -> range:
        return range(len(self.passes[at].units))

    def _absent(self, tallies: _Tallies, members: Sequence[int]) -> int:
        return sum(tallies[at].absent(where) for at in members for where in self._positions(at))

    def _check(self, tally: Tally, at: int) -> GapCheck:
        """Return the check of an array, which is listed once more when two listings of it agree.

        It is where a gap is long, or where a listing of all has left out what is there. Arrays
        without gaps are done by then, so that pages begin elsewhere: one that left out a part of
        itself twice leaves out another part.
        """
        positions = self._positions(at)
        looked = False

        def contradicted() -> bool:
            nonlocal looked
            if looked:
                return False
            looked = True
            return self._left_out or any(tally.amid_gaps(at, 1, LONG) for at in positions)

        return GapCheck(tally, positions, contradicted)


class _Tallies:
    """The tallies of members: each from when something is asked of it first until it is let go.

    So there are not those of all members at once, of which a walk is at one.
    """

    def __init__(self, members: Sequence[ArrayListing], passes: Sequence[Pass]) -> None:
        self._members, self._passes = members, passes
        self._made: dict[int, Tally] = {}
        self._gone: set[int] = set()

    def __getitem__(self, at: int) -> Tally:
        # From two threads, but never about one member at the same time: see `_followed`.
        assert at not in self._gone
        if at not in self._made:
            self._made[at] = self._members[at].tally_of(self._passes[at].row_sets)
        return self._made[at]

    def let_go(self, at: int) -> None:
        """Let the tally of a member go, all of which is known and handed on."""
        self._gone.add(at)
        self._made.pop(at, None)


def follow_ranges(
    listing: Listing, ranges: Sequence[KeyRange]
) -> Iterator[tuple[list[tuple[int, Listed]], int]]:
    """Walk over ``ranges``, which are disjoint and rise.

    Yield (shares, passed) page by page: ``shares`` are pairs of a range's position and the rows
    that lie in it (without Zarr's own documents), and the first ``passed`` ranges are complete.
    The last one is so when the walk has ended, and no sooner.

    Raises
    ------
    Unordered, ListingError
        As `Listing.follow`.
    """
    base = listing.source.path("")
    base = f"{base}/" if base else ""
    at = 0
    while at < len(ranges):
        below, walk = _walk_over(ranges[at:])
        pages = replace(listing, array=below, batch=listing.page)
        with closing(pages.follow(walk)) as following:
            for listed in following:
                keys = listed.paths.to_pylist()
                shares, at = _shared_out(listed, keys, base, ranges, at)
                yield shares, min(at, len(ranges) - 1)
                if (
                    at < len(ranges)
                    and len(keys) >= listing.page  # else the listing has probably ended
                    and keys[-1] < base + ranges[at].after
                ):
                    break
            else:
                at = len(ranges)
    yield [], at


def _walk_over(ranges: Sequence[KeyRange]) -> tuple[str, Walk]:
    """Return a directory, and the walk in it over all of ``ranges`` and what is between them."""
    below = common_directory(ranges[0].directory, ranges[-1].directory)
    head = f"{below}/" if below else ""

    def inside(key: str | None) -> str | None:
        # The ends of a directory need not be named to a listing of it, and cannot be.
        return key[len(head) :] if key is not None and key.startswith(head) else None

    first, last = ranges[0], ranges[-1]
    return below, Walk(
        0,
        0,
        "",
        inside(first.after),
        inside(last.last),
        final=inside(last.final),
        origin=inside(first.array + BEFORE_SLASH),
    )


def _shared_out(
    listed: Listed, keys: Sequence[str], base: str, ranges: Sequence[KeyRange], at: int
) -> tuple[list[tuple[int, Listed]], int]:
    """Return the rows of each range, and the position of the first range that may get more.

    ``keys`` are those of the rows, each with ``base`` before it. Python compares text by code
    points, which is UTF-8's order.
    """
    shares: list[tuple[int, Listed]] = []
    start = 0
    while at < len(ranges):
        mine = ranges[at]
        start = bisect_left(keys, base + mine.first, start)
        stop = bisect_left(keys, base + mine.stop, start)
        # A batch of nothing but chunks is read several times as fast: documents stand at its ends.
        low, high, skip = start, stop, len(base) + len(mine.array) + 1
        while low < high and keys[low][skip:] in DOCUMENTS:
            low += 1
        while low < high and keys[high - 1][skip:] in DOCUMENTS:
            high -= 1
        if low < high:
            shares.append((at, listed.slice(low, high)))
        if stop == len(keys):
            break
        start = stop
        at += 1
    return shares, at
