"""What an import reports: while it goes on, and at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from parchunk.showing.values import Shown
from parchunk.wording import counted, part_of


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is: ``commits`` and ``references`` are those of this run.

    ``waiting`` says what is waited for, as where a Dask cluster has no workers; mostly "".
    """

    regions: int
    regions_total: int
    commits: int
    references: int
    seconds: float
    waiting: str = ""

    @property
    def share(self) -> float:
        """What is done of 1."""
        return self.regions / max(self.regions_total, 1)

    @property
    def place(self) -> tuple[int, int, str]:
        """Regions that are in."""
        return self.regions, self.regions_total, "regions"

    @property
    def counted(self) -> tuple[int, str]:
        """References that were set."""
        return self.references, "references"

    @property
    def others(self) -> tuple[str, ...]:
        """Commits that were made."""
        return (counted(self.commits, "commit"),)


@dataclass(frozen=True)
class Commit:
    """One commit that was made; ``region`` is None for the hierarchy."""

    region: int | None
    snapshot: str
    references: int
    inlined: int
    missing: int
    deleted: int
    seconds: float


@dataclass(frozen=True, repr=False)
class ImportResult(Shown):
    """What an import came to, in ``seconds``.

    ``url`` is the repository, ``created`` by it or there before. ``commits`` were made now;
    ``regions_in`` of ``regions_total`` are on ``branch`` after it, and ``remaining`` are the
    numbers of the others. Of an import that is to be published, ``on_side`` names the branch that
    holds it while regions are still out, and it is ``published`` once none are. ``notes`` are lines
    that a user should read, ``code`` is the Python that opens the result.
    """

    url: str
    branch: str
    commits: tuple[Commit, ...]
    regions_in: int
    regions_total: int
    remaining: tuple[int, ...]
    created: bool
    published: bool
    on_side: str | None
    seconds: float
    notes: tuple[str, ...] = ()
    code: str = field(default="", repr=False)

    @property
    def in_short(self) -> str:
        """The import in one line."""
        return (
            f"{self.url}, branch {self.branch}: "
            f"{part_of(self.regions_in, self.regions_total, 'region is', 'regions are')} in; "
            f"{counted(len(self.commits), 'commit')}, "
            f"{counted(self.references, 'reference')} now"
        )

    @property
    def references(self) -> int:
        """Virtual references set now."""
        return sum(commit.references for commit in self.commits)

    @property
    def finished(self) -> bool:
        """Whether everything is in."""
        return not self.remaining


class Reporter:
    """Calls the caller's progress after each region, and where workers are waited for.

    ``regions`` are those in before.
    """

    def __init__(
        self,
        progress: Callable[[ImportProgress], None] | None,
        regions: int,
        total: int,
        began: float,
    ) -> None:
        self._progress = progress
        self._began = began
        self._now = ImportProgress(regions, total, 0, 0, 0.0)

    def add(self, commits: Sequence[Commit]) -> None:
        """Report one region more; ``commits`` are all that were made."""
        self._now = replace(
            self._now,
            regions=self._now.regions + 1,
            commits=len(commits),
            references=sum(commit.references for commit in commits),
        )
        self._tell()

    def waits(self, waiting: str) -> None:
        """Report what is waited for; "" once it is there."""
        self._now = replace(self._now, waiting=waiting)
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(replace(self._now, seconds=time.monotonic() - self._began))
