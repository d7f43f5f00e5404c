"""What a build may use: memory, listings, workers, patience."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from parchunk.building.results import Progress
from parchunk.cover.inlining import UNBOUNDED, InlineBound
from parchunk.cover.limits import USUAL, Limits
from parchunk.cover.memory import (
    DEFAULT_CONCURRENCY,
    DEFAULT_MEMORY,
    inline_bound,
    inlining_of,
    vector_cells,
)
from parchunk.errors import InputError
from parchunk.listing.patience import Patience
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source


@dataclass(frozen=True)
class Settings:
    """What a build may vary without changing its output.

    ``concurrency`` is the number of listings side by side in one process; ``trust_listing``
    skips the second listing of gaps; ``inlining`` bounds the memory that inlined chunks take, and
    ``limits`` say how large jobs and their units may be.
    """

    concurrency: int = 8
    trust_listing: bool = False
    patience: Patience = field(default_factory=Patience)
    inlining: InlineBound = UNBOUNDED
    limits: Limits = USUAL


@dataclass(frozen=True)
class Effort:
    """What a build may use, and how; see `build`."""

    memory: int = DEFAULT_MEMORY
    concurrency: int = DEFAULT_CONCURRENCY
    workers: int = 1
    executor: Executor | None = None
    trust_listing: bool = False
    settings: Settings | None = None
    progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.workers < 1:
            raise InputError("--concurrency and --workers must be 1 or more")

    @property
    def processes(self) -> int:
        """Processes that share memory and listings; an executor's tasks have each their own."""
        return 1 if self.executor is not None else self.workers

    @property
    def share(self) -> int:
        """Listings side by side in one process."""
        return max(self.concurrency // self.processes, 1)

    def cells(self, source: Source, plan: Plan) -> int:
        """Return how many chunks' sizes one process may hold.

        Raises
        ------
        InputError
            When the plan cannot be built with that much memory, or in these processes.
        """
        if self.processes > 1 and source.manner.in_memory:
            raise InputError(
                "a store in memory cannot be reached by other processes: use --workers 1"
            )
        cells = vector_cells(
            self.memory // self.processes, plan.record_size, self.share, inlining_of(plan)
        )
        return min(cells, (self.settings or Settings()).limits.cells)

    def inlining(self, plan: Plan) -> InlineBound:
        """Return how much of the memory is for inlining."""
        return inline_bound(
            self.memory, self.processes, plan.record_size, self.share, inlining_of(plan)
        )
