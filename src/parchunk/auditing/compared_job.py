"""How the arrays of one job differ from their record files, found as its parts are listed."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from parchunk.auditing.differences import Differences, RegionChanges, differences_of
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.source_contents import ContentReader
from parchunk.auditing.watching import WatchedPart
from parchunk.cover.jobs import Job
from parchunk.keys.placement import Target
from parchunk.listing.job import JobListing
from parchunk.listing.tally import Part
from parchunk.listing.waiting import all_unless, result_unless
from parchunk.out.output import Output
from parchunk.planning.plan import PartitionKey, Plan

#: Parts of small arrays that wait to be compared, at most: what waits takes some room.
_WAITING = 100

#: A member, the position of a partition in it, and a part of that.
_Listed: TypeAlias = tuple[int, int, Part]


@dataclass
class ComparedJob:
    """One job as it is compared; ``targets`` say where its members' rows are written.

    ``items`` are the partitions of all jobs, done as they are. ``compared`` is told how many
    objects were, by any thread. Parts may be taken by several threads at the same time.
    """

    plan: Plan
    output: Output
    job: Job
    targets: Sequence[Target]
    items: Mapping[PartitionKey, Audited]
    contents: ContentReader
    compared: Callable[[int], None]
    untimed: int = field(default=0, init=False)
    _changed: dict[tuple[int, int], RegionChanges] = field(default_factory=dict, init=False)
    #: What is found of each member's partitions, and how many parts of each are still to come:
    #: from its first part to its last, as there may be a thousand members.
    _under_way: dict[int, tuple[list[Differences], Counter[int]]] = field(
        default_factory=dict, init=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def follow(
        self, listed: JobListing, readers: Executor, together: int, stop: threading.Event
    ) -> None:
        """List the job, and have ``readers`` compare its parts, ``together`` at a time.

        Raises
        ------
        ListingError, SourceError
            When the source cannot be listed.
        """
        if not listed.lasting:
            for one in listed.parts():
                # It goes when the next one is asked for.
                result_unless(stop, readers.submit(self.take, [one]))
            return
        flying: deque[Future[None]] = deque()
        try:
            for some in _some_of(listed, together):
                # They are compared while the walk goes on, at whatever pace OUT is read.
                flying.append(readers.submit(self.take, some))
                while flying and flying[0].done():
                    flying.popleft().result()
                if len(flying) * together >= _WAITING:
                    # All at once: to be woken for each takes longer.
                    all_unless(stop, list(islice(flying, len(flying) // 2 + 1)))
            all_unless(stop, flying)
        finally:
            wait([one for one in flying if not one.cancel()])

    def take(self, parts: Sequence[_Listed]) -> None:
        """Compare parts with their record files."""
        for at, position, part in parts:
            assert isinstance(part, WatchedPart)
            self._of(at)[position].take(self.output, part)
            self._taken(at, position)
            self.compared(len(part.vector))

    def regions(self) -> tuple[RegionChanges, ...]:
        """Return the differences of those partitions that have any, in the job's order."""
        return tuple(made for _, made in sorted(self._changed.items(), key=lambda one: one[0]))

    def _of(self, at: int) -> list[Differences]:
        """Return what finds the differences of each partition of a member."""
        with self._lock:
            if at not in self._under_way:
                member, identity = self.job.members[at], self.plan.identity
                items = [self.items[partition.key] for partition in member.partitions]
                found = differences_of(
                    items, member, self.targets[at], self.plan.record_size, self.contents, identity
                )
                parts = Counter(unit.partition for one in member.passes for unit in one.units)
                self._under_way[at] = found, parts
            return self._under_way[at][0]

    def _taken(self, at: int, position: int) -> None:
        """Note that a part was compared; what is found is summed up with the last one."""
        with self._lock:
            found, parts = self._under_way[at]
            parts[position] -= 1
            if parts[position]:
                return
            del parts[position]
            if not parts:
                del self._under_way[at]
            self.untimed += found[position].untimed
            made = found[position].made()
            if made is not None:
                self._changed[at, position] = made


def _some_of(listed: JobListing, most: int) -> Iterator[list[_Listed]]:
    """Yield parts as they are listed, ``most`` at a time."""
    parts = listed.parts()
    while some := list(islice(parts, most)):
        yield some
