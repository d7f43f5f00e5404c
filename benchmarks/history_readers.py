"""What readers of OUT see at each moment of a history, and whether it may be so.

Looked at without parchunk: the root, and the rows of record files. After every write and every
delete of an object, while the root is there, each row is one that a build from the source has
written since it was last settled what they are.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

#: What the folder of sources is called where it is served.
SOURCES = "s3://bucket/src"
#: What a row says: path, offset, size and bytes; None of a chunk that is missing.
Row = tuple[Any, ...] | None


class Place(NamedTuple):
    """A chunk, among those of its array while that has such chunks."""

    array: str
    chunks: tuple[int, ...]
    index: tuple[int, ...]


class Layout(NamedTuple):
    """How the rows of an array lie in its record files."""

    chunks: tuple[int, ...]
    grid: tuple[int, ...]

    @property
    def total(self) -> int:
        """Rows."""
        return int(np.prod(self.grid, dtype=int))


def layouts_of(root: bytes) -> tuple[int, dict[str, Layout]]:
    """Return the rows of each record file, and of each array how they lie."""
    document = json.loads(root)
    found = {}
    for key, said in document["metadata"].items():
        name, _, kind = key.rpartition("/")
        if kind == ".zarray":
            shape, chunks = said["shape"], said["chunks"]
        elif kind == "zarr.json" and said["node_type"] == "array":
            shape = said["shape"]
            chunks = said["chunk_grid"]["configuration"]["chunk_shape"]
        else:
            continue
        grid = tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
        found[name] = Layout(tuple(chunks), grid)
    return document["record_size"], found


def rows_of(data: bytes) -> list[Row]:
    """Return the rows of a record file."""
    columns = pq.read_table(io.BytesIO(data)).to_pydict()
    names = ("path", "offset", "size", "raw")
    return [
        None if row[0] is None and row[3] is None else row
        for row in zip(*(columns[name] for name in names), strict=True)
    ]


def all_rows(out: Path, folder: str = "") -> dict[Place, Row]:
    """Return all rows that readers of OUT see; ``folder`` is served, so it has another name."""
    size, layouts = layouts_of((out / ".zmetadata").read_bytes())
    found: dict[Place, Row] = {}
    for name, layout in layouts.items():
        for number in range(-(-layout.total // size)):
            file = out / name / f"refs.{number}.parq"
            found.update(_placed(name, layout, size, number, file))
    if not folder:
        return found
    return {place: _served(row, folder) for place, row in found.items()}


def _served(row: Row, folder: str) -> Row:
    if row is None or row[0] is None:
        return row
    return f"{SOURCES}{row[0].removeprefix(folder)}", *row[1:]


def _placed(
    name: str, layout: Layout, size: int, number: int, file: Path
) -> Iterator[tuple[Place, Row]]:
    rows = rows_of(file.read_bytes()) if file.exists() else [("missing record file",)] * size
    for row, at in zip(rows, range(number * size, layout.total), strict=False):
        index = tuple(map(int, np.unravel_index(at, layout.grid))) if layout.grid else ()
        yield Place(name, layout.chunks, index), row


class Watch:
    """Looks at OUT after each change of an object in it; ``wrong`` says what may not be."""

    def __init__(self, out: Path) -> None:
        self._out = out
        #: What each row may be.
        self.known: dict[Place, set[Row]] = {}
        self.wrong: list[str] = []

    def came(self, rows: dict[Place, Row], or_missing: bool = False) -> None:
        """Take note of rows that a build would write from now on."""
        for place, row in rows.items():
            known = self.known.setdefault(place, {None})
            known.add(row)
            if or_missing:
                known.add(None)

    def settle(self, fresh: dict[Place, Row]) -> None:
        """Take what readers see for what it was last known to be, beside what is there now."""
        self.known = {}
        if (self._out / ".zmetadata").exists():
            self.known = {place: {row} for place, row in all_rows(self._out).items()}
        self.came(fresh)

    def changed(self, path: str) -> None:
        """Look after the object at ``path``, below OUT, was written or deleted."""
        root = self._out / ".zmetadata"
        if not root.exists() or path.startswith(".parchunk/"):
            return
        size, layouts = layouts_of(root.read_bytes())
        name, _, file = path.rpartition("/")
        if path != ".zmetadata" and name not in layouts:
            return
        for each, layout in layouts.items():
            if path != ".zmetadata" and each != name:
                continue
            numbers = range(-(-layout.total // size))
            if path != ".zmetadata":
                number = int(file.split(".")[1])
                numbers = range(number, number + 1) if number in numbers else range(0)
            for number in numbers:
                there = self._out / each / f"refs.{number}.parq"
                for place, row in _placed(each, layout, size, number, there):
                    if row not in self.known.get(place, {None}):
                        what = f"after {path}: {place} is {row}, not of {self.known.get(place)}"
                        self.wrong.append(what)
