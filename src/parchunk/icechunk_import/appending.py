"""Appending: OUT's chunks behind those that a repository holds along a dimension.

An append is known by its ``origin``, where the references begin. Its commits say at which element
they were put, so that it can go on, and grow with OUT. What is appended lies on a branch aside
until all of it is in: readers see the repository as it was until then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.history import Append, History
from parchunk.icechunk_import.nodes import Nodes
from parchunk.icechunk_import.planned_commits import PlannedCommit
from parchunk.metadata.names import group_of
from parchunk.metadata.spec import ArraySpec, JSONObject
from parchunk.planning.plan import Plan
from parchunk.reading.rows import Receipts


@dataclass(frozen=True)
class Appending:
    """How a plan's arrays lie in a repository: ``append`` is what its commits say.

    ``documents`` are those of the arrays as long as they will be, ``values`` what is written of
    arrays whose chunks do not fit; both are empty where the hierarchy is in. ``before`` is how long
    OUT was when it was appended last, None at first; ``notes`` are lines for people.
    """

    plan: Plan
    append: Append
    documents: Mapping[str, JSONObject] = field(default_factory=dict)
    values: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    before: Append | None = None
    notes: tuple[str, ...] = ()

    @property
    def by_chunks(self) -> frozenset[str]:
        """The arrays whose chunks are set: those along the dimension, the others apart."""
        return frozenset(
            spec.name
            for spec in self.plan.hierarchy.arrays
            if axis_of(spec, self.append.dimension) is not None
            and spec.name not in self.append.by_values
        )

    def shift(self, array: str) -> tuple[int, ...]:
        """Return by how many chunks an array's indices are moved, one number an axis."""
        spec = self.plan.by_name[array].spec
        axis = axis_of(spec, self.append.dimension)
        found = [0] * spec.rank
        if axis is not None:
            offset = self.append.offsets[group_of(array)]
            found[axis] = offset // spec.reference_chunks[axis]
        return tuple(found)

    def commits(self, work: Sequence[PlannedCommit], receipts: Receipts) -> list[PlannedCommit]:
        """Return planned commits of the arrays whose chunks are set, that say where these lie."""
        return [self._commit(item, receipts) for item in work]

    def _commit(self, item: PlannedCommit, receipts: Receipts) -> PlannedCommit:
        partitions = tuple(p for p in item.partitions if p.array in self.by_chunks)
        held = [receipts[partition.key] for partition in partitions]
        inlined = sum(receipt.inlined for receipt in held)
        entry = replace(
            item.entry,
            append=self.append,
            inlined=inlined,
            references=sum(receipt.present for receipt in held) - inlined,
            missing=sum(receipt.missing for receipt in held),
        )
        return PlannedCommit(entry, partitions)

    def extend(self, session: Any) -> Nodes:
        """Lengthen the arrays of a session, and write values; return what was there before."""
        items = {
            f"{name}/zarr.json": json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
            for name, document in self.documents.items()
        }
        adapter.put(session.store, items)
        for name, values in self.values.items():
            start = self.append.offsets[group_of(name)]
            adapter.write_values(session.store, name, start, values)
        if self.before is None:
            return Nodes(frozenset(), 0, None)
        reach = min(self.before.lengths.values(), default=0)
        along = self.plan.split is not None and str(self.plan.split) == self.append.dimension
        return Nodes(self.by_chunks, reach if along else None, None)


def axis_of(spec: ArraySpec, dimension: str) -> int | None:
    """Return the axis of an array that is the dimension, None where it has none."""
    names = spec.dimension_names
    return names.index(dimension) if dimension in names else None


def origin_of(plan: Plan) -> str:
    """Return where a plan's references begin: what is appended is known by that."""
    return plan.location.url if plan.stores is None else plan.stores.stores[0].url


def appended_behind(history: History, plan: Plan) -> Append | None:
    """Return what was appended last to groups that a plan has arrays in, whoever appended it."""
    groups = {group_of(spec.name) for spec in plan.hierarchy.arrays}
    appends = (entry.append for entry in history.every if entry.append is not None)
    return next((append for append in appends if groups & append.offsets.keys()), None)


def refuse_appended(history: History, work: Sequence[PlannedCommit], plan: Plan, url: str) -> None:
    """Refuse to import over what was appended: it would be cut off, as OUT does not know of it."""
    append = appended_behind(history, plan)
    if append is not None:
        # Behind itself, OUT is not appended.
        behind = "" if _is_imported(history, work) else "with --append, "
        raise InputError(
            f"{url} has what was appended to it along {append.dimension} from {append.origin}, "
            f"which an import would cut off: import {behind}into another REPO, or on a --branch "
            "that was made from a snapshot of before (repo.create_branch)"
        )


def refuse_imported(history: History, work: Sequence[PlannedCommit], url: str) -> None:
    """Refuse to append what an import without ``--append`` has brought already."""
    if _is_imported(history, work):
        raise InputError(
            f"{url} has these references already, from an import without --append: run it without, "
            "which takes in what is new"
        )


def _is_imported(history: History, work: Sequence[PlannedCommit]) -> bool:
    """Whether an import without ``--append`` has brought some of what is to be imported."""
    return any(history.has(item.entry) for item in work if item.entry.references)


def appended_before(history: History, origin: str, dimension: str) -> Append | None:
    """Return what the newest hierarchy of an append says, None where there is none.

    Raises
    ------
    InputError
        When it was along another dimension.
    """
    said = newest_append(history, origin)
    if said is not None and said.dimension != dimension:
        raise InputError(
            f"{origin} was appended along {said.dimension} before, not along {dimension}: give "
            f"--append {said.dimension}"
        )
    return said


def newest_append(history: History, origin: str) -> Append | None:
    """Return where an origin was appended last, None where it never was."""
    for entry in history.every:
        said = entry.append
        if entry.kind == "hierarchy" and said is not None and said.origin == origin:
            return said
    return None
