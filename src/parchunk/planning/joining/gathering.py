"""What all ways of joining share: groups, what is left out, notes, and the hierarchy at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from parchunk.errors import InputError
from parchunk.metadata.names import ancestors
from parchunk.metadata.nodes import made_up_group, parse_group
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy, Refusal
from parchunk.planning.joining.comparing import compare_groups
from parchunk.planning.joining.members import Joined, JoinedArray, Member, ToCompare, ToRead
from parchunk.planning.joining.misfits import MisfitError, Misfits, Notes, some_stores

JOINS = ("exact", "inner", "outer")


class Gathering:
    """Takes in the members' groups and what concerns no one array, one member after another."""

    def __init__(self, doing: str) -> None:
        self.doing = doing
        self.misfits = Misfits()
        self.notes = Notes()
        self.labels: list[str] = []
        self._groups: dict[str, GroupSpec] = {}
        #: The first store that has an array, or a group, of a name.
        self._arrays: dict[str, str] = {}
        self._above: dict[str, str] = {}
        self._first: Hierarchy | None = None
        self._refused: dict[str, Refusal] = {}
        self._skipped: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        self._warnings: dict[str, list[str]] = {}

    def add(self, member: Member) -> int:
        """Take in one more store, and return its number."""
        hierarchy = member.hierarchy
        self.labels.append(member.label)
        if self._first is None:
            self._first = hierarchy
        for group in hierarchy.groups:
            known = self._groups.setdefault(group.name, group)
            if known is not group:
                label = self.labels[0]
                compare_groups(known.attributes, group.attributes, group.name, label, self.notes)
            self._above.setdefault(group.name, member.label)
        for spec in hierarchy.arrays:
            self._arrays.setdefault(spec.name, member.label)
        self._refused.update((one.name, one) for one in hierarchy.refused)
        self._skipped.update(hierarchy.skipped)
        self._left_out.update(hierarchy.left_out)
        for text in hierarchy.warnings:
            self._warnings.setdefault(text, []).append(member.label)
        return len(self.labels) - 1

    def check(self) -> None:
        """Raise what keeps the stores apart.

        Raises
        ------
        MisfitError
            With all misfits.
        """
        for name in sorted(self._arrays.keys() & self._above.keys()):
            self.misfits.say(
                f"{name} is an array in {self._arrays[name]}, and a group in {self._above[name]}"
            )
        if self.misfits.found:
            raise MisfitError(self.doing, self.misfits.found)

    def joined(
        self,
        arrays: Mapping[str, JoinedArray],
        dimension: str | None,
        borders: tuple[int, ...],
        *,
        order: tuple[int, ...] | None = None,
        to_read: Iterable[ToRead] = (),
        to_compare: Iterable[ToCompare] = (),
    ) -> Joined:
        """Return the dataset of those ``arrays`` that no store refuses or skips.

        The stores are in the ``order`` given, or as they came.

        Raises
        ------
        MisfitError
            With all misfits.
        """
        self.check()
        hierarchy = self._hierarchy(joined.spec for joined in arrays.values())
        kept = {spec.name for spec in hierarchy.arrays}
        return Joined(
            hierarchy=hierarchy,
            dimension=dimension,
            borders=borders,
            arrays={name: joined for name, joined in arrays.items() if name in kept},
            labels=tuple(self.labels),
            order=tuple(range(len(self.labels))) if order is None else order,
            to_read=tuple(one for one in to_read if one.joined.spec.name in kept),
            to_compare=tuple(one for one in to_compare if one.name in kept),
            notes=self.notes.lines,
        )

    def _hierarchy(self, arrays: Iterable[ArraySpec]) -> Hierarchy:
        """Return the hierarchy of all stores together, which has these arrays."""
        if self._first is None:
            raise InputError(f"{self.doing}: no store is given")
        left = set(self._refused) | {name for name, _ in self._skipped.items()}
        kept = sorted((spec for spec in arrays if spec.name not in left), key=lambda one: one.name)
        zarr_format = self._first.groups[0].zarr_format if self._first.groups else 2
        return Hierarchy(
            arrays=tuple(kept),
            groups=tuple(
                self._groups.get(name) or parse_group(made_up_group(name, zarr_format))
                for name in ancestors([*(spec.name for spec in kept), *self._refused])
            ),
            refused=tuple(self._refused.values()),
            skipped=tuple(sorted(self._skipped.items())),
            warnings=self._all_warnings(),
            left_out=tuple(sorted(self._left_out.items())),
            absent=tuple(n for n in self._first.absent if any(n == spec.name for spec in kept)),
            written_format=self._first.written_format,
        )

    def absent_in(self, holders: Iterable[int]) -> str:
        """Return the stores that are none of ``holders``, for a message."""
        having = set(holders)
        return some_stores([label for i, label in enumerate(self.labels) if i not in having])

    def takes_part(self, name: str, holders: Iterable[int], join: str, along: bool = True) -> bool:
        """Whether an array that only some stores have, ``holders``, is in the dataset.

        ``along`` says whether it has the dimension: of one that has not no chunks are missing.
        """
        absent = self.absent_in(holders)
        if join == "exact":
            self.misfits.say(
                f"{name}: is not in {absent} (--join inner leaves it out, --join outer takes its "
                "chunks there for missing)"
            )
        elif join == "inner":
            self.notes.line(f"{name} is left out: it is not in {absent}")
        elif along:
            self.notes.line(f"{name} is missing where it is not in a store: {absent}")
        return join == "outer"

    def _all_warnings(self) -> tuple[str, ...]:
        count = len(self.labels)
        return tuple(
            text if count == 1 else f"{text} ({_which(labels, count)})"
            for text, labels in self._warnings.items()
        )


def _which(labels: Sequence[str], count: int) -> str:
    if len(labels) == count:
        return f"all {count:,} stores"
    return labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1:,} more"


def check_join(join: str) -> None:
    """Raise `InputError` for a word that is no way of joining."""
    if join not in JOINS:
        raise InputError(f"--join {join}: give exact, inner or outer")
