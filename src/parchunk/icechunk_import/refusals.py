"""What one commit may be: refused before anything is written, with what would do instead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parchunk.errors import InputError
from parchunk.icechunk_import.memory import Budget
from parchunk.icechunk_import.planned_commits import PlannedCommit
from parchunk.planning.plan import Plan


def check_references(plan: Plan, work: Sequence[PlannedCommit], most: int) -> None:
    """Refuse commits of too many references, naming the region length that fits."""
    largest = max(work, key=lambda item: item.entry.references)
    count = largest.entry.references
    if count > most:
        raise InputError(
            f"{largest.name} {_have(largest)} {count:,} references, more than the {most:,} that "
            f"one commit shall have: {_shorter(plan, largest, most / count)}give --max-references"
        )


def check_memory(plan: Plan, work: Sequence[PlannedCommit], budget: Budget) -> None:
    """Refuse commits that Icechunk cannot hold, naming the region length or the memory that do."""
    largest = max(work, key=lambda item: budget.held[item.entry.region])
    region = largest.entry.region
    needed, memory = budget.needed(region), budget.memory
    if needed > memory:
        raise InputError(
            f"{largest.name} {_have(largest)} {largest.entry.references:,} references, to commit "
            f"which takes {-(-needed >> 20):,} MiB, more than the {memory >> 20:,} MiB of "
            f"--memory: {_shorter(plan, largest, budget.share(region))}give --memory "
            f"{budget.enough(region)}MiB"
        )


def _have(item: PlannedCommit) -> str:
    return "have" if item.entry.region is None else "has"


def _shorter(plan: Plan, item: PlannedCommit, share: float) -> str:
    """Return how to build so that the item has but a share of its references, where one can."""
    if share <= 0:
        return ""
    if item.entry.region is None:
        return "build with --split along their large dimension, or "
    sizes = [a.spec.chunks[a.axis] for a in plan.arrays if a.axis is not None]
    # all region lengths of a plan divide by this
    least = int(np.lcm.reduce(sizes)) if sizes else 1
    length = int(plan.region_length * share) // least * least
    return f"build with --region {length}, or " if length else ""
