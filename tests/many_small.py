"""A store of many small arrays, whose receipts lie in blocks, and an OUT that dies at a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from tests.made import named

import parchunk
from parchunk.errors import OutputError
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output

#: Half of them are split along time, as far as it is asked for.
ARRAYS = 18


def write_arrays(path: Path, steps: int = 4) -> Path:
    """Write a Zarr store of small arrays; those that are there grow to so many steps."""
    root = zarr.open_group(path, mode="a", zarr_format=3)
    for number in range(ARRAYS):
        length, dimension = (steps, "time") if number % 2 else (3, "x")
        name = f"g{number % 3}/a{number}"
        if name in root:
            array = root[name]
            array.resize((length,))
        else:
            how = named([dimension], 3)
            array = root.create_array(name, shape=(length,), chunks=(1,), dtype="i4", **how)
        array[...] = 1 + np.arange(length)
    return path


def plan_of(source: Path) -> parchunk.Plan:
    """Plan it with two regions of those that are split."""
    return parchunk.plan(source, split="time", region=2, record_size=2)


class Died(OutputError):
    """Raised by `Dying` in place of a kill."""


class Dying(LocalOutput):
    """An OUT that does ``left`` more writes and deletes and then none any more, as if killed."""

    left: list[int]

    @classmethod
    def after(cls, out: Path, steps: int) -> Dying:
        """Return the OUT at a path."""
        return cls(open_output(str(out)).location)._with([steps])

    def below(self, folder: str) -> Dying:
        """Return a folder of it, which dies with it."""
        return type(self)(super().below(folder).location)._with(self.left)

    def _with(self, left: list[int]) -> Dying:
        object.__setattr__(self, "left", left)
        return self

    def _step(self) -> None:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise Died("killed")

    def put(self, path: str, data: Any) -> None:
        """Write as it does, or die."""
        self._step()
        super().put(path, data)

    def put_if(self, path: str, data: bytes, seen: str | None) -> str | None:
        """Write as it does, or die; the lease is nobody's matter here."""
        if "lease" not in path:
            self._step()
        return super().put_if(path, data, seen)

    def delete(self, path: str) -> None:
        """Delete as it does, or die."""
        self._step()
        super().delete(path)

    def move(self, path: str, to: str) -> None:
        """Move as it does, or die."""
        self._step()
        super().move(path, to)


def pictured(out: Path) -> dict[str, bytes]:
    """Return what readers see of OUT: the root and record files."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".parchunk" not in path.parts
    }
