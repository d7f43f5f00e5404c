"""What is going on in OUT: nothing, or a build or an update that runs or was cut short."""

from __future__ import annotations

import time
from dataclasses import dataclass

from parchunk.out.claims import Claim, read_claims
from parchunk.out.holder import Holder
from parchunk.out.output import LEASE, PREPARED_PLAN, PREPARED_ROOT, PREVIOUS, ROOT, UPDATE, Output
from parchunk.wording import counted

#: What is there while an update is, and after one that was cut short.
_UPDATING = (PREVIOUS, UPDATE, PREPARED_PLAN, PREPARED_ROOT)


@dataclass(frozen=True)
class UnderWay:
    """``published``: readers can open OUT. ``updating``: an update has begun and not ended.

    ``holder`` is who works in OUT at the moment; None: nobody that is known to be alive.
    ``claims`` are of tasks of other machines that are at work.
    """

    published: bool
    updating: bool
    holder: Holder | None
    claims: tuple[Claim, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether anybody is at work."""
        return self.holder is not None or bool(self.claims)

    def remedy(self) -> str:
        """Return what to do for what is unfinished to be finished."""
        if self.holder is not None:
            return f"wait for process {self.holder.pid} on {self.holder.host}, which is at it"
        if self.claims:
            return (
                f"wait for the tasks that are at work ({self.claims[0]}, {len(self.claims)} in all)"
            )
        if self.published or self.updating:
            return "run parchunk update OUT: it finishes that"
        return "run the same build again: it resumes"

    def message(self, undone: int) -> str:
        """Return in words that OUT is unfinished, and what readers see meanwhile."""
        what = "an update" if self.published or self.updating else "a build"
        how = "is running" if self.is_running else "was cut short"
        if self.published and not self.updating and not self.is_running:
            how += ", or receipts were deleted"
        left = (
            f"{counted(undone, 'partition is', 'partitions are')} left to do"
            if undone
            else "nothing is left to list"
        )
        seen = "; readers see the references as they were before" if self.published else ""
        return f"{what} {how}: {left}{seen}"


def read_under_way(output: Output) -> UnderWay:
    """Return what is going on in OUT."""
    data = output.get(LEASE)
    holder = None if data is None else Holder.decode(data)
    if holder is not None and holder.is_over(time.time()):
        holder = None
    updating = any(output.get(path) is not None for path in _UPDATING)
    claims = tuple(claim for claim in read_claims(output) if not claim.is_over)
    return UnderWay(output.get(ROOT) is not None, updating, holder, claims)
