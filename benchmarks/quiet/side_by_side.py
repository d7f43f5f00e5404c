"""Datasets of stores side by side: merged, below groups, and series of months of either."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.quiet.shapes import DATA, Shape, joined
from benchmarks.quiet.store import Store
from benchmarks.quiet.truth import Held, of_store


class Merged(Shape):
    """Stores of different arrays, which grow alike."""

    def begin(self) -> None:
        """Write the stores that there are at first."""
        names = [name for name in DATA if self.zarr_format == 3 or name != "cloud"]
        self.dice.shuffle(names)
        self.steps = self.dice.choice((7, 12))
        for name in names[: self.dice.randint(2, len(names))]:
            self.add(f"{name}.zarr", [name], self.steps, 0)
        if self.dice.random() < 0.4:
            for store in self.stores[:2]:
                store.make("mask")
            self.same_mask()

    def options(self) -> list[str]:
        """Return options of its builds."""
        return ["--merge", "--region", str(self.dice.choice((4, 8)))]

    def truth(self) -> dict[str, Held]:
        """Return its arrays."""
        found: dict[str, Held] = {}
        for store in self.stores:
            found = of_store(store.folder) | found
        return found

    def happenings(self) -> list[Callable[[], object]]:
        """Return what may happen to it."""
        return [self._grow_all, self._grow_all, self._shrink_all, self._rechunk, self._come]

    def _grow_all(self) -> int:
        return self._resize(self.steps + self.dice.randint(1, 9))

    def _shrink_all(self) -> int:
        return self._resize(max(self.steps - self.dice.randint(1, 9), 2))

    def _resize(self, steps: int) -> int:
        self.steps = steps
        for store in self.stores:
            store.resize(steps)
        return steps

    def _rechunk(self) -> bool:
        done = [store.rechunk() for store in self.stores]
        return any(done)

    def _come(self) -> str:
        there = {name for store in self.stores for name in store.names}
        more = [name for name in self.draw_names() if name not in (*there, "mask")]
        for name in more[:1]:
            self.add(f"{name}.zarr", [name], self.steps, 0)
        return ",".join(more[:1])


class Grouped(Shape):
    """Stores below groups of their own, each of which grows by itself."""

    may_follow = False

    def begin(self) -> None:
        """Write the stores that there are at first."""
        for _ in range(self.dice.randint(2, 3)):
            self._come()

    def options(self) -> list[str]:
        """Return options of its builds."""
        return ["--region", str(self.dice.choice((4, 8)))]

    def named(self) -> list[tuple[str, Store]]:
        """Return each store with its group."""
        return [(store.folder.name[:2], store) for store in self.stores]

    def truth(self) -> dict[str, Held]:
        """Return its arrays."""
        return {
            f"{group}/{name}": held
            for group, store in self.named()
            for name, held in of_store(store.folder).items()
        }

    def happenings(self) -> list[Callable[[], object]]:
        """Return what may happen to it."""
        return [self._grow, self._grow, self._shrink, self._come, self._rechunk]

    def _grow(self) -> str:
        store = self.dice.choice(self.stores)
        store.resize(store.steps + self.dice.randint(1, 9))
        return f"{store.folder.name} to {store.steps}"

    def _shrink(self) -> str:
        store = self.dice.choice(self.stores)
        store.resize(max(store.steps - self.dice.randint(1, 9), 2))
        return f"{store.folder.name} to {store.steps}"

    def _come(self) -> str:
        if len(self.stores) > 4:
            return "not"
        steps = self.dice.choice((6, 9, 12))
        return self.add(f"g{len(self.stores)}.zarr", self.draw_names("air"), steps, 0).folder.name

    def _rechunk(self) -> bool:
        return self.dice.choice(self.stores).rechunk()


class Series(Shape):
    """Months of two variables, each in stores of its own: merged, or below groups."""

    may_follow = False

    def begin(self) -> None:
        """Write the stores that there are at first."""
        self.below = self.dice.random() < 0.5
        self.length = self.dice.choice((4, 8))
        self.of = {"air": 0, "rain": 0}
        for _ in range(self.dice.randint(2, 3)):
            self._append_both()

    def options(self) -> list[str]:
        """Return options of its builds."""
        return ["--concat", "time", *([] if self.below else ["--merge"])]

    def named(self) -> list[tuple[str, Store]]:
        """Return each store with its group."""
        if not self.below:
            return super().named()
        return [(store.folder.name.partition("_")[0], store) for store in self.stores]

    def truth(self) -> dict[str, Held]:
        """Return its arrays."""
        found: dict[str, Held] = {}
        for name in self.of:
            of_name = [of_store(store.folder) for store in self._stores(name)]
            for each, held in joined(of_name, self.axis).items():
                found[f"{name}/{each}" if self.below else each] = held
        return found

    def happenings(self) -> list[Callable[[], object]]:
        """Return what may happen to it."""
        alone = [self._append_one, self._grow_one] if self.below else []
        return [self._append_both, self._append_both, self._grow_both, *alone]

    def _stores(self, name: str) -> list[Store]:
        return [store for store in self.stores if store.folder.name.startswith(name)]

    def _append(self, name: str) -> str:
        before = self._stores(name)
        if (before and before[-1].steps % self.length) or len(before) > 4:
            return "not"
        start = sum(store.steps for store in before)
        return self.add(f"{name}_{len(before)}.zarr", [name], self.length, start).folder.name

    def _append_both(self) -> str:
        return " ".join(self._append(name) for name in self.of)

    def _append_one(self) -> str:
        return self._append(self.dice.choice(list(self.of)))

    def _grow_one(self) -> int:
        return self._grow(self.dice.choice(list(self.of)), self.dice.randint(1, 5))

    def _grow_both(self) -> int:
        by = self.dice.randint(1, 5)
        return max(self._grow(name, by) for name in self.of)

    def _grow(self, name: str, by: int) -> int:
        last = self._stores(name)[-1]
        last.resize(last.steps + by)
        return last.steps


class SeriesLater(Series):
    """The same along a later dimension."""

    axis = 1
