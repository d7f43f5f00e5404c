"""What a build has come to: while it runs, and when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from parchunk.out.counts import Counts
from parchunk.out.receipts import Receipt
from parchunk.planning.joining.lacking import lacking_total
from parchunk.planning.plan import Plan
from parchunk.showing.pace import NEARLY
from parchunk.showing.values import Shown
from parchunk.wording import counted, part_of


@dataclass(frozen=True)
class Progress:
    """How far a build is. ``partitions`` and ``chunks`` count those done before, too.

    ``partitions_total`` and ``chunks_total`` are all of the plan. This run has met ``listed`` keys
    by ``requests`` LIST requests, ``retries`` of them tried again, in ``seconds``.
    ``before`` are the chunks that were done when it began. ``waiting`` says what is waited for, as
    where a Dask cluster has no workers; mostly "".
    """

    partitions: int
    partitions_total: int
    chunks: int
    chunks_total: int
    listed: int
    requests: int
    retries: int
    seconds: float
    before: int = 0
    waiting: str = ""

    @property
    def share(self) -> float:
        """What is done of 1: what is receipted, or what was before and listings have met since.

        Of tasks these meet more keys than there are chunks, and say nothing once they have.
        """
        if not self.chunks_total:
            return self.partitions / max(self.partitions_total, 1)
        if self.partitions >= self.partitions_total:
            return 1.0
        share = max(self.chunks, self.before + self.listed) / self.chunks_total
        return min(share, NEARLY)

    @property
    def place(self) -> tuple[int, int, str]:
        """Partitions done."""
        return self.partitions, self.partitions_total, "partitions"

    @property
    def counted(self) -> tuple[int, str]:
        """Keys that were listed."""
        return self.listed, "keys"

    @property
    def others(self) -> tuple[str, ...]:
        """Requests and retries."""
        retries = (counted(self.retries, "retry", "retries"),) if self.retries else ()
        return (*retries, counted(self.requests, "LIST request"))


@dataclass(frozen=True, repr=False)
class BuildResult(Shown, Counts):
    """What a finished build came to, over all its runs (``receipts`` and counts) and in this one.

    ``url`` is the output, of ``plan``. Of its ``receipts``, one a partition, ``built`` were written
    in this run, in ``seconds``. That took ``requests`` LIST requests (the fewest that could list as
    much are ``requests_least``), ``gets`` for indexes of shards, and ``heads`` for chunks that were
    asked for one by one. ``retries`` were tried again, ``busy`` of them as there were too many for
    the store. ``peak_memory`` is in bytes, of this process and its largest worker. ``listing`` says
    who listed the source, and why; ``notes`` are lines that a user should read. ``before`` are the
    counts by array before an update, None where there was no finished build.
    """

    url: str
    plan: Plan = field(repr=False)
    receipts: Sequence[Receipt] = field(repr=False)
    built: int
    requests: int
    requests_least: int
    gets: int
    retries: int
    seconds: float
    peak_memory: int
    notes: tuple[str, ...]
    listing: str = ""
    heads: int = 0
    busy: int = 0
    before: Mapping[str, Counts] | None = field(default=None, repr=False)

    @property
    def changes(self) -> dict[str, int] | None:
        """By how many chunks an update changed the counts; None where that is not known."""
        if self.before is None:
            return None
        was = Counts.total(self.before.values())
        names = ("expected", "present", "missing")
        return {name: getattr(self, name) - getattr(was, name) for name in names}

    @property
    def arrays_changed(self) -> dict[str, list[str]]:
        """The arrays that came with an update, and those that went."""
        now = self.plan.by_name.keys()
        then = now if self.before is None else self.before.keys()
        return {
            "arrays_came": [name for name in now if name not in then],
            "arrays_gone": [name for name in then if name not in now],
        }

    @property
    def lacking(self) -> int:
        """The missing chunks that no store has, as theirs lacks the array (``--join outer``)."""
        return lacking_total(self.plan)

    @property
    def in_short(self) -> str:
        """The result in one line."""
        lack = f" ({self.lacking:,} of them lacking)" if self.lacking else ""
        return (
            f"{self.url}: {part_of(self.present, self.expected, 'chunk')} present, "
            f"{self.missing:,} missing{lack}; "
            f"{part_of(self.built, len(self.receipts), 'partition')} built"
        )

    @property
    def shards(self) -> int:
        """Shards that expanded arrays can have."""
        return self.shards_expected


@dataclass(frozen=True)
class JobResult:
    """What building a job came to. ``notes`` are lines that a user should read.

    ``receipts`` are those that nobody was told of as they were written.
    """

    receipts: tuple[Receipt, ...] = field(repr=False)
    requests: int
    keys: int
    retries: int
    gets: int = 0
    notes: tuple[str, ...] = ()
    heads: int = 0
    busy: int = 0


@dataclass(frozen=True, kw_only=True)
class TaskResult(JobResult):
    """What a task came to: ``receipts`` of all its partitions, of which it ``built`` some now.

    All else is of this run alone; ``peak_memory`` is its process's, in bytes.
    """

    task: str
    built: int
    requests_least: int
    seconds: float
    peak_memory: int
