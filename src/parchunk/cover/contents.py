"""What lies below a prefix, in text order: documents, chunks, neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parchunk.cover import walks
from parchunk.metadata.names import documents_of
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class Content:
    """Neighbouring ``keys`` of the source: how many, and which is first; ``array`` whose chunks."""

    first: str
    keys: int
    array: str | None = None


def contents_of(plan: Plan, beside: Sequence[Content] = ()) -> list[Content]:
    """Return what the source holds, in the order of its keys, as far as the plan knows it.

    Every chunk is taken to be there, and every document that writers of Zarr write. What the plan
    leaves out (``--exclude``) is not known, but for what is ``beside``.
    """
    found = list(beside)
    for group in plan.hierarchy.groups:
        below = f"{group.name}/" if group.name else ""
        found += [Content(below + name, 1) for name in documents_of(group)]
    root = plan.hierarchy.groups[0] if plan.hierarchy.groups else None
    if root is not None and root.zarr_format == 2 and not root.name:
        found.append(Content(".zmetadata", 1))
    for array in plan.arrays:
        spec = array.spec
        documents = documents_of(spec)
        directory = directory_of(spec)
        if directory == spec.name:  # they lie among its chunks
            found.append(Content(f"{directory}/", spec.total + len(documents), spec.name))
        else:
            found.append(Content(f"{directory}/", spec.total, spec.name))
            found += [Content(f"{spec.name}/{name}", 1) for name in documents]
    found.sort(key=lambda content: content.first)
    return found


def directory_of(spec: ArraySpec) -> str:
    """Return the key of the folder that all of an array's chunks lie in."""
    below = walks.chunk_directory(spec.keys)
    return f"{spec.name}/{below}" if below else spec.name
