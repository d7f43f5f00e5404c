"""What a build may use: memory, listings, workers, patience."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from parchunk.building.results import Progress
from parchunk.cover.inlining import UNBOUNDED, InlineBound
from parchunk.cover.limits import USUAL, Limits
from parchunk.cover.memory import (
    DEFAULT_CONCURRENCY,
    DEFAULT_MEMORY,
    file_rows,
    inline_bound,
    inlining_of,
    kept_beyond,
    row_bytes,
)
from parchunk.cover.room import room_for
from parchunk.errors import InputError
from parchunk.listing.patience import Patience
from parchunk.planning.plan import Partition, Plan
from parchunk.stores.source import Source
from parchunk.wording import counted

#: Small partitions that are written at a time, at most: so many for each listing, as one of these
#: brings many of them; no more than these; and no more than so many bytes of rows.
_WRITES_FOR_EACH = 4
_WRITES = 64
_WRITTEN_BYTES = 8 << 20


@dataclass(frozen=True)
class Share:
    """What one job may use of a build's effort; output does not depend on it.

    ``concurrency`` is the number of listings side by side in one process, and ``writes`` that of
    small partitions written at a time where each is a request; ``trust_listing`` skips the second
    listing of gaps; ``inlining`` bounds the memory that inlined chunks take.
    ``shared``: others may do the same partitions at the same time.
    """

    concurrency: int
    writes: int
    trust_listing: bool
    patience: Patience
    inlining: InlineBound = UNBOUNDED
    shared: bool = False


@dataclass(frozen=True)
class Effort:
    """What a build may use, and how; see `build`."""

    memory: int = DEFAULT_MEMORY
    concurrency: int = DEFAULT_CONCURRENCY
    workers: int = 1
    executor: Executor | None = None
    trust_listing: bool = False
    patience: Patience | None = None
    limits: Limits | None = None
    progress: Callable[[Progress], None] | None = None
    #: Whether others may do the same partitions at the same time.
    shared: bool = False

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.workers < 1:
            raise InputError("--concurrency and --workers must be 1 or more")

    @property
    def processes(self) -> int:
        """Processes that share memory and listings; an executor's tasks have each their own.

        Each lists: there are no more of them than listings may be side by side.
        """
        return 1 if self.executor is not None else min(self.workers, self.concurrency)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how many workers there are."""
        if self.executor is not None or self.processes == self.workers:
            return ()
        return (
            f"{self.processes} of {self.workers} workers were at work, as each lists and "
            f"--concurrency allows {counted(self.concurrency, 'listing')} side by side: a higher "
            "one has more",
        )

    @property
    def listings(self) -> int:
        """Listings side by side in one process."""
        return max(self.concurrency // self.processes, 1)

    def most_held(self, source: Source, plan: Plan, pending: Iterable[Partition] = ()) -> int:
        """Return how many chunks' sizes one process may hold that lists ``pending`` partitions.

        Raises
        ------
        InputError
            When the plan cannot be built with that much memory, or in these processes.
        """
        if self.processes > 1 and source.manner.in_memory:
            raise InputError(
                "a store in memory cannot be reached by other processes: use --workers 1"
            )
        most_held = room_for(plan, pending, self.memory, self.listings, self.processes)
        return min(most_held, (self.limits or USUAL).most_held)

    def share(self, plan: Plan) -> Share:
        """Return what each job of a plan may use."""
        inlining = inline_bound(
            self.memory,
            self.processes,
            file_rows(plan),
            self.listings,
            inlining_of(plan),
            plan.identity,
            kept_beyond(plan, self.processes),
        )
        patience = self.patience or Patience()
        rate = patience.lists_per_second / self.processes
        patience = replace(patience, lists_per_second=rate)
        writes = self._writes(plan)
        return Share(self.listings, writes, self.trust_listing, patience, inlining, self.shared)

    def _writes(self, plan: Plan) -> int:
        """Return how many small partitions one process writes at a time, at most."""
        rows = min(file_rows(plan), (self.limits or USUAL).small)
        fitting = _WRITTEN_BYTES // (max(rows, 1) * row_bytes(plan.identity))
        return max(min(_WRITES_FOR_EACH * self.listings, _WRITES, fitting), self.listings)
