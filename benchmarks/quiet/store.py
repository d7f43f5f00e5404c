"""One Zarr store that changes, as stock zarr writes it."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr

#: Units of time that stores may have: how many of them a step is.
UNITS = {"days since 2000-01-01": 1, "hours since 2000-01-01": 24, "days since 1999-12-31": 1}


class Kind(NamedTuple):
    """An array as it is made: ``None`` in ``shape`` is as many as there are steps."""

    dimensions: tuple[str, ...]
    shape: tuple[int | None, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    compressed: bool = False

    @property
    def axis(self) -> int | None:
        """The axis of time, if it has one."""
        return self.dimensions.index("time") if "time" in self.dimensions else None


#: Arrays that stores may have, by their names, along a leading dimension of time.
KINDS = {
    "air": Kind(("time", "x"), (None, 6), (2, 3), compressed=True),
    "rain": Kind(("time", "x"), (None, 6), (4, 6)),
    "air2": Kind(("time", "x"), (None, 6), (1, 6)),
    "fog": Kind(("time", "w"), (None, 4), (1, 2)),
    "cloud": Kind(("time", "x"), (None, 6), (2, 3), shards=(4, 6)),
    "mask": Kind(("x",), (6,), (4,)),
}
#: The same along a later one.
LATER = {
    "air": Kind(("x", "time"), (6, None), (3, 2), compressed=True),
    "rain": Kind(("x", "time"), (6, None), (6, 4)),
    "air2": Kind(("x", "time"), (6, None), (6, 1)),
    "fog": Kind(("w", "time"), (4, None), (2, 1)),
    "cloud": Kind(("x", "time"), (6, None), (3, 2), shards=(6, 4)),
    "mask": Kind(("x",), (6,), (4,)),
}


@dataclass
class Store:
    """A Zarr store in a folder, of arrays of ``kinds``: ``steps`` of time from ``start`` on."""

    folder: Path
    dice: random.Random
    zarr_format: Any
    kinds: Mapping[str, Kind]
    steps: int
    start: int = 0
    units: str = "days since 2000-01-01"
    #: How chunk keys are spelled: the default, with "." or with "/".
    separator: str = ""
    fill: int = -1
    stamps: count[int] = field(default_factory=lambda: count(1))

    def write(self, names: list[str]) -> None:
        """Write it, with arrays of these names."""
        zarr.open_group(self.folder, mode="w", zarr_format=self.zarr_format)
        for name in names:
            self.make(name)
        self._write_time()

    def group(self) -> Any:
        """Return it, opened."""
        return zarr.open_group(self.folder, mode="r+", use_consolidated=False)

    @property
    def names(self) -> list[str]:
        """Names of its arrays, but for that of time."""
        return sorted(name for name in self.group().array_keys() if name != "time")

    # What happens to it -----------------------------------------------------------------------

    def resize(self, steps: int) -> None:
        """Have so many steps; those that come are written."""
        before, self.steps = self.steps, steps
        root = self.group()
        for name in self.names:
            array, axis = root[name], self.kinds[name].axis
            if axis is None:
                continue
            shape = list(array.shape)
            shape[axis] = steps
            array.resize(tuple(shape))
            if steps > before:
                came = [slice(None)] * array.ndim
                came[axis] = slice(before, None)
                shape[axis] = steps - before
                array[tuple(came)] = self._values(shape)
        self._write_time()

    def widen(self) -> bool:
        """Have more columns in an array of its own dimension; whether there is one."""
        if "fog" not in self.names:
            return False
        array = self.group()["fog"]
        axis = self.kinds["fog"].dimensions.index("w")
        shape, before = list(array.shape), array.shape[axis]
        shape[axis] += 3
        array.resize(tuple(shape))
        came = [slice(None)] * array.ndim
        came[axis], shape[axis] = slice(before, None), 3
        array[tuple(came)] = self._values(shape)
        return True

    def delete_chunks(self) -> None:
        """Delete some chunks."""
        files = self.chunk_files()
        for file in self.dice.sample(files, min(self.dice.randint(1, 3), len(files))):
            file.unlink()

    def write_some(self) -> None:
        """Write some elements of an array, which fills gaps and writes chunks anew."""
        array = self.group()[self.dice.choice(self._data())]
        first = self.dice.randrange(max(array.shape[0], 1))
        part = array[first : first + 4]
        array[first : first + 4] = self._values(part.shape)

    def describe(self) -> None:
        """Say something else of an array."""
        name = self.dice.choice(self._data())
        self.group()[name].attrs["long_name"] = f"{name} {next(self.stamps)}"

    def consolidate(self) -> None:
        """Write all documents down in one, which is as old as that from then on."""
        with warnings.catch_warnings():  # of Zarr v3 it is no standard yet
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(str(self.folder))

    def refill(self, fill: int) -> None:
        """Have another fill value in the documents of all arrays."""
        self.fill = fill
        for path in self.folder.rglob("*"):
            if path.name in ("zarr.json", ".zarray"):
                document = json.loads(path.read_text())
                if "fill_value" in document:
                    path.write_text(json.dumps(document | {"fill_value": fill}))

    def retime(self, units: str) -> None:
        """Write the same dates in other units."""
        self.units = units
        self._write_time()

    def respell(self) -> None:
        """Write all documents otherwise, with the same meaning."""
        for path in self.folder.rglob("*"):
            if path.name in ("zarr.json", ".zarray", ".zattrs", ".zgroup"):
                turned = dict(reversed(json.loads(path.read_text()).items()))
                path.write_text(json.dumps(turned, indent=self.dice.choice((None, 1, 3))))

    def litter(self) -> None:
        """Leave what is no chunk among its chunks."""
        name = self.dice.choice(self._data())
        stray = self.dice.choice(("0.0.tmp", "c/0/x", "01.0", "99.99", "c/99/99", "notes.txt"))
        path = self.folder / name / stray
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"stray")

    def rechunk(self) -> bool:
        """Write an array anew in other chunks; whether it is there."""
        if "rain" not in self.names:
            return False
        shutil.rmtree(self.folder / "rain")
        axis = self.kinds["rain"].axis or 0
        chunks = [6, 6]
        chunks[axis] = self.dice.choice((1, 2, 4))
        chunks[1 - axis] = self.dice.choice((3, 6))
        self.make("rain", tuple(chunks))
        return True

    def remove(self, name: str) -> None:
        """Delete an array."""
        shutil.rmtree(self.folder / name)

    def make(self, name: str, chunks: tuple[int, ...] = ()) -> None:
        """Make an array, and write all of it but for some chunks, maybe."""
        kind = self.kinds[name]
        shape = tuple(self.steps if size is None else size for size in kind.shape)
        self._create(name, shape, kind, chunks or kind.chunks)[...] = self._values(shape)
        if self.dice.random() < 0.3 and name != "mask":
            files = self.chunk_files(name)
            for file in self.dice.sample(files, len(files) // 2):
                file.unlink()

    # Small things -----------------------------------------------------------------------------

    def chunk_files(self, name: str = "") -> list[Path]:
        """Return the files of chunks, of one array or of all that time is a dimension of."""
        found = []
        for each in [name] if name else self._data():
            array = self.group()[each]
            for index in np.ndindex(*_grid(array)):
                file = self.folder / each / array.metadata.encode_chunk_key(index)
                found += [file] if file.exists() else []
        return found

    def _data(self) -> list[str]:
        return [name for name in self.names if name != "mask"]

    def _create(self, name: str, shape: Any, kind: Kind, chunks: tuple[int, ...]) -> Any:
        given: dict[str, Any] = {} if kind.compressed else {"compressors": None}
        if self.separator:
            given["chunk_key_encoding"] = {"name": "v2", "separator": self.separator}
        if self.zarr_format == 3:
            given |= {"dimension_names": kind.dimensions, "shards": kind.shards}
        else:
            given["attributes"] = {"_ARRAY_DIMENSIONS": list(kind.dimensions)}
        return self.group().create_array(
            name, shape=shape, chunks=chunks, dtype="i4", fill_value=self.fill, **given
        )

    def _write_time(self) -> None:
        root = self.group()
        kind = Kind(("time",), (None,), (4,))
        if "time" not in root:
            self._create("time", (self.steps,), kind, kind.chunks)
        array = root["time"]
        array.attrs["units"] = self.units
        array.resize((self.steps,))
        step, shift = UNITS[self.units], 1 if "1999" in self.units else 0
        array[...] = (np.arange(self.steps) + self.start + shift) * step

    def _values(self, shape: Any) -> Any:
        """Return values that nothing had before."""
        stamp = next(self.stamps)
        most = 10 ** self.dice.randint(1, 6)
        return np.random.default_rng(stamp).integers(1, most, tuple(shape)) + stamp


def _grid(array: Any) -> tuple[int, ...]:
    """Return how many objects an array has along each axis: chunks, or shards."""
    sizes = array.shards or array.chunks
    return tuple(-(-size // chunk) for size, chunk in zip(array.shape, sizes, strict=True))
