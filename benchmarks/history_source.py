"""Sources that change between the steps of a history: one Zarr store, or months of one dataset."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr

#: Steps of each month, where stores are joined.
MONTH = 4
#: Arrays that may come: name, width and chunks.
COMING = {"hail": (5, (1, 1)), "fog": (6, (8, 2)), "ice": (6, (2, 6))}


@dataclass
class Source:
    """A store, or several that are joined along ``time``, in folders below ``folder``.

    ``joined`` is how many stores there are, 0 for one that is not joined; ``stacked``: each is one
    index of a new dimension. ``moved`` counts how often they were copied elsewhere, where they are
    from then on.
    """

    folder: Path
    dice: random.Random
    zarr_format: Any
    joined: int
    small: int
    sharded: bool
    stacked: bool = False
    moved: int = 0
    stamp: int = 0
    changes: list[str] = field(default_factory=list)

    @classmethod
    def drawn(cls, folder: Path, dice: random.Random) -> Source:
        """Return a new source, which is written."""
        joined = dice.choice((0, 0, 0, 2, 3))
        source = cls(
            folder,
            dice,
            zarr_format=dice.choice((2, 3)),
            joined=joined,
            small=16 if not joined and dice.random() < 0.2 else 0,
            sharded=False,
        )
        source.stacked = bool(joined) and dice.random() < 0.3
        source.sharded = source.zarr_format == 3 and dice.random() < 0.25
        for at in range(max(joined, 1)):
            source._write(at, MONTH if joined else dice.choice((12, 20)))
        return source

    @property
    def home(self) -> Path:
        """The folder that the stores are in now."""
        return self.folder / f"home{self.moved}"

    @property
    def names(self) -> list[str]:
        """The stores' paths below ``folder``."""
        return [f"home{self.moved}/m{at:02d}.zarr" for at in range(max(self.joined, 1))]

    def change(self) -> None:
        """Let one thing happen to it, and note which."""
        kinds: list[Callable[[], str]] = [
            self._grow, self._grow, self._rewrite, self._gap, self._fill, self._respell,
        ]  # fmt: skip
        if self.joined:
            kinds += [self._append, self._append, self._take_away]
        else:
            kinds += [self._widen, self._shrink, self._come, self._go, self._rechunk]
        self.changes.append(self.dice.choice(kinds)())

    def copy_elsewhere(self) -> None:
        """Copy all stores to another place."""
        before = self.home
        self.moved += 1
        shutil.copytree(before, self.home)
        self.changes.append("copied elsewhere")

    # What happens -----------------------------------------------------------------------------

    def _grow(self) -> str:
        by = self.dice.randint(1, 9)
        root = self._last()
        if self.stacked or (self.joined and root["air"].shape[0] > 3 * MONTH):
            return "nothing"
        for name in ("air", "rain", "time", "cloud", *COMING):
            if name in root:
                self._lengthen(root[name], root[name].shape[0] + by)
        return f"grew by {by}"

    def _widen(self) -> str:
        array = self._last()["air"]
        before = array.shape[1]
        array.resize((array.shape[0], before + 3))
        array[:, before:] = self._values((array.shape[0], 3))
        return "widened"

    def _shrink(self) -> str:
        root = self._last()
        steps = max(root["air"].shape[0] - self.dice.randint(1, 9), 2)
        for name in ("air", "rain", "time", "cloud", *COMING):
            if name in root:
                root[name].resize((steps, *root[name].shape[1:]))
        return f"shrunk to {steps}"

    def _rewrite(self) -> str:
        root = self._any()
        for name in self.dice.sample(("air", "rain"), self.dice.randint(1, 2)):
            array = root[name]
            at = self.dice.randrange(array.shape[0])
            array[at, :] = self._values((array.shape[1],)) * self.dice.choice((0, 1)) + self.stamp
        return "rewritten"

    def _gap(self) -> str:
        files = self._chunks()
        for file in self.dice.sample(files, min(2, len(files))):
            file.unlink()
        return "chunks deleted"

    def _fill(self) -> str:
        root = self._any()
        array = root["air"]
        at = self.dice.randrange(array.shape[0])
        array[at : at + 4, :] = self._values(array[at : at + 4, :].shape)
        return f"written at {at}"

    def _respell(self) -> str:
        for path in self.home.rglob("*"):
            if path.name in ("zarr.json", ".zarray", ".zattrs", ".zgroup"):
                document = json.loads(path.read_text())
                turned = dict(reversed(document.items()))
                path.write_text(json.dumps(turned, indent=self.dice.choice((None, 1, 3))))
        return "respelled"

    def _come(self) -> str:
        root = self._last()
        name = self.dice.choice(list(COMING))
        if name in root:
            return "nothing"
        width, chunks = COMING[name]
        self._make(root, name, (root["air"].shape[0], width), chunks)
        return f"{name} came"

    def _go(self) -> str:
        root = self._last()
        there = [name for name in (*COMING, "rain") if name in root]
        if not there or len(list(root)) < 4:
            return "nothing"
        name = self.dice.choice(there)
        shutil.rmtree(self._path(0) / name)
        if name == "rain":
            self._make(root, "rain", (root["air"].shape[0], 6), (4, 6))
        return f"{name} went"

    def _rechunk(self) -> str:
        root = self._last()
        if "rain" not in root:
            return "nothing"
        shutil.rmtree(self._path(0) / "rain")
        chunks = self.dice.choice([(2, 6), (4, 3), (4, 6), (1, 6)])
        self._make(root, "rain", (root["air"].shape[0], 6), chunks)
        return f"rain in chunks of {chunks}"

    def _append(self) -> str:
        last = zarr.open_group(self._path(self.joined - 1), mode="r")
        if last["air"].shape[0] != MONTH or self.joined > 6:
            return "nothing"
        self.joined += 1
        self._write(self.joined - 1, MONTH)
        return "a store came"

    def _take_away(self) -> str:
        if self.joined < 3:
            return "nothing"
        shutil.rmtree(self._path(self.joined - 1))
        self.joined -= 1
        return "the last store went"

    # How it is written ------------------------------------------------------------------------

    def _path(self, at: int) -> Path:
        return self.folder / self.names[at]

    def _last(self) -> Any:
        return zarr.open_group(self._path(max(self.joined, 1) - 1), mode="r+")

    def _any(self) -> Any:
        return zarr.open_group(self._path(self.dice.randrange(max(self.joined, 1))), mode="r+")

    def _chunks(self) -> list[Path]:
        return sorted(
            path
            for path in self.home.rglob("*")
            if path.is_file()
            and path.name != "zarr.json"
            and not path.name.startswith(".z")
            and path.relative_to(self.home).parts[1] in ("air", "rain", "cloud")
        )

    def _write(self, at: int, steps: int) -> None:
        root: Any = zarr.open_group(self._path(at), mode="w", zarr_format=self.zarr_format)
        first = 0 if self.stacked else at * MONTH
        self._make(root, "air", (steps, 6), (2, 3), compressed=True)
        self._make(root, "rain", (steps, 6), (4, 6))
        self._make(root, "time", (steps,), (MONTH if self.joined else 100,), start=first)
        if self.sharded:
            self._make(root, "cloud", (steps, 6), (2, 3), shards=(4, 6))
        for number in range(self.small):
            self._make(root, f"s{number:02d}", (4,), (2,), dimensions=("y",))

    def _make(
        self,
        root: Any,
        name: str,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        *,
        compressed: bool = False,
        start: int = 0,
        dimensions: tuple[str, ...] = (),
        **chosen: Any,
    ) -> None:
        names = list(dimensions or ("time", f"x{shape[-1]}")[: len(shape)])
        if self.zarr_format == 3:
            chosen["dimension_names"] = names
        else:
            chosen["attributes"] = {"_ARRAY_DIMENSIONS": names}
        if not compressed:
            chosen["compressors"] = None
        if name == "air":
            names[1:] = ["x"]
        array = root.create_array(
            name, shape=shape, chunks=chunks, dtype="i4", fill_value=-1, **chosen
        )
        if name == "time":
            array.attrs["units"] = "days since 2000-01-01"
            array[...] = np.arange(shape[0]) + start
        else:
            array[...] = self._values(shape)

    def _lengthen(self, array: Any, steps: int) -> None:
        before = array.shape[0]
        array.resize((steps, *array.shape[1:]))
        if array.basename == "time":
            first = int(array[0]) if before else 0
            array[...] = np.arange(steps) + first
        else:
            array[before:] = self._values((steps - before, *array.shape[1:]))

    def _values(self, shape: tuple[int, ...]) -> Any:
        """Return values that are written for the first time."""
        self.stamp += 1
        drawn = np.random.default_rng(self.stamp)
        return drawn.integers(1, 10 ** self.dice.randint(1, 6), shape) + self.stamp
