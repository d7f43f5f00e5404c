"""Which of a build's arrays are imported, and what documents they have in the repository."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from parchunk.errors import InputError
from parchunk.metadata.choosing import fits
from parchunk.metadata.document import shorten
from parchunk.metadata.refused import UnsupportedArraysError
from parchunk.metadata.to_v3 import V3Documents, v3_documents
from parchunk.planning.plan import Plan


def select(
    plan: Plan,
    include: Sequence[str],
    exclude: Sequence[str],
    skip_unsupported: bool,
    drop_non_finite: bool,
) -> tuple[Plan, V3Documents]:
    """Return the plan of the arrays that are wanted, and the documents of all its nodes.

    Their partitions are those of the whole plan, and so are their receipts.

    Raises
    ------
    InputError
        When a glob matches no array, or no array is left.
    UnsupportedError
        Naming every array that has no form in Icechunk, unless they are to be left out.
    """
    names = frozenset(plan.by_name)
    for option, globs in (("--include", include), ("--exclude", exclude)):
        for glob in globs:
            if not any(fits(name, glob) for name in names):
                raise InputError(
                    f"{option} {shorten(glob)} matches no array of the references: there are "
                    + ", ".join(sorted(names)[:8])
                    + (", ..." if len(names) > 8 else "")
                )
    wanted = {
        name
        for name in names
        if (not include or any(fits(name, glob) for glob in include))
        and not any(fits(name, glob) for glob in exclude)
    }
    if not wanted:
        raise InputError("--include and --exclude leave no array: widen them")
    plan = only_of(plan, wanted)
    try:
        return plan, v3_documents(plan.hierarchy, drop_non_finite)
    except UnsupportedArraysError as error:
        refused = {refusal.name: refusal for refusal in error.refusals}
        # A group cannot be left out: it holds the arrays that are wanted.
        if not skip_unsupported or not refused.keys() <= wanted:
            raise
    if not wanted - refused.keys():
        raise InputError(
            f"--skip-unsupported leaves no array: {'; '.join(map(str, refused.values()))}"
        )
    plan = only_of(plan, wanted - refused.keys())
    documents = v3_documents(plan.hierarchy, drop_non_finite)
    left = tuple(f"left out: {name}: {refused[name].feature}" for name in sorted(refused))
    return plan, replace(documents, notes=(*left, *documents.notes))


def only_of(plan: Plan, names: Set[str]) -> Plan:
    """Return the plan of some arrays, with the groups above them."""
    if names == plan.by_name.keys():
        return plan
    above = {""}
    for name in names:
        parts = name.split("/")
        above |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
    hierarchy = replace(
        plan.hierarchy,
        arrays=tuple(spec for spec in plan.hierarchy.arrays if spec.name in names),
        groups=tuple(group for group in plan.hierarchy.groups if group.name in above),
    )
    arrays = tuple(array for array in plan.arrays if array.spec.name in names)
    return replace(plan, hierarchy=hierarchy, arrays=arrays)
