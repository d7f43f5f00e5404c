"""A store of a dataset, and what becomes of all of them together: as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.joining.values import KeptArray


@dataclass(frozen=True)
class Member:
    """One store: what messages call it, and its hierarchy, whose names are those of the dataset."""

    label: str
    hierarchy: Hierarchy
    #: The group that it is put below.
    below: str = ""

    @property
    def by_name(self) -> dict[str, ArraySpec]:
        """Its arrays by name."""
        return {spec.name: spec for spec in self.hierarchy.arrays}


@dataclass(frozen=True)
class Stretch:
    """What one store holds of an array: the elements ``[start, stop)`` of the joined dimension.

    ``store`` counts the stores from 0. A store of length 0 has no stretch.
    """

    store: int
    start: int
    stop: int


@dataclass(frozen=True)
class JoinedArray:
    """One array of the dataset and where it is.

    Along ``axis`` its ``stretches`` lie in their stores, in rising order; with gaps between them
    where a store lacks the array. ``stacked`` means that the stores' own arrays lack that axis.
    An array without the joined dimension has no axis and is in one store, its first stretch's.
    ``series`` is which of the dataset's it is in.
    """

    spec: ArraySpec
    axis: int | None
    stretches: tuple[Stretch, ...]
    stacked: bool = False
    series: int = 0


@dataclass(frozen=True)
class ToRead:
    """An array whose values are to be read from each store, joined, and kept inline.

    ``parts`` are ``(store, spec)``, the specs as the stores have them; ``is_coordinate`` is that
    of the dimension itself, whose values must follow each other. ``units_from`` is an array of
    the same store whose units its values are in: bounds have those of what they bound.
    """

    joined: JoinedArray
    parts: tuple[tuple[int, ArraySpec], ...]
    is_coordinate: bool = False
    units_from: str | None = None


@dataclass(frozen=True)
class ToCompare:
    """An array that must be the same wherever it is: ``parts`` are ``(store, spec)``.

    Of one that ``may_differ``, the stores' own are stacked where they do. Bounds may be read in
    the units of the array ``units_from``, which is ``bounded`` by store.
    """

    name: str
    parts: tuple[tuple[int, ArraySpec], ...]
    may_differ: bool = False
    units_from: str | None = None
    bounded: Mapping[int, ArraySpec] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Joined:
    """N stores as though they were one: what `parchunk.planning.choice.make_plan` plans with.

    ``hierarchy`` is that of the whole; store ``i`` holds the elements ``[borders[i],
    borders[i + 1])`` of the dimension. ``arrays`` are all of its arrays by name, ``to_read`` and
    ``to_compare`` what must still be looked at in the stores. Where several series lie side by
    side, one's stores come after another's, ``series`` has the borders of each, and ``borders`` is
    empty. ``beside`` has, of arrays that are kept or referenced in one store only, the keys that
    each store has below them otherwise.
    """

    hierarchy: Hierarchy
    dimension: str | None
    borders: tuple[int, ...]
    arrays: Mapping[str, JoinedArray] = field(hash=False)
    labels: tuple[str, ...] = ()
    #: Which of the members, as they came, each store is: a pattern's are put in order.
    order: tuple[int, ...] = ()
    to_read: tuple[ToRead, ...] = ()
    to_compare: tuple[ToCompare, ...] = ()
    notes: tuple[str, ...] = ()
    series: tuple[tuple[int, ...], ...] = ()
    beside: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Dataset:
    """Stores put together: ``joined`` with nothing left to read, and the arrays held inline."""

    joined: Joined
    kept: tuple[KeptArray, ...]

    @property
    def hierarchy(self) -> Hierarchy:
        """That of all stores together."""
        return self.joined.hierarchy
