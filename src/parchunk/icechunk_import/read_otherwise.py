"""Arrays of which a branch keeps bytes that new attributes make other values of.

The hierarchy, with all attributes, is one commit, and the regions are those that follow. Inlined
chunks of an earlier import would be read by new ``units`` or a new ``scale_factor`` until their
region is in, and nothing would tell. Chunks that stay at the source are what they are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.history import History
from parchunk.icechunk_import.planned_commits import PlannedCommit
from parchunk.metadata.choosing import some_of
from parchunk.metadata.meaning import attribute_differences
from parchunk.metadata.to_v3 import V3Documents
from parchunk.planning.joining.comparing import is_meaning
from parchunk.planning.plan import Plan


def read_otherwise(
    session: Any,
    plan: Plan,
    documents: V3Documents,
    history: History,
    work: Iterable[PlannedCommit],
) -> dict[str, list[str]]:
    """Return which attributes change the values of chunks to be replaced, by array.

    ``session`` reads the branch's tip. Whole arrays come with their attributes, in one commit.
    """
    inlined = any(entry.kind == "region" and entry.inlined for entry in history.every)
    if not inlined or all(item.is_in(history) for item in work if item.entry.kind == "region"):
        return {}
    found: dict[str, list[str]] = {}
    for name, document in documents.arrays.items():
        if plan.by_name[name].axis is None:
            continue
        held = adapter.get(session.store, f"{name}/zarr.json")
        if held is None:
            continue
        differing = attribute_differences(
            json.loads(held).get("attributes", {}), document["attributes"]
        )
        names = (one.field.removeprefix("attributes ") for one in differing)
        meaning = [name for name in names if is_meaning(name)]
        if meaning:
            found[name] = meaning
    return found


def read_otherwise_notes(found: Mapping[str, Sequence[str]], branch: str) -> list[str]:
    """Return what to say of an import that went on a branch aside for such arrays."""
    if not found:
        return []
    attributes = list(dict.fromkeys(name for names in found.values() for name in names))
    return [
        f"{some_of([*found])}: chunks that branch {branch} keeps are read by other attributes now "
        f"({some_of(attributes)}): what replaces them is committed aside, and {branch} is moved "
        "once all regions are in"
    ]
