"""Stores one after another along a dimension that they have: `concatenate`. No I/O.

Members are taken one by one, and only what differs between them is kept: ten thousand stores are
joined in the memory of one and their lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod
from typing import TypeAlias

from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.bounds import bounds_of, check_shared_units
from parchunk.planning.joining.comparing import Reference
from parchunk.planning.joining.gathering import Gathering, check_join
from parchunk.planning.joining.members import (
    Joined,
    JoinedArray,
    Member,
    Stretch,
    ToCompare,
    ToRead,
)
from parchunk.planning.joining.misfits import Misfits, some_stores
from parchunk.planning.plan import Split

#: Elements of an array along the dimension that are read from all stores together, at most.
MOST_READ = 5_000_000


#: Tells the order of stores from their specs of the dimension's coordinate, ``(store, spec)``.
Ordering: TypeAlias = Callable[[Sequence[tuple[int, ArraySpec]]], Sequence[int]]


def concatenate(
    members: Iterable[Member],
    dimension: str,
    *,
    join: str = "exact",
    inline: bool = True,
    ordering: Ordering | None = None,
) -> Joined:
    """Return the dataset whose stores follow each other along ``dimension``.

    ``dimension`` is a name, or an axis number where arrays name no dimensions. ``join`` says what
    becomes of arrays that only some stores have: ``exact`` refuses them, ``inner`` leaves them
    out, ``outer`` takes their chunks elsewhere for missing. Unless ``inline``, coordinates along
    the dimension are taken as any other array, and must fit as such. ``ordering`` puts the stores
    in order when all have been seen; they are in the order of ``members`` otherwise.

    Raises
    ------
    MisfitError
        With everything that does not fit.
    InputError
        When no array has the dimension, or there is no store.
    """
    check_join(join)
    work = Concatenation(dimension, join, inline)
    for member in members:
        work.add(member)
    if ordering is not None:
        work.put_in_order(ordering)
    return work.joined()


class _Found:
    """One array in the stores that were seen."""

    def __init__(self, label: str, spec: ArraySpec, axis: int | None) -> None:
        self.reference = Reference(label, spec)
        self.axis = axis
        self.parts: dict[int, ArraySpec] = {}
        self._alike: dict[tuple[int, ...], ArraySpec] = {}
        #: What only matters when its chunks are referenced, and not its values read.
        self.as_data = Misfits()

    def add(self, store: int, label: str, spec: ArraySpec, readable: bool, work: Gathering) -> None:
        """Compare the array of one more store with the first's, and keep what differs."""
        reference = self.reference
        first = reference.spec
        for misfit in reference.shape_misfits(label, spec, self.axis):
            work.misfits.add(misfit)
        misfits = self.as_data if readable or self.axis is None else work.misfits
        for misfit in reference.chunk_misfits(label, spec):
            if misfit.what in ("zarr_format", "chunk keys") and self.axis is not None:
                work.misfits.add(misfit)
            else:
                misfits.add(misfit)
        reference.compare_attributes(label, spec, work.misfits, work.notes, converted=readable)
        if readable and spec.attributes != first.attributes:
            for name in ("units", "calendar"):
                mine, theirs = first.attributes.get(name), spec.attributes.get(name)
                if mine != theirs:
                    self.as_data.say(
                        f"{first.name}: attribute {name} {mine!r} in {reference.label}, "
                        f"{theirs!r} in {label}"
                    )
        self.keep(store, spec)

    def keep(self, store: int, spec: ArraySpec) -> None:
        """Keep the array of one store; documents that are alike are kept once."""
        first = self.reference.spec
        if self.reference.has_same_document(spec):
            same = spec.attributes == first.attributes
            attributes = first.attributes if same else spec.attributes
            alike = replace(first, shape=spec.shape, attributes=attributes)
            spec = self._alike.setdefault(spec.shape, alike) if same else alike
        self.parts[store] = spec

    def length(self, store: int) -> int:
        """Return how many elements a store has along the dimension."""
        assert self.axis is not None
        return self.parts[store].shape[self.axis]


