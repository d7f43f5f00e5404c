"""From the stores' hierarchies to the one of all: fitted, coordinates read and joined, compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from functools import partial
from math import isfinite

import numpy as np

from parchunk.errors import InputError
from parchunk.metadata.names import documents_of
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.bounds import sharing_units, units_of
from parchunk.planning.joining.concatenation import Concatenation
from parchunk.planning.joining.equality import differing
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.keeping import Holding, keep, time_units
from parchunk.planning.joining.labels import keep_labels
from parchunk.planning.joining.masking import masked, with_sign
from parchunk.planning.joining.members import (
    Dataset,
    Joined,
    JoinedArray,
    Member,
    Stretch,
    ToCompare,
    ToRead,
)
from parchunk.planning.joining.merging import merge
from parchunk.planning.joining.misfits import Misfit, MisfitError
from parchunk.planning.joining.order import Span, rising_order, time_unit
from parchunk.planning.joining.series import Series, sort_out
from parchunk.planning.joining.side_by_side import side_by_side
from parchunk.planning.joining.stacked_array import stacked_spec
from parchunk.planning.joining.values import KeptArray, ObjectReader, read_values
from parchunk.stores.side_by_side import in_threads


def join_stores(
    members: Iterable[Member], sources: Sequence[ObjectReader], joining: Joining
) -> Dataset:
    """Return stores put together; ``sources`` are where the members' chunks are, in their order.

    Reads coordinates of the dimension and arrays that must be the same, nothing else.

    Raises
    ------
    MisfitError
        With everything that does not fit.
    InputError, SourceError
        When there is no store, or one cannot be read.
    """
    if joining.dimension is None:
        return _read(merge(members), sources, joining, joining.labels)
    series = sort_out(members, joining)
    found = _joined(series, sources, joining)
    if len(joining.labels) not in (0, len(sources)):
        # Said of all of them, and not of the first series that lacks one.
        keep_labels(str(joining.dimension), joining.labels, len(sources), 2)
    datasets = [
        _read(
            joined,
            [sources[at] for at in one.members],
            joining,
            [joining.labels[at] for at in one.members] if joining.labels else (),
            one.below,
        )
        for one, joined in zip(series, found, strict=True)
    ]
    if len(datasets) == 1:
        return datasets[0]
    return side_by_side(datasets, series, sources, joining)


def _joined(
    series: Sequence[Series], sources: Sequence[ObjectReader], joining: Joining
) -> list[Joined]:
    """Return what each series is, or raise what keeps stores apart in any of them."""
    found: list[Joined] = []
    misfits: list[Misfit | str] = []
    for one in series:
        try:
            if joining.by_pattern and isinstance(one.work, Concatenation):
                own = [sources[at] for at in one.members]
                one.work.put_in_order(partial(_order, sources=own))
            found.append(one.work.joined())
        except MisfitError as error:
            misfits += error.misfits
    if misfits:
        raise MisfitError(str(joining), misfits)
    return found


def _read(
    joined: Joined,
    sources: Sequence[ObjectReader],
    joining: Joining,
    labels: Sequence[str],
    below: str = "",
) -> Dataset:
    """Return a dataset whose coordinates are read, and compared what must be the same."""
    work = _Reading(joined, [sources[at] for at in joined.order], joining)
    work.compare()
    kept = work.read()
    if labels:
        assert joining.stack is not None
        kept.append(work.label(joining.stack, labels, kept, below))
    return Dataset(work.finished(kept), tuple(sorted(kept, key=lambda one: one.spec.name)))


def _order(
    parts: Sequence[tuple[int, ArraySpec]], sources: Sequence[ObjectReader]
) -> Sequence[int]:
    """Return the stores in the order of their coordinate's values, dates where they are."""
    values = in_threads(lambda part: read_values(sources[part[0]], part[1]), parts)
    unit = time_unit([Span("", some) for some in values if some.size])
    spans = []
    for (store, spec), some in zip(parts, values, strict=True):
        # What has no value is told when all are compared.
        some = some[~Span("", some, masked(some, spec, is_coordinate=True)).none]
        if some.dtype.kind in "mM":
            some = (some if unit is None else some.astype(unit)).astype(np.int64)
        elif some.dtype.kind not in "iuf":
            return [store for store, _ in parts]
        some = with_sign(some, spec)
        units = time_units(Holding("", spec, some, **units_of(spec, None)))
        ends = [some.item(0), some.item(-1)] if some.size else []
        if units is not None:
            ends = [
                units.origin + round(end * units.length) if isfinite(end) else end for end in ends
            ]
        spans.append(Span("", np.array(ends, object if units is not None else None)))
    return [parts[at][0] for at in rising_order(spans)]


