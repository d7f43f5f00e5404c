"""Several series of stores as one dataset: what more than one has must be the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from parchunk.metadata.names import documents_of
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.equality import differing, same_chunks
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.members import (
    Dataset,
    Joined,
    JoinedArray,
    Member,
    ToCompare,
)
from parchunk.planning.joining.merging import merge
from parchunk.planning.joining.misfits import MisfitError
from parchunk.planning.joining.series import Series
from parchunk.planning.joining.values import KeptArray, ObjectReader


def side_by_side(
    datasets: Sequence[Dataset],
    series: Sequence[Series],
    sources: Sequence[ObjectReader],
    joining: Joining,
) -> Dataset:
    """Return the datasets that series are as one; ``sources`` are where all stores' chunks are.

    Raises
    ------
    MisfitError
        With everything that several have and that is not the same.
    SourceError
        When a store cannot be read.
    """
    doing = str(joining)
    labels = [one.label for one in series]
    merged = merge(
        (Member(label, made.hierarchy) for label, made in zip(labels, datasets, strict=True)),
        doing=doing,
    )
    first = _First(datasets, series, sources, labels)
    problems = []
    for one in merged.to_compare:
        problem = first.problem(one, believed=joining.static == "first")
        if problem is not None:
            problems.append(problem)
    if problems:
        raise MisfitError(doing, problems)
    offsets = [0]
    for dataset in datasets:
        offsets.append(offsets[-1] + len(dataset.joined.labels))
    arrays: dict[str, JoinedArray] = {}
    kept: dict[str, KeptArray] = {}
    for at in reversed(range(len(datasets))):  # so that the first one that has an array is taken
        for name, array in datasets[at].joined.arrays.items():
            arrays[name] = _placed(array, at, offsets[at])
        kept.update((one.spec.name, one) for one in datasets[at].kept)
    orders = [
        [one.members[own] for own in dataset.joined.order]
        for one, dataset in zip(series, datasets, strict=True)
    ]
    joined = Joined(
        hierarchy=merged.hierarchy,
        dimension=joining.dimension,
        borders=(),
        arrays={spec.name: arrays[spec.name] for spec in merged.hierarchy.arrays},
        labels=tuple(label for dataset in datasets for label in dataset.joined.labels),
        order=tuple(at for order in orders for at in order),
        notes=_notes(datasets, labels, merged),
        series=tuple(dataset.joined.borders for dataset in datasets),
        beside=_beside(datasets, arrays),
    )
    return Dataset(joined, tuple(sorted(kept.values(), key=lambda one: one.spec.name)))


class _First:
    """What is held of the arrays that several series have."""

    def __init__(
        self,
        datasets: Sequence[Dataset],
        series: Sequence[Series],
        sources: Sequence[ObjectReader],
        labels: Sequence[str],
    ) -> None:
        self._datasets, self._series = datasets, series
        self._sources, self._labels = sources, labels
        self._kept = [{one.spec.name: one for one in dataset.kept} for dataset in datasets]

    def problem(self, wanted: ToCompare, believed: bool) -> str | None:
        """Return why an array of several series is not one, None where it is."""
        numbers = [at for at, _ in wanted.parts]
        held = [self._kept[at].get(wanted.name) for at in numbers]
        labels = [self._labels[at] for at in numbers]
        if all(one is not None for one in held):
            return _other_values([one for one in held if one is not None], labels)
        for at in numbers:
            if self._datasets[at].joined.arrays[wanted.name].axis is not None:
                return (
                    f"{wanted.name}: its chunks are in {labels[0]} and in {labels[1]}, and an "
                    "array is of one series (leave it out with --exclude)"
                )
        if any(one is not None for one in held) or not believed:
            return self._other_chunks(wanted, numbers)
        return None

    def _other_chunks(self, wanted: ToCompare, numbers: Sequence[int]) -> str | None:
        """Compare arrays without the dimension, each as the first store of its series has it."""
        parts: list[tuple[int, ArraySpec]] = []
        sources: list[ObjectReader] = []
        for place, (at, spec) in enumerate(wanted.parts):
            joined = self._datasets[at].joined
            if wanted.name in self._kept[at]:
                return f"{wanted.name}: differs between the stores of {self._labels[at]}"
            own = joined.arrays[wanted.name].stretches[0].store
            sources.append(self._sources[self._series[at].members[joined.order[own]]])
            parts.append((place, spec))
        return differing(
            ToCompare(wanted.name, tuple(parts)), sources, [self._labels[at] for at in numbers]
        )


def _other_values(held: Sequence[KeptArray], labels: Sequence[str]) -> str | None:
    first = held[0]
    for one, label in zip(held[1:], labels[1:], strict=True):
        if first.chunk != one.chunk and not same_chunks(first.spec, first.chunk, one):
            return f"{first.spec.name}: has other values in {label} than in {labels[0]}"
    return None


def _placed(joined: JoinedArray, series: int, offset: int) -> JoinedArray:
    stretches = tuple(replace(one, store=one.store + offset) for one in joined.stretches)
    return replace(joined, stretches=stretches, series=series)


def _beside(
    datasets: Sequence[Dataset], arrays: Mapping[str, JoinedArray]
) -> dict[str, tuple[int, ...]]:
    """Return how many keys all stores have below arrays that are not referenced there."""
    found = {}
    for name in arrays:
        keys: list[int] = []
        for at, dataset in enumerate(datasets):
            own = list(dataset.joined.beside.get(name, (0,) * len(dataset.joined.labels)))
            array = dataset.joined.arrays.get(name)
            # It is referenced where the first series has it, and nowhere else.
            other = array is not None and array.axis is None and arrays[name].series != at
            if array is not None and other and array.stretches:
                own[array.stretches[0].store] = array.spec.total + len(documents_of(array.spec))
            keys += own
        if any(keys):
            found[name] = tuple(keys)
    return found


def _notes(datasets: Sequence[Dataset], labels: Sequence[str], merged: Joined) -> tuple[str, ...]:
    notes = {
        f"{label}: {note}": None
        for label, dataset in zip(labels, datasets, strict=True)
        for note in dataset.joined.notes
    }
    return (*notes, *merged.notes)
