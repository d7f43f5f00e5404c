"""Pieces: sorted objects cut into files of a million rows, each fetched when it is asked for.

So what many machines look into is sorted by one of them, and each fetches its share of it.
"""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pyarrow as pa

from parchunk.inventories.sorted_objects import GROUP_ROWS, SortedObjects
from parchunk.inventories.sorted_rows import rows_writer
from parchunk.inventories.workspace import Workspace, room_told

#: Row groups of a piece: a million rows, some MB.
GROUPS = 32


@dataclass(frozen=True)
class Piece:
    """A file of sorted rows: the ``digest`` of its bytes, its ``first`` key, and how many rows."""

    digest: str
    first: str
    rows: int


def pieces_of(
    objects: SortedObjects, groups: int = GROUPS, group: int = GROUP_ROWS
) -> Iterator[tuple[Piece, bytes]]:
    """Yield the rows of sorted objects as pieces, in their order.

    A piece has so many row groups at most, and each of these so many rows.
    """
    found = _groups_of(objects, group)
    rows = next(found, None)
    while rows is not None:
        first, count, file = rows["path"][0].as_py(), 0, BytesIO()
        with rows_writer(file, rows.schema) as writer:
            for _ in range(groups):
                writer.write_batch(rows)
                count += len(rows)
                if (rows := next(found, None)) is None:
                    break
        data = file.getvalue()
        yield Piece(piece_digest(data), first, count), data


def piece_digest(data: bytes) -> str:
    """Return what the bytes of a piece are known by."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Pieces:
    """The files of some pieces, as they are asked for; it goes to other processes without them.

    ``fetch`` returns the bytes of a piece.
    """

    def __init__(self, pieces: Sequence[Piece], fetch: Callable[[Piece], bytes]) -> None:
        """Begin with none fetched."""
        self._pieces, self._fetch = tuple(pieces), fetch
        self._firsts = [piece.first for piece in self._pieces]
        self._workspace: Workspace | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave what was fetched to the process that did it."""
        return {"pieces": self._pieces, "fetch": self._fetch}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin with none fetched."""
        self.__init__(state["pieces"], state["fetch"])  # type: ignore[misc]

    def files(self, start: str, stop: str | None) -> Iterator[str]:
        """Yield the files that may hold keys from ``start`` on, up to ``stop``, in their order."""
        for at in range(max(bisect_right(self._firsts, start) - 1, 0), len(self._pieces)):
            if stop is not None and self._firsts[at] >= stop:
                return
            yield self._file(self._pieces[at])

    def _file(self, piece: Piece) -> str:
        """Return where a piece is on this machine; one is fetched at a time, as it is held then."""
        with self._lock, room_told():
            self._workspace = self._workspace or Workspace()
            path = self._workspace.path / f"{piece.digest}.parquet"
            if not path.exists():
                begun = path.with_suffix(".part")
                begun.write_bytes(self._fetch(piece))
                begun.rename(path)
        return str(path)


def _groups_of(objects: SortedObjects, most: int) -> Iterator[pa.RecordBatch]:
    """Yield all rows, ``most`` of them together."""
    held: list[pa.RecordBatch] = []
    count = 0
    for rows in objects.between(""):
        while count + len(rows) >= most:
            head = rows.slice(0, most - count)
            yield pa.concat_batches([*held, head])
            rows, held, count = rows.slice(len(head)), [], 0
        held.append(rows)
        count += len(rows)
    if count:
        yield pa.concat_batches(held)