class Concatenation:
    """Takes in stores one after another; `joined` is the dataset: see `concatenate`."""

    def __init__(self, dimension: str, join: str, inline: bool) -> None:
        self.work = Gathering(f"--concat {dimension}")
        self.dimension = dimension
        self.join, self.inline = join, inline
        self.found: dict[str, _Found] = {}
        self.extents: list[int] = []
        self.known: dict[str, None] = {}
        self.order: tuple[int, ...] | None = None
        #: Arrays by the name of the one whose units they share: bounds, and what they bound.
        self.bounds: dict[str, str] = {}

    def add(self, member: Member) -> None:
        """Take in one more store."""
        store = self.work.add(member)
        specs = member.hierarchy.arrays
        self.bounds.update(bounds_of(specs))
        lengths: dict[str, int] = {}
        for spec in specs:
            self.known.update((name, None) for name in spec.dimension_names if name is not None)
            axis = self._axis(spec)
            if axis is not None:
                lengths[spec.name] = spec.shape[axis]
            found = self.found.get(spec.name)
            if found is None:
                found = self.found[spec.name] = _Found(member.label, spec, axis)
                found.keep(store, spec)
            elif found.reference.spec.rank != spec.rank or found.axis != axis:
                for misfit in found.reference.shape_misfits(member.label, spec, axis):
                    self.work.misfits.add(misfit)
                if found.reference.spec.dimension_names == spec.dimension_names:
                    self.work.misfits.say(f"{spec.name}: another rank in {member.label}")
                found.parts[store] = spec
            else:
                found.add(store, member.label, spec, self._readable(spec, axis), self.work)
        self._take_extent(member, lengths)

    def put_in_order(self, ordering: Ordering) -> None:
        """Put the stores in the order of their coordinates, where all have one."""
        coordinates = [
            found
            for name, found in sorted(self.found.items(), key=lambda item: item[0].count("/"))
            if self._is_coordinate(found.reference.spec)
            and len(found.parts) == len(self.work.labels)
        ]
        if not coordinates:
            self.work.notes.line(
                f"the stores have no coordinate {self.dimension}: they are in the order of their "
                "names"
            )
            return
        self.order = tuple(ordering(tuple(coordinates[0].parts.items())))
        now = {before: after for after, before in enumerate(self.order)}
        self.work.labels = [self.work.labels[before] for before in self.order]
        self.extents = [self.extents[before] for before in self.order]
        for found in self.found.values():
            found.parts = {
                now[before]: found.parts[before] for before in self.order if before in found.parts
            }

    def joined(self) -> Joined:
        """Return the dataset, or raise what keeps the stores apart."""
        work = self.work
        if not work.labels:
            raise InputError(f"{work.doing}: no store is given")
        if not any(found.axis is not None for found in self.found.values()):
            known = ", ".join(self.known) or "none that is named, so give an axis number"
            raise InputError(
                f"{work.doing}: no array has that dimension; there are: {known}; --stack makes a "
                "new one"
            )
        borders = (0, *accumulate(self.extents))
        arrays: dict[str, JoinedArray] = {}
        to_read: list[ToRead] = []
        to_compare: list[ToCompare] = []
        for name, found in sorted(self.found.items()):
            if len(found.parts) < len(work.labels):
                along = found.axis is not None
                if not work.takes_part(name, found.parts, self.join, along):
                    continue
            arrays[name] = joined = self._array(found, borders)
            parts = tuple(found.parts.items())
            if found.axis is None:
                if len(parts) > 1:
                    to_compare.append(ToCompare(name, parts))
            elif self._is_read(found, borders[-1]):
                to_read.append(self._reading(joined, parts))
                if len(parts) < len(work.labels):
                    work.misfits.say(
                        f"{name}: is read along {self.dimension} and not in "
                        f"{work.absent_in(found.parts)}; leave it out with --exclude"
                    )
            else:
                self._check_as_data(found)
                bounded = self.found.get(self.bounds.get(name, ""))
                if bounded is not None:
                    check_shared_units(work.misfits, found.parts, bounded.parts, work.labels)
        return work.joined(
            arrays,
            self.dimension,
            borders,
            order=self.order,
            to_read=to_read,
            to_compare=to_compare,
        )

    def _axis(self, spec: ArraySpec) -> int | None:
        axis = Split(self.dimension).axis_in(spec)
        if axis is None and self.dimension.isdecimal():
            axis = Split(None, int(self.dimension)).axis_in(spec)
        return axis

    def _is_coordinate(self, spec: ArraySpec) -> bool:
        return spec.dimension_names == (self.dimension,) == (spec.name.rpartition("/")[2],)

    def _readable(self, spec: ArraySpec, axis: int | None) -> bool:
        """Whether an array's values are read where they are not too many: it is along DIM alone."""
        return self.inline and axis == 0 and (spec.rank == 1 or spec.name in self.bounds)

    def _is_read(self, found: _Found, extent: int) -> bool:
        spec = found.reference.spec
        others = prod(size for axis, size in enumerate(spec.shape) if axis != found.axis)
        return self._readable(spec, found.axis) and extent * others <= MOST_READ

    def _take_extent(self, member: Member, lengths: Mapping[str, int]) -> None:
        """Note the length of the dimension in a store, in which all arrays must agree."""
        if not lengths:
            self.extents.append(0)
            self.work.misfits.say(f"{member.label} has no array along {self.dimension}")
            return
        leader = max(lengths, key=lambda name: (name.rpartition("/")[2] == self.dimension, name))
        self.extents.append(lengths[leader])
        for name, length in lengths.items():
            if length != lengths[leader]:
                self.work.misfits.say(
                    f"{name}: {length} elements along {self.dimension} in {member.label}, where "
                    f"{leader} has {lengths[leader]}"
                )

    def _array(self, found: _Found, borders: tuple[int, ...]) -> JoinedArray:
        first = found.reference.spec
        if found.axis is None:
            store = next(iter(found.parts))
            return JoinedArray(first, None, (Stretch(store, 0, 0),))
        stretches = tuple(
            Stretch(store, borders[store], borders[store + 1])
            for store in found.parts
            if borders[store] < borders[store + 1]
        )
        return JoinedArray(longer(first, found.axis, borders[-1]), found.axis, stretches)

    def _reading(self, joined: JoinedArray, parts: tuple[tuple[int, ArraySpec], ...]) -> ToRead:
        spec = joined.spec
        bounded = self.bounds.get(spec.name)
        return ToRead(
            joined,
            parts,
            is_coordinate=self._is_coordinate(spec),
            units_from=bounded if bounded in self.found else None,
        )

    def _check_as_data(self, found: _Found) -> None:
        """Add what keeps an array's chunks from being one array's: its borders within chunks."""
        assert found.axis is not None
        spec = found.reference.spec
        for misfit in found.as_data.found:
            self.work.misfits.say(str(misfit))
        length = spec.chunks[found.axis]
        last = max((i for i, extent in enumerate(self.extents) if extent), default=0)
        wrong = [i for i, extent in enumerate(self.extents[:last]) if extent % length]
        if wrong:
            labels = some_stores([self.work.labels[i] for i in wrong])
            self.work.misfits.say(
                f"{spec.name}: its chunks are {length} long along {self.dimension}, and "
                f"{self.extents[wrong[0]]} elements in {labels} are no multiple of that: only the "
                "last store may end within a chunk"
            )


def longer(spec: ArraySpec, axis: int, length: int) -> ArraySpec:
    """Return an array with another length along one axis, its document as well."""
    shape = (*spec.shape[:axis], length, *spec.shape[axis + 1 :])
    return replace(spec, shape=shape, document={**spec.document, "shape": list(shape)})
