"""Series: stores that follow each other along the dimension, beside others that do. No I/O.

``cam=a cam=b clm=c --concat time`` are two of them, one a group; ``tas_1 tas_2 pr_1 pr_2 --merge
--concat time`` two as well, one for each set of arrays. Stores without a name and without
``--merge`` are one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations

from parchunk.errors import InputError
from parchunk.metadata.document import shorten
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.bounds import bounds_of
from parchunk.planning.joining.concatenation import Concatenation
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.members import Member
from parchunk.planning.joining.misfits import MisfitError
from parchunk.planning.joining.stacking import Stacking, coordinates_of


@dataclass
class Series:
    """Stores of one series: what they are joined by, and which of all stores they are.

    ``arrays`` are the names that set its stores apart from those of other series in ``below``.
    """

    work: Concatenation | Stacking
    below: str
    arrays: frozenset[str]
    members: list[int] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What messages call it: its group, or its first store."""
        labels = self.work.work.labels
        more = f" and {len(labels) - 1:,} more" if len(labels) > 1 else ""
        return self.below or labels[0] + more


def sort_out(members: Iterable[Member], joining: Joining) -> list[Series]:
    """Return the series that stores are of, each with its stores taken in, in the order given.

    Raises
    ------
    MisfitError
        When two series in one group share some arrays: neither one's nor the other's stores.
    InputError
        When there is no store.
    """
    found: dict[tuple[str, frozenset[str]], Series] = {}
    for at, member in enumerate(members):
        arrays = _distinct(member, joining) if joining.merge else frozenset[str]()
        key = member.below, arrays
        if key not in found:
            found[key] = Series(_work(joining), member.below, arrays)
        series = found[key]
        series.work.add(member)
        series.members.append(at)
    if not found:
        raise InputError(f"{joining}: no store is given")
    several = list(found.values())
    problems = []
    for one, other in combinations(several, 2):
        shared = sorted(one.arrays & other.arrays)
        if shared:
            alone = sorted(one.arrays ^ other.arrays)
            problems.append(
                f"{one.label} and {other.label} both have {shorten(', '.join(shared), 200)}, and "
                f"only one of them {shorten(', '.join(alone), 200)}"
            )
    if problems:
        remedy = "stores of one series have the same arrays: leave some out with --exclude"
        raise MisfitError(str(joining), problems, remedy)
    return several


def _work(joining: Joining) -> Concatenation | Stacking:
    if joining.concat is not None:
        return Concatenation(joining.concat, joining.join, joining.inline)
    assert joining.stack is not None
    return Stacking(joining.stack, joining.join)


def _distinct(member: Member, joining: Joining) -> frozenset[str]:
    """Return the arrays of a store that are data, or where none is, those along the dimension."""
    specs = member.hierarchy.arrays
    beside = set(bounds_of(specs)).union(*map(coordinates_of, specs))
    along = [spec for spec in specs if spec.name not in beside and not _is_index(spec)]
    if joining.concat is not None:
        along = [spec for spec in along if _has(spec, joining.concat)]
    data = frozenset(spec.name for spec in along if spec.rank > 1)
    return data or frozenset(spec.name for spec in along)


def _is_index(spec: ArraySpec) -> bool:
    """Whether an array is the coordinate of its only dimension."""
    return spec.rank == 1 and spec.dimension_names[0] == spec.name.rpartition("/")[2]


def _has(spec: ArraySpec, dimension: str) -> bool:
    named = dimension in spec.dimension_names
    return named or (dimension.isdecimal() and int(dimension) < spec.rank)
