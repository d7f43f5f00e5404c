"""What is going on in OUT: nothing, or a build or an update that runs or was cut short."""

from __future__ import annotations

import time
from dataclasses import dataclass

from parchunk.out.claims import Claim, read_claims
from parchunk.out.holder import Holder
from parchunk.out.output import LEASE, PREPARED_PLAN, PREPARED_ROOT, PREVIOUS, ROOT, UPDATE, Output
from parchunk.out.prepared import is_relocation
from parchunk.out.unfinished import asked_before
from parchunk.planning.plan import Plan
from parchunk.wording import counted

#: What is there while an update is, and after one that was cut short.
_UPDATING = (PREVIOUS, UPDATE, PREPARED_PLAN, PREPARED_ROOT)


@dataclass(frozen=True)
class UnderWay:
    """``published``: readers can open OUT. ``updating``: an update has begun and not ended.

    ``relocating``: so has a relocation, and no update beside it; then it is ``updating``, too.
    ``holder`` is who works in OUT at the moment; None: nobody that is known to be alive.
    ``claims`` are of tasks of other machines that are at work. ``preparing``: what is to take the
    place of what is published is not complete.
    """

    published: bool
    updating: bool
    holder: Holder | None
    claims: tuple[Claim, ...] = ()
    relocating: bool = False
    preparing: bool = False

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
        if self.relocating:
            return (
                "run the same parchunk relocate again: it finishes that (or parchunk update OUT, "
                "which drops it)"
            )
        if self.published or self.updating:
            return "run parchunk update OUT: it finishes that"
        return "run the same build again: it resumes"

    def message(self, undone: int) -> str:
        """Return in words that OUT is unfinished, and what readers see meanwhile."""
        what = "an update" if self.published or self.updating else "a build"
        what = "a relocation" if self.relocating else what
        how = "is running" if self.is_running else "was cut short"
        if self.published and not self.updating and not self.is_running:
            how += ", or receipts were deleted"
        left = "nothing is left to list"
        if undone:
            left = f"{counted(undone, 'partition is', 'partitions are')} left to do"
        elif self.relocating:
            left = "nothing is listed"
        elif self.preparing:
            left = "what is to take the place of the references is not complete"
        seen = "; readers see the references as they were before" if self.published else ""
        return f"{what} {how}: {left}{seen}"


def read_under_way(output: Output, plan: Plan) -> UnderWay:
    """Return what is going on in OUT, which has this plan."""
    data = output.get(LEASE)
    holder = None if data is None else Holder.decode(data)
    if holder is not None and holder.is_over(time.time()):
        holder = None
    updating = any(output.get(path) is not None for path in _UPDATING)
    # That is the first that is written, and may be the last that is left once all is in place.
    prepared_for = asked_before(plan, output) is not None
    updating = updating or prepared_for
    asked = any(output.get(path) is not None for path in (PREVIOUS, UPDATE))
    relocating = updating and not asked and is_relocation(output)
    claims = tuple(claim for claim in read_claims(output) if not claim.is_over)
    preparing = prepared_for and output.get(PREPARED_ROOT) is None
    published = output.get(ROOT) is not None
    return UnderWay(published, updating, holder, claims, relocating, preparing)
