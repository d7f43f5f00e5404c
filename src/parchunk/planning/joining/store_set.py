"""The stores of a plan, as plan.json keeps them: where they are, and what each holds. No I/O."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from parchunk.errors import InputError
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

    ``stacked`` arrays have the dimension in the dataset only.
    """

    axis: int | None = None
    stacked: bool = False
    stores: tuple[int, ...] | None = None


@dataclass(frozen=True)
class StoreSet:
    """All stores in order, how they are put together, and the chunks that are kept inline.

    ``given`` are the stores as they were named, patterns among them, for an update to look again.
    ``places`` has an entry for each array that is not along axis 0 in all stores.
    """

    joining: Joining
    given: tuple[str, ...]
    stores: tuple[PlannedStore, ...]
    places: Mapping[str, ArrayPlace] = field(hash=False)
    kept: Mapping[str, bytes | None] = field(hash=False, repr=False)
    notes: tuple[str, ...] = ()

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
        borders = joined.borders or (0,) * (len(named) + 1)
        held = {one.spec.name: one.chunk for one in kept}
        places = {}
        for name, array in joined.arrays.items():
            stores = tuple(stretch.store for stretch in array.stretches)
            full = tuple(i for i in range(len(named)) if borders[i] < borders[i + 1])
            everywhere = array.axis is not None and stores == full
            place = ArrayPlace(array.axis, array.stacked, None if everywhere else stores)
            if place != ArrayPlace(0):
                places[name] = place
        return cls(
            joining=joining,
            given=given,
            stores=tuple(
                PlannedStore(url, below, borders[at], borders[at + 1])
                for at, (url, below) in enumerate(named)
            ),
            places=places,
            kept=held,
            notes=joined.notes,
        )

    @cached_property
    def _starts(self) -> list[int]:
        return [store.start for store in self.stores]

    def place(self, array: str) -> ArrayPlace:
        """Return where an array is."""
        return self.places.get(array, ArrayPlace(0))

    def store_at(self, element: int) -> int:
        """Return the store that holds an element of the joined dimension."""
        return bisect_right(self._starts, element) - 1  # empty stores come before it

    def store_of(self, array: str, element: int | None) -> int | None:
        """Return the store of an array's chunks from ``element`` on; None: they are in no store."""
        if array in self.kept:
            return None
        place = self.place(array)
        if element is None or place.axis is None:
            return place.stores[0] if place.stores else None
        store = self.store_at(element)
        return store if place.stores is None or store in place.stores else None

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
            "places": {
                name: [place.axis, place.stacked, None if place.stores is None else [*place.stores]]
                for name, place in sorted(self.places.items())
            },
            "kept": {
                name: None if chunk is None else base64.b64encode(chunk).decode()
                for name, chunk in sorted(self.kept.items())
            },
            "notes": list(self.notes),
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
        at = 0
        for store in stores:
            if joining.dimension is not None and not at == store.start <= store.stop:
                raise InputError(f"stores do not follow each other at {store.url}: plan again")
            at = store.stop
        return cls(
            joining=joining,
            given=tuple(data["given"]),
            stores=stores,
            places={
                name: ArrayPlace(axis, stacked, None if held is None else tuple(held))
                for name, (axis, stacked, held) in data["places"].items()
            },
            kept={
                name: None if chunk is None else base64.b64decode(chunk, validate=True)
                for name, chunk in data["kept"].items()
            },
            notes=tuple(data["notes"]),
        )