class _Reading:
    """What is read from the stores of a dataset, and what becomes of it then."""

    def __init__(self, joined: Joined, sources: Sequence[ObjectReader], joining: Joining) -> None:
        self.joined, self.sources, self.joining = joined, sources, joining
        self.to_read = list(joined.to_read)
        self.notes = list(joined.notes)

    def compare(self) -> None:
        """Compare what must be the same everywhere; what may differ is to be stacked then.

        Raises
        ------
        MisfitError
            Naming every array that differs.
        """
        compared = self.joined.to_compare
        believed = [one for one in compared if not one.may_differ]
        if self.joining.static == "first" and believed:
            self.notes.append(
                f"not compared, and taken from {self.joined.labels[0]}: "
                + ", ".join(one.name for one in believed)
            )
            compared = tuple(one for one in compared if one.may_differ)
        answers = in_threads(lambda one: differing(one, self.sources, self.joined.labels), compared)
        found = []
        for one, answer in zip(compared, answers, strict=True):
            if answer is not None and one.may_differ:
                self.to_read.append(self._stacked(one))
            elif answer is not None:
                found.append(answer)
        if found:
            remedy = "--static first takes those of the first store that has them"
            raise MisfitError(str(self.joining), found, remedy)

    def _stacked(self, one: ToCompare) -> ToRead:
        assert self.joining.stack is not None
        count = len(self.sources)
        try:
            spec = stacked_spec(one.parts[0][1], self.joining.stack, count)
        except UnsupportedFeatureError as error:
            raise MisfitError(
                str(self.joining), [f"{one.name}: cannot be stacked, as it has {error}"]
            ) from None
        stretches = tuple(Stretch(store, store, store + 1) for store, _ in one.parts)
        joined = JoinedArray(spec, 0, stretches, stacked=True)
        return ToRead(joined, one.parts, units_from=one.units_from)

    def read(self) -> list[KeptArray]:
        """Return the arrays whose values are read from all stores, joined."""
        specs = {one.joined.spec.name: dict(one.parts) for one in self.to_read}
        parts = {
            one.joined.spec.name: self._holdings(one, specs.get(one.units_from or "", {}))
            for one in self.to_read
        }
        bounds = {one.joined.spec.name: one.units_from for one in self.to_read if one.units_from}
        read = {one.joined.spec.name: one.joined.spec for one in self.to_read}
        kept = []
        for wanted in self.to_read:
            name = wanted.joined.spec.name
            family = sharing_units(name, bounds, read)
            beside = [part for other in sorted(family) for part in parts[other]]
            kept.append(keep(str(self.joining), wanted, parts[name], beside))
        return kept

    def _holdings(self, wanted: ToRead, bounded: dict[int, ArraySpec]) -> list[Holding]:
        values = in_threads(lambda part: read_values(self.sources[part[0]], part[1]), wanted.parts)
        return [
            Holding(self.joined.labels[store], spec, some, **units_of(spec, bounded.get(store)))
            for (store, spec), some in zip(wanted.parts, values, strict=True)
        ]

    def label(
        self, dimension: str, labels: Sequence[str], kept: Sequence[KeptArray], below: str
    ) -> KeptArray:
        """Return the coordinate of a new dimension, in a group, that the labels are."""
        name = f"{below}/{dimension}" if below else dimension
        if any(one.spec.name == name for one in kept) or name in self.joined.arrays:
            raise InputError(
                f"--labels: the stores have an array {dimension} of their own: leave the labels "
                f"out, or the array with --exclude {dimension}"
            )
        zarr_format = self.joined.hierarchy.groups[0].zarr_format
        return keep_labels(dimension, labels, len(self.sources), zarr_format, below)

    def finished(self, kept: Sequence[KeptArray]) -> Joined:
        """Return the dataset's description with the arrays that are kept in their places."""
        arrays = dict(self.joined.arrays)
        arrays.update((one.spec.name, JoinedArray(one.spec, None, ())) for one in kept)
        specs = tuple(joined.spec for _, joined in sorted(arrays.items()))
        return replace(
            self.joined,
            arrays=arrays,
            hierarchy=replace(self.joined.hierarchy, arrays=specs),
            to_read=(),
            to_compare=(),
            notes=tuple(self.notes),
            beside=self._beside({one.spec.name for one in kept}),
        )

    def _beside(self, kept: Set[str]) -> dict[str, tuple[int, ...]]:
        """Return how many keys each store has below arrays that are not referenced there."""
        found = {}
        read = [(one.joined.spec.name, one.parts) for one in self.to_read]
        for name, parts in (*read, *((one.name, one.parts) for one in self.joined.to_compare)):
            keys = [0] * len(self.sources)
            for store, spec in parts:
                keys[store] = spec.total + len(documents_of(spec))
            if name not in kept:
                keys[parts[0][0]] = 0
            found[name] = tuple(keys)
        return found
