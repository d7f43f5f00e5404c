"""Stores side by side along a new leading dimension: `stack`. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from parchunk.metadata.names import group_of
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.bounds import bounds_of, check_shared_units
from parchunk.planning.joining.comparing import Reference
from parchunk.planning.joining.concatenation import MOST_READ
from parchunk.planning.joining.gathering import Gathering, check_join
from parchunk.planning.joining.members import (
    Joined,
    JoinedArray,
    Member,
    Stretch,
    ToCompare,
    ToRead,
)
from parchunk.planning.joining.misfits import Misfits
from parchunk.planning.joining.stacked_array import stacked_spec


def stack(members: Iterable[Member], dimension: str, *, join: str = "exact") -> Joined:
    """Return the dataset in which each store is one index of the new dimension ``dimension``.

    Coordinates of the stores' own dimensions stay as they are, and must be the same. So do
    arrays that are coordinates of others, unless they differ: then their values are read and
    stacked. A scalar named like the new dimension becomes its coordinate.

    Raises
    ------
    MisfitError
        With everything that does not fit.
    InputError
        When an array has the dimension already, or there is no store.
    """
    check_join(join)
    work = Stacking(dimension, join)
    for member in members:
        work.add(member)
    return work.joined()


class _Stacked:
    """One array in the stores that were seen."""

    def __init__(self, label: str, spec: ArraySpec) -> None:
        self.reference = Reference(label, spec)
        self.parts: dict[int, ArraySpec] = {}
        #: What only matters when its chunks are referenced, or when its values are stacked.
        self.as_data = Misfits()


class Stacking:
    """Takes in stores one after another; `joined` is the dataset that they are, see `stack`."""

    def __init__(self, dimension: str, join: str) -> None:
        self.work = Gathering(f"--stack {dimension}")
        self.dimension, self.join = dimension, join
        self.found: dict[str, _Stacked] = {}
        #: Arrays that others name as their coordinates, or as how to read them.
        self.named: set[str] = set()
        self.bounds: dict[str, str] = {}

    def add(self, member: Member) -> None:
        """Take in one more store."""
        store = self.work.add(member)
        self.bounds.update(bounds_of(member.hierarchy.arrays))
        for spec in member.hierarchy.arrays:
            self.named.update(coordinates_of(spec))
            if self.dimension in spec.dimension_names:
                self.work.misfits.say(
                    f"{spec.name} has the dimension {self.dimension} in {member.label}: --concat "
                    "joins along it"
                )
            found = self.found.get(spec.name)
            if found is None:
                found = self.found[spec.name] = _Stacked(member.label, spec)
            else:
                self._compare(found, member.label, spec)
            found.parts[store] = (
                found.reference.spec
                if found.reference.has_same_document(spec)
                and spec.shape == found.reference.spec.shape
                and spec.attributes == found.reference.spec.attributes
                else spec
            )

    def _compare(self, found: _Stacked, label: str, spec: ArraySpec) -> None:
        reference = found.reference
        for misfit in reference.shape_misfits(label, spec, None):
            self.work.misfits.add(misfit)
        for misfit in reference.chunk_misfits(label, spec):
            found.as_data.add(misfit)
        if spec.attributes != reference.spec.attributes:
            reference.compare_attributes(
                label, spec, self.work.misfits, self.work.notes, converted=True
            )
            strict = Misfits()
            reference.compare_attributes(label, spec, strict, self.work.notes)
            for one in strict.found:
                found.as_data.say(str(one))

    def joined(self) -> Joined:
        """Return the dataset, or raise what keeps the stores apart."""
        work, count = self.work, len(self.work.labels)
        arrays: dict[str, JoinedArray] = {}
        to_read: list[ToRead] = []
        to_compare: list[ToCompare] = []
        for name, found in sorted(self.found.items()):
            spec, parts = found.reference.spec, tuple(found.parts.items())
            if len(parts) < count and not self.work.takes_part(name, found.parts, self.join):
                continue
            if _is_own_coordinate(spec):
                arrays[name] = JoinedArray(spec, None, (Stretch(parts[0][0], 0, 0),))
                to_compare += [ToCompare(name, parts)] if len(parts) > 1 else []
                continue
            if self._may_stay(name, spec, count):
                # What becomes of it is seen when it has been compared: see `reading`.
                arrays[name] = JoinedArray(spec, None, (Stretch(parts[0][0], 0, 0),))
                if len(parts) > 1:
                    to_compare.append(self._comparing(name, parts))
                continue
            joined = self._array(found, count)
            if joined is None:
                continue
            arrays[name] = joined
            if spec.rank == 0 and name.rpartition("/")[2] == self.dimension:
                to_read.append(ToRead(joined, parts, is_coordinate=True))
                continue
            for misfit in found.as_data.found:
                work.misfits.say(str(misfit))
            bounded = self.found.get(self.bounds.get(name, ""))
            if bounded is not None:
                check_shared_units(work.misfits, found.parts, bounded.parts, work.labels)
        borders = tuple(range(count + 1))
        return work.joined(arrays, self.dimension, borders, to_read=to_read, to_compare=to_compare)

    def _may_stay(self, name: str, spec: ArraySpec, count: int) -> bool:
        """Whether an array is a coordinate, small enough to be read from each store."""
        if name.rpartition("/")[2] == self.dimension:
            return False
        named = name in self.named or name in self.bounds
        return named and prod(spec.shape) * count <= MOST_READ

    def _comparing(self, name: str, parts: tuple[tuple[int, ArraySpec], ...]) -> ToCompare:
        bounded = self.bounds.get(name)
        bounds = self.found.get(bounded or "")
        return ToCompare(
            name,
            parts,
            may_differ=len(parts) == len(self.work.labels),
            units_from=None if bounds is None else bounded,
            bounded={} if bounds is None else bounds.parts,
        )

    def _array(self, found: _Stacked, count: int) -> JoinedArray | None:
        spec = found.reference.spec
        try:
            joined = stacked_spec(spec, self.dimension, count)
        except UnsupportedFeatureError as error:
            self.work.misfits.say(f"{spec.name}: cannot be stacked, as it has {error}")
            return None
        stretches = tuple(Stretch(store, store, store + 1) for store in found.parts)
        return JoinedArray(joined, 0, stretches, stacked=True)


def _is_own_coordinate(spec: ArraySpec) -> bool:
    return spec.rank == 1 and spec.dimension_names[0] == spec.name.rpartition("/")[2]


def coordinates_of(spec: ArraySpec) -> set[str]:
    """Return the arrays of the same group that CF's attributes of an array name."""
    above = group_of(spec.name)
    found = set()
    for attribute in ("coordinates", "grid_mapping", "ancillary_variables", "cell_measures"):
        text = spec.attributes.get(attribute)
        for name in text.split() if isinstance(text, str) else ():
            if not name.endswith(":"):
                found.add(f"{above}/{name}" if above else name)
    return found
