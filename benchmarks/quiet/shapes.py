"""Datasets that stores make: one, one after another, stacked, side by side, and series of them.

A shape says which stores there are, how commands name them, and what the dataset is by stock zarr.
"""

from __future__ import annotations

import random
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.quiet.store import KINDS, LATER, UNITS, Store
from benchmarks.quiet.truth import Held, lacking, of_store, one_after_another, stacked

#: Arrays along time that any store may have.
DATA = ("air", "air2", "rain", "fog", "cloud")


class Shape(ABC):
    """A dataset in a folder; all that is drawn comes of ``dice``."""

    #: The axis that stores follow each other along.
    axis = 0

    #: Whether it may follow what is there before, along time.
    may_follow = True

    def __init__(self, folder: Path, dice: random.Random, first: int = 0) -> None:
        self.folder, self.dice, self.first = folder, dice, first if self.may_follow else 0
        self.zarr_format = dice.choice((2, 3))
        self.kinds = LATER if self.axis else KINDS
        self.home = folder / "home0"
        self.stores: list[Store] = []
        self._stamps = count(1)
        self._separator = dice.choice(("", "", ".", "/"))
        self._fill = -1
        self.begin()

    @abstractmethod
    def begin(self) -> None:
        """Write the stores that there are at first."""

    @abstractmethod
    def options(self) -> list[str]:
        """Return options of a build that say how stores make a dataset."""

    @abstractmethod
    def truth(self) -> dict[str, Held]:
        """Return all arrays of the dataset, as stock zarr reads the stores."""

    @abstractmethod
    def happenings(self) -> list[Callable[[], object]]:
        """Return what may happen to this shape alone."""

    def named(self) -> list[tuple[str, Store]]:
        """Return each store with the group that a command puts it below."""
        return [("", store) for store in self.stores]

    def truth_of(self, stores: list[Store]) -> dict[str, Held]:
        """Return the arrays of a dataset of some of its stores."""
        whole, self.stores = self.stores, stores
        try:
            return self.truth()
        finally:
            self.stores = whole

    def change(self) -> str:
        """Let one thing happen, and return what."""
        dice = self.dice
        anyone = dice.choice(self.stores)
        common: list[Callable[[], object]] = [
            anyone.delete_chunks, anyone.write_some, anyone.write_some, anyone.respell,
            anyone.litter, anyone.describe,
        ]  # fmt: skip
        common.append(dice.choice((anyone.consolidate, self._refill, self._retime)))
        what = dice.choice([*common, *self.happenings(), *self.happenings()])
        said = what()
        return f"{what.__name__.lstrip('_')} {'' if said is None else said}".rstrip()

    def move(self) -> Path:
        """Copy all stores to another folder, where they are from now on; return it."""
        before = self.home
        self.home = self.folder / f"home{int(before.name[4:]) + 1}"
        shutil.copytree(before, self.home)
        for store in self.stores:
            store.folder = self.home / store.folder.relative_to(before)
        return self.home

    def move_one(self, store: Store, to: Path) -> None:
        """Copy one store to another folder, where it is from now on."""
        shutil.copytree(store.folder, to)
        store.folder = to

    def stay(self, home: Path) -> None:
        """Forget the copy in another folder, and be where the stores were."""
        shutil.rmtree(self.home)
        for store in self.stores:
            store.folder = home / store.folder.relative_to(self.home)
        self.home = home

    # What shapes are made of ------------------------------------------------------------------

    def add(
        self, name: str, names: Sequence[str], steps: int, start: int, units: str = ""
    ) -> Store:
        """Write one more store."""
        store = Store(
            self.home / name, self.dice, self.zarr_format, self.kinds, steps, start + self.first,
            units or next(iter(UNITS)), self._separator, self._fill, self._stamps,
        )  # fmt: skip
        store.write(list(names))
        self.stores.append(store)
        return store

    def draw_names(self, *always: str) -> list[str]:
        """Return names of arrays."""
        more = [name for name in (*DATA, "mask") if name not in always]
        chosen = self.dice.sample(more, self.dice.randint(0, 2))
        names = [name for name in (*always, *chosen) if self.zarr_format == 3 or name != "cloud"]
        return list(dict.fromkeys(names))

    def _retime(self) -> str:
        units = self.dice.choice(list(UNITS))
        for store in self.stores:
            store.retime(units)
        return units

    def _refill(self) -> int:
        self._fill = self.dice.choice((-1, -2))
        for store in self.stores:
            store.refill(self._fill)
        return self._fill

    def same_mask(self) -> None:
        """Have the arrays without time be the same in all stores."""
        holders = [store for store in self.stores if "mask" in store.names]
        for store in holders[1:]:
            shutil.rmtree(store.folder / "mask")
            shutil.copytree(holders[0].folder / "mask", store.folder / "mask")


