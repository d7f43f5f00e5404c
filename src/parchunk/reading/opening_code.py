"""The line of Python that opens references: by xarray the first group that it takes."""

from __future__ import annotations

import json
from collections.abc import Iterable

from parchunk.metadata import Hierarchy, convert_attributes
from parchunk.metadata.names import group_of
from parchunk.metadata.spec import ArraySpec
from parchunk.metadata.v2 import DIMENSIONS
from parchunk.planning.plan import Plan


def opening_code(plan: Plan, url: str, options: str = "") -> str:
    """Return what opens the references at ``url``; ``options`` are as they follow it in the call.

    That is the root where it has arrays, else the first group that has some, without what has
    another length along the same dimension: levels of an image. Where no dimension has a name,
    zarr-python opens them.
    """
    named = json.dumps(url, ensure_ascii=False)
    hierarchy = plan.hierarchy
    which = first_group(hierarchy)
    if which is not None:
        return f"parchunk.open_dataset({named}{which}{options})"
    if plan.location.scheme != "file" or options:
        return "with zarr-python, as dimensions have no names: see docs/howto/read.md"
    return (
        f'zarr.open_group("reference://", mode="r", zarr_format={hierarchy.written_format}, '
        f'storage_options={{"fo": {named}, "remote_protocol": "file"}})'
    )


def first_group(hierarchy: Hierarchy) -> str | None:
    """Return the keywords, as they follow in a call, of the first group that xarray opens.

    Nothing for the root, or where there is no array; None where no group can be opened.
    """
    by_group: dict[str, list[ArraySpec]] = {"": []}
    for array in hierarchy.arrays:
        by_group.setdefault(group_of(array.name), []).append(array)
    for group, arrays in by_group.items():
        if not arrays or nameless(arrays):
            continue
        some = f", group={json.dumps(group, ensure_ascii=False)}" if group else ""
        odd = [array.name.rpartition("/")[2] for array in disagreeing(arrays)]
        without = f", drop_variables={json.dumps(odd, ensure_ascii=False)}" if odd else ""
        return some + without
    return None if hierarchy.arrays else ""


def arrays_in(hierarchy: Hierarchy, group: str) -> list[ArraySpec]:
    """Return the arrays of a group, not of those below it."""
    return [array for array in hierarchy.arrays if group_of(array.name) == group]


def nameless(arrays: Iterable[ArraySpec]) -> list[ArraySpec]:
    """Return the arrays that name no dimensions: beside one in their group, xarray opens none."""
    return [array for array in arrays if DIMENSIONS not in convert_attributes(array)]


def disagreeing(arrays: Iterable[ArraySpec]) -> list[ArraySpec]:
    """Return the arrays that have another length along a dimension than one before them."""
    lengths: dict[str, int] = {}
    found = []
    for array in arrays:
        own = dict(zip(array.dimension_names, array.shape, strict=True))
        own.pop(None, None)
        if any(lengths.get(name, length) != length for name, length in own.items() if name):
            found.append(array)
        else:
            lengths |= {name: length for name, length in own.items() if name}
    return found
