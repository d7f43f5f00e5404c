"""Sorted objects: the rows of an inventory below one folder of a store, looked into by key.

They lie in a Parquet file of columns ``path`` (as the inventory spells it, a marker with its
slash), ``size`` and ``modified`` (null where the inventory has no time), and ``etag`` where it is
wanted, whose row groups are found by their first keys.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.errors import SourceError
from parchunk.inventories.workspace import Workspace

#: Rows of a row group: what is read to find one key.
GROUP_ROWS = 32_768
#: Rows that are handed on together, at most.
BATCH_ROWS = 10_000

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.uint64(), nullable=False),
        pa.field("modified", pa.int64()),
    ]
)
#: With entity tags.
TAGGED = SCHEMA.append(pa.field("etag", pa.string()))
#: What follows the slash: everything below a folder sorts before ``folder0``.
_AFTER_SLASH = "0"


@dataclass(frozen=True)
class Origin:
    """What an inventory was read from: paths or URLs of its ``files``, and the ``root`` if given.

    Other machines can read it again where they reach those. ``marks`` tell versions of the files,
    and ``place`` what they were read for: the URL of a folder, and its path in its store.
    """

    files: tuple[str, ...]
    root: str | None = None
    marks: tuple[str, ...] = ()
    place: tuple[str, ...] = ()


class Files(Protocol):
    """Sorted rows in more than one file."""

    def files(self, start: str, stop: str | None) -> Iterator[str]:
        """Yield those that may hold keys from ``start`` on, up to ``stop``, in their order."""


@dataclass(frozen=True)
class SortedObjects:
    """Objects of a store below a folder, ``count`` of them, as they were when ``taken`` (UTC).

    ``digest`` names the rows, however the inventory was cut, ordered or compressed. ``dated_by``
    says where the date is from, ``notes`` what a user should know.
    """

    file: str
    count: int
    digest: str
    taken: datetime
    dated_by: str = ""
    #: What it has of each object: ``none`` is asked for, ``time`` or ``etag``.
    identity: str = "none"
    notes: tuple[str, ...] = field(default=(), compare=False)
    #: None where rows were given that are in no file.
    origin: Origin | None = field(default=None, compare=False)
    workspace: Workspace | None = field(default=None, compare=False, repr=False)
    #: Where they lie in several files, in place of ``file``.
    pieces: Files | None = field(default=None, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the workspace to the process that made it."""
        return {**self.__dict__, "workspace": None}

    @property
    def is_here(self) -> bool:
        """Whether this machine has the file: the one that sorted it, or all that share TMPDIR.

        Pieces are fetched from anywhere.
        """
        return self.pieces is not None or Path(self.file).is_file()

    @property
    def firsts(self) -> list[str]:
        """The first keys of its row groups."""
        return _opened(self.file).firsts

    @property
    def date(self) -> str:
        """When it was taken, as people read it, to the second."""
        return date_text(self.taken)

    def after(self, folder: str, offset: str | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows below ``folder`` whose keys sort after ``offset``, in their order.

        ``folder`` is a whole path, without a slash at its end; an empty one is the store.

        Raises
        ------
        SourceError
            When the file is not on this machine.
        """
        if offset is None or offset < folder:
            yield from self._rows(folder, "", right=False)
        else:
            yield from self._rows(folder, offset, right=True)

    def holds(self, key: str) -> bool:
        """Whether there is an object at ``key``."""
        folder = key.rpartition("/")[0]
        rows = next(self._rows(folder, key, right=False), None)
        return rows is not None and bool(rows["path"][0].as_py() == key)

    def first_keys(self, folder: str, most: int) -> tuple[list[str], bool]:
        """Return up to ``most`` keys below a folder, relative to it, and whether that is all."""
        found: list[str] = []
        skip = len(folder) + 1 if folder else 0
        for rows in self.after(folder):
            found += [path[skip:] for path in rows["path"].slice(0, most + 1).to_pylist()]
            if len(found) > most:
                break
        return [key.rstrip("/") for key in found[:most] if key], len(found) <= most

    def names_in(self, folder: str) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the objects right below ``folder``."""
        folders: list[str] = []
        objects: list[str] = []
        head = f"{folder}/" if folder else ""
        start, right = head, False
        while (rows := next(self._rows(folder, start, right), None)) is not None:
            paths, at = rows["path"], 0
            while at < len(rows):
                start, right = paths[at].as_py(), True
                name, slash, _ = start[len(head) :].partition("/")
                if name and slash:
                    folders.append(name)
                    # All else below it is passed over, by whole row groups where it is much.
                    start, right = f"{head}{name}{_AFTER_SLASH}", False
                    at = _place(paths, start)
                else:
                    objects += filter(None, [name])
                    at += 1
        return folders, objects

    def _rows(self, folder: str, start: str, right: bool) -> Iterator[pa.RecordBatch]:
        """Yield the rows below ``folder`` from the key ``start`` on, or with ``right`` after it."""
        head = f"{folder}/" if folder else ""
        stop = f"{folder}{_AFTER_SLASH}" if folder else None
        if start < head:
            start, right = head, False
        yield from self.between(start, stop, right)

    def between(
        self, start: str, stop: str | None = None, right: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows from the key ``start`` on (with ``right`` after it), up to ``stop``.

        Raises
        ------
        SourceError
            When the file is not on this machine.
        """
        files = [self.file] if self.pieces is None else self.pieces.files(start, stop)
        for file in files:
            yield from _rows_between(file, start, stop, right)


def date_text(taken: datetime) -> str:
    """Return a time in UTC to the second: ``2026-11-29T00:00:00Z``."""
    return taken.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rows_between(file: str, start: str, stop: str | None, right: bool) -> Iterator[pa.RecordBatch]:
    firsts = _opened(file).firsts
    for group in range(max(bisect_right(firsts, start) - 1, 0), len(firsts)):
        if stop is not None and firsts[group] >= stop:
            return
        rows = _group(file, group)
        paths = rows["path"]
        low = _place(paths, start, right)
        high = len(rows) if stop is None else _place(paths, stop)
        for begin in range(low, high, BATCH_ROWS):
            yield rows.slice(begin, min(BATCH_ROWS, high - begin))


@dataclass(frozen=True)
class _Opened:
    metadata: Any
    firsts: list[str]


@lru_cache(maxsize=1024)
def _opened(file: str) -> _Opened:
    try:
        metadata = pq.read_metadata(file)
    except FileNotFoundError:
        raise SourceError(
            f"the sorted inventory {file} is not on this machine: run in threads or processes of "
            "one machine, or set TMPDIR to a folder that all machines share"
        ) from None
    groups = range(metadata.num_row_groups)
    firsts = [metadata.row_group(at).column(0).statistics.min for at in groups]
    return _Opened(metadata, firsts)


@lru_cache(maxsize=4)
def _group(file: str, group: int) -> pa.RecordBatch:
    """Return a row group: walks side by side, and those of small arrays, ask for the same ones."""
    with pq.ParquetFile(Path(file), metadata=_opened(file).metadata) as opened:
        table = opened.read_row_group(group, use_threads=False).combine_chunks()
    batches: list[pa.RecordBatch] = table.to_batches()
    return batches[0]


def _place(paths: pa.StringArray, key: str, right: bool = False) -> int:
    """Return how many paths sort before ``key``; with ``right``, or are it."""
    if right:
        return bisect_right(_Texts(paths), key)
    return bisect_left(_Texts(paths), key)


class _Texts:
    """Arrow's strings as Python's, each as it is asked for, for bisecting."""

    def __init__(self, paths: pa.StringArray) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, at: int) -> str:
        text: str = self._paths[at].as_py()
        return text
