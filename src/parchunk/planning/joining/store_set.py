"""The stores of a plan, as plan.json keeps them: where they are, and what each holds. No I/O."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise, starmap
from typing import Any

import numpy as np

from parchunk.errors import InputError
from parchunk.keys.numbers import Int64Array
from parchunk.metadata.spec import JSONObject
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.members import Joined
from parchunk.planning.joining.values import KeptArray


@dataclass(frozen=True)
class PlannedStore:
    """One store: the URL of its root, the group it is put below, and its part of the dimension."""

    url: str
    below: str
    start: int
    stop: int


@dataclass(frozen=True)
class ArrayPlace:
    """Which ``stores`` have an array, rising; all where None. Of one without the joined dimension
    the first is where its chunks are, and a kept array is in none.

    ``stacked`` arrays have the dimension in the dataset only. Where several series of stores lie
    side by side, an array along the dimension is in one of them.
    """

    axis: int | None = None
    stacked: bool = False
    stores: tuple[int, ...] | None = None
    series: int = 0

    def to_json(self) -> list[Any]:
        """Return what plan.json holds."""
        held = None if self.stores is None else [*self.stores]
        return [self.axis, self.stacked, held, *([self.series] if self.series else [])]

    @classmethod
    def from_json(
        cls, axis: int | None, stacked: bool, held: list[int] | None, series: int = 0
    ) -> ArrayPlace:
        """Return the value that `to_json` wrote, given its entries."""
        return cls(axis, stacked, None if held is None else tuple(held), series)


@dataclass(frozen=True)
class StoreSet:
    """All stores in order, how they are put together, and the chunks that are kept inline.

    ``given`` are the stores as they were named, patterns among them, for an update to look again.
    ``places`` has an entry for each array that is not along axis 0 in all stores of the first
    series. ``series`` are how many stores each one has, one after another; none where there is one.
    """

    joining: Joining
    given: tuple[str, ...]
    stores: tuple[PlannedStore, ...]
    places: Mapping[str, ArrayPlace] = field(hash=False)
    kept: Mapping[str, bytes | None] = field(hash=False, repr=False)
    notes: tuple[str, ...] = ()
    series: tuple[int, ...] = ()
    #: Keys below arrays whose chunks in some stores are not referenced, by array and store. What a
    #: forecast needs to be exact: known when the stores have been read, and not in plan.json.
    beside: Mapping[str, tuple[int, ...]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        joined: Joined,
        kept: tuple[KeptArray, ...],
        joining: Joining,
        given: tuple[str, ...],
        named: tuple[tuple[str, str], ...],
    ) -> StoreSet:
        """Return the stores of a dataset; ``named`` are their ``(URL, group below)`` in order."""
        spans = [
            ends for borders in joined.series or (joined.borders,) for ends in pairwise(borders)
        ]
        spans = spans or [(0, 0)] * len(named)
        counts = tuple(len(borders) - 1 for borders in joined.series)
        begins = [0, *accumulate(counts)]
        held = {one.spec.name: one.chunk for one in kept}
        places = {}
        for name, array in joined.arrays.items():
            stores = tuple(stretch.store for stretch in array.stretches)
            begin, end = [*begins, len(named)][array.series :][:2] if counts else (0, len(named))
            full = tuple(i for i in range(begin, end) if spans[i][0] < spans[i][1])
            everywhere = array.axis is not None and stores == full
            series = 0 if array.axis is None else array.series
            place = ArrayPlace(array.axis, array.stacked, None if everywhere else stores, series)
            if place != ArrayPlace(0):
                places[name] = place
        return cls(
            joining=joining,
            given=given,
            stores=tuple(
                PlannedStore(url, below, *ends)
                for (url, below), ends in zip(named, spans, strict=True)
            ),
            places=places,
            kept=held,
            notes=joined.notes,
            series=counts,
            beside=joined.beside,
        )

    @cached_property
    def ranges(self) -> tuple[range, ...]:
        """The numbers of the stores of each series."""
        ends = [0, *accumulate(self.series or (len(self.stores),))]
        return tuple(starmap(range, pairwise(ends)))

    @cached_property
    def _starts(self) -> list[list[int]]:
        return [[self.stores[at].start for at in some] for some in self.ranges]

    def place(self, array: str) -> ArrayPlace:
        """Return where an array is."""
        return self.places.get(array, ArrayPlace(0))

    def store_at(self, element: int, series: int = 0) -> int:
        """Return the store of a series that holds an element of the joined dimension."""
        # empty stores come before it
        return self.ranges[series].start + bisect_right(self._starts[series], element) - 1

    def has(self, store: int, array: str) -> bool:
        """Whether an array along the joined dimension is one of a store's."""
        place = self.place(array)
        if place.stores is not None:
            return store in place.stores
        return store in self.ranges[place.series]

    def own_names(self, array: str) -> frozenset[str]:
        """Return what an array is called in its stores, without the group that they are below."""
        path = array.split("/")
        groups = {tuple(filter(None, one.below.split("/"))) for one in self.stores}
        return frozenset(
            "/".join(path[len(group) :]) for group in groups if tuple(path[: len(group)]) == group
        )

    def holders(self, array: str) -> frozenset[tuple[str, str]]:
        """Return which stores that are not empty have an array along the dimension, by what they
        are called: ``(URL, group below)``.
        """
        place = self.place(array)
        held = self.ranges[place.series] if place.stores is None else place.stores
        some = (self.stores[at] for at in held)
        return frozenset((one.url, one.below) for one in some if one.start < one.stop)

    def stores_at(self, elements: Int64Array, series: int = 0) -> Int64Array:
        """Return the store of a series that holds each element of the dimension, shape (n,)."""
        found = np.searchsorted(self._starts[series], elements, side="right") - 1
        return self.ranges[series].start + found

    def store_of(self, array: str, element: int | None) -> int | None:
        """Return the store of an array's chunks from ``element`` on; None: they are in no store."""
        if array in self.kept:
            return None
        place = self.place(array)
        if element is None or place.axis is None:
            return place.stores[0] if place.stores else None
        store = self.store_at(element, place.series)
        return store if self.has(store, array) else None

    def to_json(self) -> JSONObject:
        """Return the JSON object that `from_json` turns into an equal value."""
        joining = self.joining
        return {
            "concat": joining.concat,
            "stack": joining.stack,
            "merge": joining.merge,
            "labels": list(joining.labels),
            "join": joining.join,
            "static": joining.static,
            "inline": joining.inline,
            "by_pattern": joining.by_pattern,
            "given": list(self.given),
            "stores": [[one.url, one.below, one.start, one.stop] for one in self.stores],
            "places": {name: place.to_json() for name, place in sorted(self.places.items())},
            "kept": {
                name: None if chunk is None else base64.b64encode(chunk).decode()
                for name, chunk in sorted(self.kept.items())
            },
            "notes": list(self.notes),
            **({"series": list(self.series)} if self.series else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StoreSet:
        """Return the value that `to_json` wrote, or raise `InputError`, `ValueError` or such."""
        joining = Joining(
            concat=data["concat"],
            stack=data["stack"],
            merge=data["merge"],
            labels=tuple(data["labels"]),
            join=data["join"],
            static=data["static"],
            inline=data["inline"],
            by_pattern=data["by_pattern"],
        )
        stores = tuple(PlannedStore(*entry) for entry in data["stores"])
        made = cls(
            joining=joining,
            given=tuple(data["given"]),
            stores=stores,
            places={name: ArrayPlace.from_json(*entry) for name, entry in data["places"].items()},
            kept={
                name: None if chunk is None else base64.b64decode(chunk, validate=True)
                for name, chunk in data["kept"].items()
            },
            notes=tuple(data["notes"]),
            series=tuple(data.get("series", ())),
        )
        for some in made.ranges if joining.dimension is not None else ():
            at = 0
            for store in stores[some.start : some.stop]:
                if not at == store.start <= store.stop:
                    raise InputError(f"stores do not follow each other at {store.url}: plan again")
                at = store.stop
        return made
