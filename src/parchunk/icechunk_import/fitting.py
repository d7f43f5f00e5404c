"""Whether OUT's arrays can follow a repository's along a dimension, and what is written if so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.icechunk_import.appending import Appending, axis_of, origin_of
from parchunk.icechunk_import.held_arrays import HeldArrays
from parchunk.icechunk_import.history import Append
from parchunk.icechunk_import.out_values import ValuesInOut
from parchunk.metadata.names import group_of
from parchunk.metadata.nodes import parse_array, read_v3_node
from parchunk.metadata.spec import ArraySpec, JSONObject
from parchunk.metadata.to_v3 import V3Documents
from parchunk.planning.joining.bounds import bounds_of, sharing_units, units_of
from parchunk.planning.joining.comparing import Reference
from parchunk.planning.joining.concatenation import MOST_READ
from parchunk.planning.joining.equality import MOST_BYTES, same_values
from parchunk.planning.joining.keeping import Holding, keep
from parchunk.planning.joining.members import JoinedArray, ToRead
from parchunk.planning.joining.misfits import MisfitError, Misfits, Notes
from parchunk.planning.joining.values import values_of
from parchunk.planning.plan import Plan

#: What to do where the two do not go together.
_REMEDY = "leave the arrays out with --exclude where the repository has none, or import elsewhere"


def fit(
    plan: Plan,
    documents: V3Documents,
    dimension: str,
    held: HeldArrays,
    in_out: ValuesInOut,
    before: Append | None,
) -> Appending:
    """Return how the plan's arrays follow those of a repository along ``dimension``.

    ``before`` is what an earlier append of the same references said, whose place they keep.

    Raises
    ------
    MisfitError
        With everything that does not fit, naming both sides.
    InputError
        When there is nothing along the dimension, or values cannot be read.
    """
    work = _Fitting(plan, documents, dimension, held, in_out, before)
    work.compare()
    work.check()
    work.compare_static()
    work.join_coordinates()
    work.check()
    return work.made()


@dataclass
class _Fitting:
    plan: Plan
    documents: V3Documents
    dimension: str
    held: HeldArrays
    in_out: ValuesInOut
    before: Append | None
    misfits: Misfits = field(default_factory=Misfits)
    notes: Notes = field(default_factory=Notes)
    offsets: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    #: Arrays along the dimension that are read, and whether their chunks fit.
    readable: dict[str, bool] = field(default_factory=dict)
    resized: dict[str, JSONObject] = field(default_factory=dict)
    values: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ours = {
            name: parse_array(read_v3_node(name, json.dumps(document).encode()))
            for name, document in self.documents.arrays.items()
        }
        self.bounds = bounds_of(self.ours.values())
        self.label = self.in_out.url

    def compare(self) -> None:
        """Compare every array along the dimension with the one that it follows."""
        along = {
            name: axis
            for name, spec in sorted(self.ours.items())
            if (axis := axis_of(spec, self.dimension)) is not None
        }
        if not along:
            known = dict.fromkeys(n for s in self.ours.values() for n in s.dimension_names if n)
            raise InputError(
                f"--append {self.dimension}: no array of {self.label} has that dimension; there "
                f"are: {', '.join(known) or 'none that is named'}"
            )
        if self.before is not None:
            self.offsets |= self.before.offsets
        for name, axis in along.items():
            theirs = self.held.spec(name)
            if theirs is None:
                self.misfits.say(f"{name}: is in {self.label}, and not in {self.held.url}")
                continue
            self._compare(name, axis, self.ours[name], theirs)
        for group in {group_of(name) for name in along}:
            for name in self.held.along(self.dimension, group):
                if name not in along:
                    self.misfits.say(
                        f"{name}: has {self.dimension} in {self.held.url}, and is not in "
                        f"{self.label} (it would be shorter than the others)"
                    )

    def _compare(self, name: str, axis: int, ours: ArraySpec, theirs: ArraySpec) -> None:
        reference = Reference(self.held.url, theirs)
        differing = list(reference.shape_misfits(self.label, ours, axis))
        if differing or theirs.rank != ours.rank:
            for misfit in differing:
                self.misfits.add(misfit)
            return
        self._take_length(name, ours.shape[axis], theirs.shape[axis])
        alone = axis == 0 and (ours.rank == 1 or name in self.bounds)
        total = prod(ours.shape[1:]) * (ours.shape[0] + theirs.shape[0]) if alone else 0
        readable = alone and total <= MOST_READ
        reference.compare_attributes(self.label, ours, self.misfits, self.notes, converted=readable)
        chunks = list(reference.chunk_misfits(self.label, ours))
        offset, length = self.offsets[group_of(name)], theirs.chunks[axis]
        if readable:
            same = all(
                ours.attributes.get(key) == theirs.attributes.get(key)
                for key in ("units", "calendar")
            )
            self.readable[name] = same and not chunks and offset % length == 0
            return
        for misfit in chunks:
            self.misfits.add(misfit)
        if offset % length:
            self.misfits.say(
                f"{name}: its chunks are {length} long along {self.dimension}, and {offset} "
                f"elements in {self.held.url} are no multiple of that: only what begins with a "
                "chunk can be appended"
            )

    def _take_length(self, name: str, ours: int, theirs: int) -> None:
        """Note where an array's elements go, which all of its group must agree in."""
        group = group_of(name)
        if self.lengths.setdefault(group, ours) != ours:
            self.misfits.say(
                f"{name}: {ours} elements along {self.dimension} in {self.label}, where others "
                f"have {self.lengths[group]}"
            )
        if self.before is None:
            if self.offsets.setdefault(group, theirs) != theirs:
                self.misfits.say(
                    f"{name}: {theirs} elements along {self.dimension} in {self.held.url}, where "
                    f"others have {self.offsets[group]}"
                )
            return
        if group not in self.before.offsets:
            self.misfits.say(f"{name}: its group was not there when {self.label} was appended")
            self.offsets.setdefault(group, theirs)
            return
        end = self.before.offsets[group] + self.before.lengths[group]
        if ours < self.before.lengths[group] or theirs < end:
            self.misfits.say(
                f"{name}: {theirs} elements in {self.held.url} and {ours} in {self.label}, fewer "
                f"than when it was appended"
            )
        elif theirs != end and ours != self.before.lengths[group]:
            self.misfits.say(
                f"{name}: {self.label} grew from {self.before.lengths[group]} to {ours} elements, "
                f"and {self.held.url} has {theirs - end} of others behind it"
            )

    def check(self) -> None:
        """Raise what keeps the two apart."""
        if self.misfits.found:
            raise MisfitError(f"--append {self.dimension}", self.misfits.found, _REMEDY)

    def compare_static(self) -> None:
        """Compare arrays without the dimension, which stay as the repository has them."""
        left, large = [], []
        for name, ours in sorted(self.ours.items()):
            if axis_of(ours, self.dimension) is not None or group_of(name) not in self.offsets:
                continue
            theirs = self.held.spec(name)
            if theirs is None:
                left.append(name)
                continue
            reference = Reference(self.held.url, theirs)
            changed = reference.meaning_changed(self.label, ours)
            if changed is not None:
                self.misfits.add(changed)
            elif ours.shape != theirs.shape:
                self.misfits.say(
                    f"{name}: shape {list(theirs.shape)} in {self.held.url}, {list(ours.shape)} in "
                    f"{self.label}"
                )
            elif ours.itemsize * prod(ours.shape) > MOST_BYTES:
                large.append(name)
            elif not same_values(self.held.values(name), self.in_out.values(name, ours)):
                self.misfits.say(
                    f"{name}: has other values in {self.label} than in {self.held.url}"
                )
        if left:
            self.notes.line(f"left out, as the repository has none: {', '.join(left)}")
        if large:
            self.notes.line(f"not compared, as they are large, and left: {', '.join(large)}")

    def join_coordinates(self) -> None:
        """Join the values along the dimension alone, in the repository's units and data types."""
        held = {name: self._holdings(name) for name in self.readable}
        specs = {name: self.ours[name] for name in self.readable}
        for name, fits in self.readable.items():
            theirs = self.held.spec(name)
            assert theirs is not None
            wanted = ToRead(
                JoinedArray(theirs, 0, ()),
                (),
                is_coordinate=theirs.dimension_names
                == (self.dimension,)
                == (name.rpartition("/")[2],),
                units_from=self.bounds.get(name),
            )
            family = sharing_units(name, self.bounds, specs)
            beside = [one for other in sorted(family) for one in held[other]]
            kept = keep(f"--append {self.dimension}", wanted, held[name], beside)
            joined = (
                values_of(name, kept.spec, {kept.spec.keys.tail((0,) * kept.spec.rank): kept.chunk})
                if kept.chunk is not None
                else held[name][0].values
            )
            offset = self.offsets[group_of(name)]
            units = [spec.attributes.get("units") for spec in (kept.spec, theirs)]
            before = held[name][0].values
            if units[0] != units[1] or not _is_same(joined[:offset], before):
                self.misfits.say(
                    f"{name}: its values in {self.label} are not exact as {before.dtype} in "
                    f"{units[1] or 'no units'}, as {self.held.url} has them"
                )
            elif not fits:
                self.values[name] = joined[offset:]

    def _holdings(self, name: str) -> Sequence[Holding]:
        theirs, ours = self.held.spec(name), self.ours[name]
        assert theirs is not None
        bounded = self.bounds.get(name, "")
        offset = self.offsets[group_of(name)]
        return [
            Holding(
                self.held.url,
                theirs,
                self.held.values(name)[:offset],
                **units_of(theirs, self.held.spec(bounded) if bounded else None),
            ),
            Holding(
                self.label,
                ours,
                self.in_out.values(name, ours),
                **units_of(ours, self.ours.get(bounded)),
            ),
        ]

    def made(self) -> Appending:
        """Return what is to be done."""
        for name, ours in self.ours.items():
            axis = axis_of(ours, self.dimension)
            if axis is None:
                continue
            document = self.held.document(name)
            shape = list(document["shape"])
            end = self.offsets[group_of(name)] + ours.shape[axis]
            if shape[axis] < end:
                shape[axis] = end
                self.resized[name] = {**document, "shape": shape}
        append = Append(
            self.dimension,
            origin_of(self.plan),
            dict(sorted(self.offsets.items())),
            dict(sorted(self.lengths.items())),
            tuple(name for name, fits in self.readable.items() if not fits),
        )
        notes = tuple(self.notes.lines)
        return Appending(self.plan, append, self.resized, self.values, self.before, notes)


def _is_same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.dtype == other.dtype and same_values(one, other)
