"""Listing a job: its parts, one after another, whether one array is listed or many together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from parchunk.cover.jobs import Job
from parchunk.listing.many_arrays import SharedListing
from parchunk.listing.one_array import ArrayListing
from parchunk.listing.tally import Part


class JobListing:
    """How a job is listed: ``members`` are how each of its arrays is."""

    def __init__(
        self, job: Job, members: Sequence[ArrayListing], turn: threading.Lock | None = None
    ) -> None:
        """Prepare; nothing is listed yet. ``turn`` is that of all jobs beside this one."""
        self.job, self.members = job, members
        passes = [member.passes[0] for member in job.members]
        turn, pool = turn or threading.Lock(), members[0].pool
        self._shared = SharedListing(members, passes, pool, turn) if job.together else None

    @property
    def lasting(self) -> bool:
        """Whether a part stays while the listing goes on: else it goes when the next is asked for.

        What small arrays hold together is little.
        """
        return self._shared is not None

    @property
    def notes(self) -> list[str]:
        """What a user should know, so far."""
        shared = self._shared.notes if self._shared else []
        return shared + [note for member in self.members for note in member.notes]

    def parts(self) -> Iterator[tuple[int, int, Part]]:
        """Yield (member, partition, part) as soon as everything about the part is known.

        They are positions in the job and in the member. A large partition comes in several parts,
        not always one after another.

        Raises
        ------
        ListingError
            When the store cannot be listed, or not to any reliable end.
        """
        if self._shared is not None:
            yield from self._shared.parts()
            return
        for walked in self.job.members[0].passes:
            for at, part in self.members[0].parts(walked):
                yield 0, walked.units[at].partition, part