class Single(Shape):
    """One store, to whose arrays anything may happen; shards beside plain arrays, often."""

    def begin(self) -> None:
        """Write the stores that there are at first."""
        later = self.dice.random() < 0.3
        self.kinds, self.axis = (LATER, 1) if later else (KINDS, 0)
        self.add("s.zarr", self.draw_names("air", "cloud"), self.dice.choice((9, 12, 17)), 0)

    def options(self) -> list[str]:
        """Return options of its builds."""
        if self.kinds is KINDS and self.dice.random() < 0.3:
            return ["--split", "time", "--region", self.dice.choice(("month", "5D", "7D"))]
        return ["--split", "time", "--region", str(self.dice.choice((4, 8)))]

    def truth(self) -> dict[str, Held]:
        """Return its arrays."""
        return of_store(self.stores[0].folder)

    def happenings(self) -> list[Callable[[], object]]:
        """Return what may happen to it."""
        return [
            self._grow,
            self._grow,
            self._shrink,
            self._come,
            self._go,
            self._rechunk,
            self._widen,
        ]

    def _grow(self) -> int:
        store = self.stores[0]
        by = self.dice.randint(1, 25)
        store.resize(store.steps + by)
        return by

    def _shrink(self) -> int:
        store = self.stores[0]
        store.resize(max(store.steps - self.dice.randint(1, 12), 0))
        return store.steps

    def _come(self) -> str:
        store = self.stores[0]
        more = [name for name in self.draw_names() if name not in store.names]
        for name in more[:1]:
            store.make(name)
        return ",".join(more[:1])

    def _go(self) -> str:
        store = self.stores[0]
        gone = self.dice.sample([name for name in store.names if name != "air"], 1) if len(
            store.names) > 1 else []  # fmt: skip
        for name in gone:
            store.remove(name)
        return ",".join(gone)

    def _rechunk(self) -> bool:
        return self.stores[0].rechunk()

    def _widen(self) -> bool:
        return self.stores[0].widen()


class Joined(Shape):
    """Months of one dataset, one after another along time; some may lack arrays."""

    def begin(self) -> None:
        """Write the stores that there are at first."""
        self.join = self.dice.choice(("exact", "exact", "outer", "inner"))
        self.length = self.dice.choice((4, 8))
        self.names = self.draw_names("air", "rain")
        for _ in range(self.dice.randint(2, 4)):
            self._append()

    def options(self) -> list[str]:
        """Return options of its builds."""
        more = [] if self.dice.random() < 0.5 else ["--region", str(self.dice.choice((4, 8, 16)))]
        return ["--concat", "time", "--join", self.join, *more]

    def truth(self) -> dict[str, Held]:
        """Return its arrays."""
        return joined([of_store(store.folder) for store in self.stores], self.axis, self.join)

    def happenings(self) -> list[Callable[[], object]]:
        """Return what may happen to it."""
        return [self._append, self._append, self._grow_last, self._take_away, self._complete]

    def _append(self) -> str:
        ragged = self.stores and self.stores[-1].steps % self.length
        if ragged or len(self.stores) > 7:
            return "not"
        names = list(self.names)
        if self.join != "exact" and self.stores and self.dice.random() < 0.6:
            names.remove(self.dice.choice([name for name in names if name not in ("air", "mask")]))
        start = sum(store.steps for store in self.stores)
        units = self.dice.choice(list(UNITS)) if self.dice.random() < 0.4 else ""
        length = 0 if len(self.stores) > 1 and self.dice.random() < 0.15 else self.length
        self.add(f"m{len(self.stores):02d}.zarr", names, length, start, units)
        self.same_mask()
        return self.stores[-1].folder.name

    def _grow_last(self) -> int:
        by = self.dice.randint(1, 6)
        self.stores[-1].resize(self.stores[-1].steps + by)
        return by

    def _take_away(self) -> str:
        if len(self.stores) < 3:
            return "not"
        shutil.rmtree(self.stores[-1].folder)
        return self.stores.pop().folder.name

    def _complete(self) -> str:
        """Have a store that lacks an array get it."""
        if self.join == "exact":
            return "not"
        for store in self.stores:
            for name in self.names:
                if name not in store.names:
                    store.make(name)
                    return f"{store.folder.name} with {name}"
        return "not"


class JoinedLater(Joined):
    """Months along a later dimension."""

    axis = 1


class Stacked(Shape):
    """Runs, each one index of a new dimension."""

    may_follow = False

    def begin(self) -> None:
        """Write the stores that there are at first."""
        self.names = self.draw_names("air")
        self.steps = self.dice.choice((4, 7))
        for _ in range(self.dice.randint(2, 4)):
            self._append()

    def options(self) -> list[str]:
        """Return options of its builds."""
        return ["--stack", "run"]

    def truth(self) -> dict[str, Held]:
        """Return its arrays."""
        stores = [of_store(store.folder) for store in self.stores]
        same = {"time"}
        return {
            name: stores[0][name] if name in same else stacked([store[name] for store in stores])
            for name in stores[0]
        }

    def happenings(self) -> list[Callable[[], object]]:
        """Return what may happen to it."""
        return [self._append, self._append, self._take_away, self._grow_all]

    def _append(self) -> str:
        if len(self.stores) > 6:
            return "not"
        self.add(f"r{len(self.stores):02d}.zarr", self.names, self.steps, 0)
        self.same_mask()
        return self.stores[-1].folder.name

    def _take_away(self) -> str:
        if len(self.stores) < 3:
            return "not"
        shutil.rmtree(self.stores[-1].folder)
        return self.stores.pop().folder.name

    def _grow_all(self) -> int:
        self.steps += self.dice.randint(1, 5)
        for store in self.stores:
            store.resize(self.steps)
        return self.steps


def joined(stores: Sequence[dict[str, Held]], axis: int, join: str = "exact") -> dict[str, Held]:
    """Return the arrays of stores that follow each other along time."""
    lengths = [len(store["time"].values) for store in stores]
    names: dict[str, Any] = {}
    for store in stores:
        names |= dict.fromkeys(store)
    found = {}
    for name in names:
        holders = [store[name] for store in stores if name in store]
        if name == "mask":
            found[name] = holders[0]
            continue
        if join == "inner" and len(holders) < len(stores):
            continue
        parts = [
            store[name] if name in store else lacking(holders[0], axis, steps)
            for store, steps in zip(stores, lengths, strict=True)
        ]
        found[name] = one_after_another(parts, 0 if name == "time" else axis)
    return found
