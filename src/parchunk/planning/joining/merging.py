"""Stores with different arrays side by side: `merge`, and a store below a group. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from parchunk.errors import InputError
from parchunk.metadata.names import group_of, name_problem
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy
from parchunk.planning.joining.comparing import Reference
from parchunk.planning.joining.gathering import Gathering
from parchunk.planning.joining.members import Joined, JoinedArray, Member, Stretch, ToCompare

#: Of each dimension of a group: its length, and the array and store that have it.
_Lengths: TypeAlias = dict[tuple[str, str], tuple[int, str, str]]


def merge(members: Iterable[Member], doing: str = "--merge") -> Joined:
    """Return the dataset that has every store's arrays; what several have must be the same.

    ``doing`` is what messages call it.

    Raises
    ------
    MisfitError
        With everything that does not fit: an array of two shapes, a dimension of two lengths.
    InputError
        When there is no store.
    """
    work = Gathering(doing)
    found: dict[str, tuple[Reference, dict[int, ArraySpec]]] = {}
    lengths: _Lengths = {}
    formats: dict[int, str] = {}
    for member in members:
        store = work.add(member)
        for spec in member.hierarchy.arrays:
            formats.setdefault(spec.zarr_format, member.label)
            _compare_lengths(spec, member.label, lengths, work)
            if spec.name not in found:
                found[spec.name] = Reference(member.label, spec), {store: spec}
                continue
            reference, parts = found[spec.name]
            for misfit in reference.shape_misfits(member.label, spec, None):
                work.misfits.add(misfit)
            reference.compare_attributes(member.label, spec, work.misfits, work.notes)
            parts[store] = spec
    if len(formats) > 1:
        work.misfits.say(
            f"Zarr format 2 in {formats[2]}, 3 in {formats[3]} (merge stores of one format)"
        )
    arrays = {
        name: JoinedArray(reference.spec, None, (Stretch(next(iter(parts)), 0, 0),))
        for name, (reference, parts) in sorted(found.items())
    }
    to_compare = [
        ToCompare(name, tuple(parts.items()))
        for name, (_, parts) in sorted(found.items())
        if len(parts) > 1
    ]
    return work.joined(arrays, None, (), to_compare=to_compare)


def below(hierarchy: Hierarchy, group: str) -> Hierarchy:
    """Return a hierarchy as it is below ``group``: what NAME=SRC asks for.

    Raises
    ------
    InputError
        When no folder can have the name.
    """
    if not group:
        return hierarchy
    problem = name_problem(group)
    if problem:
        raise InputError(f"{group}=: a store cannot be put below that group: {problem}")
    root = hierarchy.groups[0] if hierarchy.groups else None
    zarr_format = root.zarr_format if root is not None else 2
    document = {"zarr_format": 3, "node_type": "group"} if zarr_format == 3 else {"zarr_format": 2}
    segments = group.split("/")
    above = tuple(
        GroupSpec("/".join(segments[:count]), zarr_format, {}, document)
        for count in range(len(segments))
    )

    def renamed(name: str) -> str:
        return f"{group}/{name}" if name else group

    return replace(
        hierarchy,
        arrays=tuple(replace(spec, name=renamed(spec.name)) for spec in hierarchy.arrays),
        groups=above + tuple(replace(g, name=renamed(g.name)) for g in hierarchy.groups),
        refused=tuple(replace(one, name=renamed(one.name)) for one in hierarchy.refused),
        skipped=tuple((renamed(name), reason) for name, reason in hierarchy.skipped),
        left_out=tuple((renamed(name), reason) for name, reason in hierarchy.left_out),
        absent=tuple(map(renamed, hierarchy.absent)),
    )


def _compare_lengths(
    spec: ArraySpec,
    label: str,
    lengths: dict[tuple[str, str], tuple[int, str, str]],
    work: Gathering,
) -> None:
    """Say where a dimension has two lengths in one group, which xarray would not open."""
    above = group_of(spec.name)
    for name, size in zip(spec.dimension_names, spec.shape, strict=True):
        if name is None:
            continue
        known, array, store = lengths.setdefault((above, name), (size, spec.name, label))
        if known != size and store != label:
            work.misfits.say(
                f"{spec.name}: length along {name} {size} in {label}, where {array} has {known} in "
                f"{store}"
            )
