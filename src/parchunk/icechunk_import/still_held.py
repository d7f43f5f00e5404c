"""What a branch has still of what its history says: others may have deleted arrays, or cut them.

An array that is made again then is empty. So neither its regions nor the hierarchy are in, though
there are commits that brought them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.history import History
from parchunk.icechunk_import.planned_commits import PlannedCommit
from parchunk.keys.numbers import unravelled
from parchunk.planning.plan import Partition, Plan


def still_held(
    history: History,
    session: Any,
    plan: Plan,
    nodes: Collection[str],
    work: Iterable[PlannedCommit],
    shift: Callable[[str], Sequence[int]] | None = None,
) -> History:
    """Return what of a history holds still, as a read-only ``session`` of the branch's tip says.

    The hierarchy does while all ``nodes`` are there, and a region while the arrays of its commit,
    which is among ``work``, have its chunks and are as long as it needs. Chunks of an array are
    moved by its ``shift``.
    """
    if not history.begun:
        return history
    held = _grids(session, nodes)
    ends: dict[str, int] = {}

    def is_there(partition: Partition) -> bool:
        name = partition.array
        planned = plan.by_name[name]
        if name not in ends:
            moved = (0,) * planned.spec.rank if shift is None else shift(name)
            ends[name] = _end(held.get(name), plan, name, moved)
        if planned.axis is None or not partition.rows.total:
            return ends[name] > 0
        last = partition.rows.number(partition.rows.total - 1)
        return unravelled(planned.spec.reference_grid, last)[planned.axis] < ends[name]

    gone = {
        item.entry.range[0] if item.entry.kind == "region" else None
        for item in work
        if history.has(item.entry) and not all(map(is_there, item.partitions))
    }
    if not gone and len(held) == len(nodes):
        return history
    lost = min(gone - {None}, default=None)  # type: ignore[type-var]
    regions = {
        start: entry
        for start, entry in history.regions.items()
        if lost is None or entry.range[1] <= lost
    }
    return replace(history, hierarchy=None, regions=regions, lost=lost, bereft=bool(gone))


def still_held_notes(history: History, branch: str) -> list[str]:
    """Return what to say where a history does not hold any more."""
    if not history.bereft:
        return []
    return [
        f"branch {branch} had no more what an import had brought, as others deleted or shortened "
        "arrays: it was imported again"
    ]


class _Grid(NamedTuple):
    """The shape of an array, and what its document says of its chunks'."""

    shape: Sequence[int]
    chunks: Any


def _grids(session: Any, nodes: Iterable[str]) -> dict[str, _Grid | None]:
    """Return the grids of the nodes that are there, None of groups: there may be very many."""
    found: dict[str, _Grid | None] = {}
    for name in nodes:
        data = adapter.get(session.store, f"{name}/zarr.json" if name else "zarr.json")
        if data is not None:
            said = json.loads(data)
            found[name] = None
            if "shape" in said:
                chunks = said["chunk_grid"].get("configuration", {}).get("chunk_shape")
                found[name] = _Grid(said["shape"], chunks)
    return found


def _end(grid: _Grid | None, plan: Plan, name: str, moved: Sequence[int]) -> int:
    """Return up to which chunk along its axis an array is there; of a whole one 0 if it is cut.

    One of other chunks is not there.
    """
    spec, axis = plan.by_name[name].spec, plan.by_name[name].axis
    if grid is None or len(grid.shape) != spec.rank or grid.chunks != [*spec.reference_chunks]:
        return 0
    sizes = zip(grid.shape, spec.reference_chunks, moved, strict=True)
    there = [-(-int(size) // chunk) - by for size, chunk, by in sizes]
    wanted = list(spec.reference_grid)
    if axis is not None:
        wanted[axis] = 0
    if any(have < want for have, want in zip(there, wanted, strict=True)):
        return 0
    return 1 if axis is None else there[axis]
