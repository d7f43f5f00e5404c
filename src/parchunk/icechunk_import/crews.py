"""How many workers an import has, and what to say where they are fewer than were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

from parchunk.icechunk_import.memory import Budget
from parchunk.workers.crews import Crew

#: Regions that an executor is given at a time, where it is not said how many workers it has.
_AT_ONCE = 64


def crew_of(
    planned: Budget, to_do: Sequence[int | None], workers: int, executor: Executor | None
) -> tuple[Crew | None, list[str]]:
    """Return who sets the regions ``to_do``, None for this process alone, and notes."""
    regions = [region for region in to_do if region is not None]
    asked = _AT_ONCE if executor is not None and workers == 1 else workers
    asked = min(asked, len(regions))
    if asked < 1 or (workers == 1 and executor is None):
        return None, []
    most = planned.at_once(regions, processes=executor is None)
    if most >= asked:
        return Crew(asked, executor), []
    notes = []
    if executor is None or not most:
        found = f"{most} of {asked} workers were" if most else "no worker was"
        notes = [
            f"{found} at work, as --memory {planned.memory >> 20:,} MiB has no room for more forks "
            "of regions: a larger one has"
        ]
    return Crew(most, executor) if most else None, notes
