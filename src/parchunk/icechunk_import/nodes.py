"""The nodes of a repository: groups and arrays as OUT has them, beside those of others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parchunk.errors import InputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.locations import chunk_key
from parchunk.metadata.spec import ArraySpec, canonical
from parchunk.metadata.to_v3 import V3Documents
from parchunk.planning.plan import Plan

#: Where what is in the way is not. A branch that an import makes begins with all that main has.
ELSEWHERE = (
    "import into another REPO, on a --branch that was made from a snapshot without it "
    "(repo.create_branch), or with --append DIM behind it"
)


@dataclass(frozen=True)
class Nodes:
    """What a branch had of the nodes that were set: the arrays, and how far they went.

    ``replaced`` are arrays of which it may hold other chunks among those that are set. ``reach`` is
    the length of the split dimension in the longest array, None where that is not known, and
    ``kept`` the length from which on chunks were taken away, or None.
    """

    replaced: frozenset[str]
    reach: int | None
    kept: int | None

    def after_loss(self, lost: int | None) -> Nodes:
        """Return this where others took chunks away from the length ``lost`` on, if they did.

        What arrays had that are shorter now may come again with their length.
        """
        if lost is None:
            return self
        return replace(self, reach=None, kept=lost if self.kept is None else min(lost, self.kept))


def write_nodes(
    session: Any,
    base: Any,
    url: str,
    plan: Plan,
    documents: V3Documents,
    ours: bool,
    is_imported: Callable[[str], bool],
    of_others: Set[str] = frozenset(),
) -> Nodes:
    """Set groups and arrays in a session; return what was there before.

    ``base`` is a read-only session of what the branch has; ``ours`` says whether an import has
    set nodes there, and ``is_imported`` whether one has made an array. Such an array that is
    written whole, all in this commit, may get other chunks, codecs or another data type: it is
    deleted, and made anew. Arrays ``of_others`` are theirs though imports have set nodes.

    Raises
    ------
    InputError
        When the branch has a node that is not this import's, or has other chunks.
    """
    replaced: set[str] = set()
    reach: list[int] = []
    kept: list[int] = []
    items: dict[str, bytes] = {}
    for name, document in {**documents.groups, **documents.arrays}.items():
        key = f"{name}/zarr.json" if name else "zarr.json"
        held = adapter.get(base.store, key)
        found = None if held is None else json.loads(held)
        mine = ours and name not in of_others
        if found is not None and _is_remade(found, plan, name, document, mine, is_imported):
            adapter.delete_node(session.store, name)
            found = None
        if found is None or not _is_same(url, name, found, document, mine):
            items[key] = json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
        if found is not None and name in documents.arrays:
            replaced.add(name)
            planned, shape = plan.by_name[name], found["shape"]
            if planned.axis is not None:
                reach.append(shape[planned.axis])
            if _drop_outside(session, base, planned.spec, shape) and planned.axis is not None:
                kept.append(planned.spec.shape[planned.axis])
    adapter.put(session.store, items)
    return Nodes(frozenset(replaced), max(reach, default=0), min(kept, default=None))


def _is_remade(
    found: Mapping[str, Any],
    plan: Plan,
    name: str,
    document: Mapping[str, Any],
    ours: bool,
    is_imported: Callable[[str], bool],
) -> bool:
    """Whether an array of the branch is to be deleted and made anew, as its chunks are others."""
    if not ours or {"array"} != {found.get("node_type"), document["node_type"]}:
        return False
    if _chunks_of(found) == _chunks_of(document) or plan.by_name[name].axis is not None:
        return False
    return is_imported(name)


def _is_same(
    url: str, name: str, found: Mapping[str, Any], document: Mapping[str, Any], ours: bool
) -> bool:
    """Whether a node of the branch is as wanted already; refused where it must not be changed."""
    is_array = document["node_type"] == "array"
    if canonical(found) == canonical(document) and (ours or not is_array):
        return True
    empty = not is_array and found.get("node_type") == "group" and not found.get("attributes")
    fits = ours and _chunks_of(found) == _chunks_of(document)
    if not fits and not empty:
        node = f"an array {name!r}" if is_array else f"a group {name or '/'!r}"
        what = "of other chunks, data type or codecs" if ours else "that is not parchunk's"
        raise InputError(f"{url} already has {node} {what}: {ELSEWHERE}")
    return False


def _chunks_of(document: Mapping[str, Any]) -> str:
    """Return what must be equal for old references to keep their meaning."""
    free = {"shape", "attributes", "dimension_names"}
    return canonical({key: value for key, value in document.items() if key not in free})


def _drop_outside(session: Any, base: Any, spec: ArraySpec, shape: list[int]) -> bool:
    """Delete the chunks of an array of that shape which its new one does not have, if it can."""
    if all(old <= new for old, new in zip(shape, spec.shape, strict=True)):
        return False
    for held in adapter.held_chunks(base, f"/{spec.name}", spec.rank):
        outside = held.indices[(held.indices >= np.array(spec.reference_grid)).any(axis=1)]
        adapter.delete(session.store, [chunk_key(spec.name, at) for at in outside.tolist()])
    return True
