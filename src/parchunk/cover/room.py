"""How many chunks' sizes a process may hold for a plan, refused where that is too few."""

from __future__ import annotations

from collections.abc import Iterable

from parchunk.cover.memory import (
    file_rows,
    held_within,
    inlining_of,
    kept_beyond,
    memory_for,
)
from parchunk.errors import InputError
from parchunk.planning.plan import Partition, Plan
from parchunk.wording import bytes_text, count

#: Of what may be held, shards that are listed take this part; the rest is for what is in them.
LISTED_SHARDS = 2


def room_for(
    plan: Plan,
    partitions: Iterable[Partition],
    memory: int,
    concurrency: int,
    processes: int = 1,
    inlines: bool = True,
) -> int:
    """Return how many chunks' sizes each of ``processes`` that share ``memory`` bytes may hold.

    ``partitions`` are those of the plan that are to be listed, ``concurrency`` the listings of one
    process; ``inlines`` is whether chunks are inlined, too.

    Raises
    ------
    InputError
        When the bound cannot be honoured, naming the least one that can.
    """
    rows, kept = file_rows(plan), kept_beyond(plan, processes)
    inlining = inlining_of(plan) if inlines else 0
    how = (rows, concurrency, inlining, plan.identity, processes, kept)
    held = held_within(memory, *how)
    dearest = _most_shards(plan, partitions, held // LISTED_SHARDS)
    if dearest is not None:
        needed = memory_for(dearest.objects.total * LISTED_SHARDS, *how)
        raise InputError(
            f"--memory of {bytes_text(memory)} is too little to list the "
            f"{count(dearest.objects.total)} shards of {dearest} together"
            + (f" in each of {processes} processes" if processes > 1 else "")
            + f": give {needed >> 20}MiB or more"
            + (", or fewer --workers" if processes > 1 else "")
            + ("" if dearest.region is None else ", or plan anew with a smaller --region")
        )
    return held


def _most_shards(plan: Plan, partitions: Iterable[Partition], room: int) -> Partition | None:
    """Return the partition with the most shards to be expanded, where that is more than so many."""
    specs = (array.spec for array in plan.arrays)
    large = {s.name for s in specs if s.inner_chunks is not None and s.total > room}
    if not large:  # nearly always, and there may be very many partitions
        return None
    found = (p for p in partitions if p.array in large and p.objects.total > room)
    return max(found, key=lambda partition: partition.objects.total, default=None)
