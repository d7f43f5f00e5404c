"""The Icechunk repository that OUT is imported into, or appended to behind what is there."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import parchunk
from benchmarks.quiet.shapes import Shape
from benchmarks.quiet.store import Store
from benchmarks.quiet.truth import Held, dates_of, of_store, one_after_another

#: Steps that are in the repository before those that are appended.
BEFORE = 8


@dataclass
class Repository:
    """A repository in ``folder``; ``before``: the store that it held before others follow."""

    folder: Path
    dice: random.Random
    before: Store | None = None
    number: int = 0

    @classmethod
    def drawn(cls, folder: Path, dice: random.Random, shape: Shape) -> Repository:
        """Return one to import into, or to append to where the shape's time begins later."""
        one = cls(folder, dice)
        if shape.first:
            one.before = Store(
                folder / "before.zarr", dice, shape.zarr_format, shape.kinds, BEFORE,
                stamps=count(1000),
            )  # fmt: skip
            one.before.write(shape.stores[0].names)
            for name in {"mask"} & {*one.before.names}:  # the same in both
                one.before.group()[name][...] = shape.stores[0].group()[name][...]
        return one

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / f"repo{self.number}"

    def begin(self) -> None:
        """Import the store of before, if there is one, once."""
        if self.before is not None and not self.path.exists():
            out = self.folder / f"before{self.number}"
            parchunk.build(parchunk.plan(str(self.before.folder), region=4, split="time"), out)
            parchunk.to_icechunk(out, str(self.path))

    def command(self) -> list[str]:
        """Return the command that imports or appends, from OUT on."""
        more = self.dice.choice(([], ["--no-checksum"], ["--anew"]))
        if self.before is not None:
            more = ["--append", "time", *[word for word in more if word != "--anew"]]
        elif self.dice.random() < 0.3:
            more = [*more, "--publish"]
        return [str(self.path), *more, "--no-progress"]

    def wanted(self, truth: Mapping[str, Held], axis: int) -> dict[str, Any]:
        """Return the values that it should hold of a dataset."""
        if self.before is None:
            return {name: held.values for name, held in truth.items()}
        before = of_store(self.before.folder)
        return {
            name: held.values if name == "mask" else one_after_another(
                [before[name], held], 0 if name == "time" else axis).values
            for name, held in truth.items()
        }  # fmt: skip

    def values(self) -> dict[str, Any]:
        """Return the values of all arrays that its branch holds."""
        if not self.path.exists():
            return {}
        session = parchunk.open_icechunk(str(self.path)).readonly_session("main")
        found: dict[str, Any] = {}
        _read(zarr.open_group(session.store, mode="r"), "", found)
        return found

    def snapshot(self) -> str:
        """Return which snapshot its branch is at."""
        if not self.path.exists():
            return ""
        return str(parchunk.open_icechunk(str(self.path)).lookup_branch("main"))


def _read(group: Any, prefix: str, found: dict[str, Any]) -> None:
    for name, array in group.arrays():
        is_time = name == "time"
        found[f"{prefix}{name}"] = dates_of(array) if is_time else np.asarray(array[...])
    for name, below in group.groups():
        _read(below, f"{prefix}{name}/", found)
