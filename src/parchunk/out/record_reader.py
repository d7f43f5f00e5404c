"""Rows of record files, by their positions; a few files are held at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.errors import InputError
from parchunk.keys.numbers import Int64Array
from parchunk.out.inlined import lengths, original
from parchunk.out.object_files import no_objects, read_objects
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import digest, have_columns, record_path
from parchunk.planning.plan import INLINED_BYTES
from parchunk.stores.identity import HELD_BYTES

#: Bytes a row takes that is held, and more while its file is read.
_HELD_ROW = 24
_READ_ROW = 24
#: How often what is kept of objects is held meanwhile: as Parquet, and as a column.
_KEPT_COPIES = 2
#: How often the inlined bytes of a row group are held while it is read: encoded ones, decoded.
_DECODED = 2


class ReadingRoom(Protocol):
    """The memory that there is to read record files back."""

    @property
    def room(self) -> int:
        """How many bytes."""

    def check_read(self, record_file: str, wanted: int) -> None:
        """Refuse to read a record file that takes more bytes than there are."""


@dataclass(frozen=True)
class _Held:
    """Rows of a record file, shape (n,) each; ``data`` is the file where some are inlined."""

    offsets: Int64Array
    sizes: Int64Array
    inlined: Int64Array
    data: bytes | None
    identities: pa.Array | None = None

    @property
    def weight(self) -> int:
        """The bytes that it takes."""
        kept = 0 if self.identities is None else int(self.identities.nbytes)
        return _HELD_ROW * len(self.offsets) + len(self.data or b"") + kept


class HeldFiles:
    """Record files that all who share it have read last, and have room for together."""

    def __init__(self, room: ReadingRoom) -> None:
        self._room = room
        self._held: OrderedDict[tuple[RecordReader, int], _Held] = OrderedDict()
        #: The bytes of all of them.
        self._weight = 0
        #: Held while a file is read, or its inlined bytes are: one at a time.
        self.lock = threading.Lock()

    def get(self, reader: RecordReader, at: int) -> _Held:
        """Return a file of a reader; ``lock`` is held."""
        key = (reader, at)
        found = self._held.get(key)
        if found is None:
            wanted = reader.most_to_read(at)
            while self._held and self._weight + wanted > self._room.room:
                _, forgotten = self._held.popitem(last=False)
                self._weight -= forgotten.weight
            found = self._held[key] = reader.read(at, self._room)
            self._weight += found.weight
        self._held.move_to_end(key)
        return found


@dataclass(frozen=True)
class Columns:
    """Rows without their paths, shape (n,) each; ``inlined`` are bytes, -1 of a row that is not.

    A row of size 0 that is not inlined is missing. ``identities`` tell the versions of their
    objects apart, where they were kept.
    """

    offsets: Int64Array
    sizes: Int64Array
    inlined: Int64Array
    identities: pa.Array | None = None


class RecordReader:
    """Reads the rows of ``files``, record files of ``array`` in ``output``.

    The first row of file ``i`` is at position ``i * unit``. Chunks of up to ``threshold`` bytes
    are inlined there. ``identity`` is what is read of their objects, too. Safe for threads.
    """

    def __init__(
        self,
        output: Output,
        array: str,
        files: Iterable[RecordFile],
        unit: int,
        held: HeldFiles,
        threshold: int,
        identity: str = "none",
    ) -> None:
        """Prepare; nothing is read yet."""
        self._identity = identity
        self._output = output
        self._array = array
        self._files = sorted(files, key=lambda file: file.index)
        self._firsts = np.array([file.index * unit for file in self._files], np.int64)
        self._held = held
        self._threshold = threshold

    def take(self, positions: Int64Array) -> Columns:
        """Return the rows at ``positions``, which rise, shape (n,).

        Raises
        ------
        InputError
            When a record file is gone, or is not what its receipt says; or there is no room for it.
        """
        count = len(positions)
        taken = Columns(*(np.empty(count, np.int64) for _ in range(3)))
        kept: list[pa.Array] = []
        with self._held.lock:
            for at, begin, end in self._runs(positions):
                rows, held = positions[begin:end] - self._firsts[at], self._held.get(self, at)
                taken.offsets[begin:end] = held.offsets[rows]
                taken.sizes[begin:end] = held.sizes[rows]
                taken.inlined[begin:end] = held.inlined[rows]
                if held.identities is not None:
                    kept.append(held.identities.take(pa.array(rows)))
        return replace(taken, identities=pa.concat_arrays(kept)) if kept else taken

    def inlined(self, positions: Int64Array) -> list[bytes]:
        """Return what is inlined of the rows at ``positions``, which rise, and which all are."""
        found: list[bytes] = []
        with self._held.lock:
            for at, begin, end in self._runs(positions):
                data = self._held.get(self, at).data
                assert data is not None, f"{self._array}: a small chunk was not inlined"
                found.extend(_inlined(data, positions[begin:end] - self._firsts[at]))
        return found

    def _runs(self, positions: Int64Array) -> Iterator[tuple[int, int, int]]:
        """Yield which file has positions, and between which places these are."""
        which = np.searchsorted(self._firsts, positions, side="right") - 1
        begin = 0
        for end in (np.flatnonzero(np.diff(which, append=-1)) + 1).tolist():
            at = int(which[begin])
            if at < 0 or positions[end - 1] - self._firsts[at] >= self._files[at].rows:
                raise InputError(
                    f"{self._output.describe(self._array)}: no receipt has row "
                    f"{int(positions[end - 1])}: run parchunk update OUT --arrays {self._array}"
                )
            yield at, begin, end
            begin = end

    def most_to_read(self, at: int) -> int:
        """Return the bytes that it takes to read a file, at most."""
        file = self._files[at]
        decoded = INLINED_BYTES + 2 * self._threshold if self._threshold else 0
        kept = _KEPT_COPIES * HELD_BYTES[self._identity]
        return file.bytes + (_HELD_ROW + _READ_ROW + kept) * file.rows + _DECODED * decoded

    def read(self, at: int, room: ReadingRoom) -> _Held:
        """Return the rows of a file, which is what its receipt says."""
        file = self._files[at]
        path = record_path(self._array, file.index)
        room.check_read(path, self.most_to_read(at))
        data = self._output.get(path)
        if data is None or digest(data) != file.digest:
            what = "is gone" if data is None else "is not what its receipt says"
            raise InputError(
                f"{self._output.describe(path)} {what}: run parchunk update OUT --arrays "
                f"{self._array}, which lists all of it again"
            )
        with pq.ParquetFile(pa.BufferReader(data)) as opened:
            if opened.metadata.num_rows != file.rows or not have_columns(opened.schema_arrow):
                raise InputError(f"{self._output.describe(path)} holds no references")
            table = opened.read(["offset", "size"], use_threads=False)
            inlined = np.concatenate([np.zeros(0, np.int64), *_sizes(opened)])
        if any(column.null_count for column in table.columns):
            raise InputError(f"{self._output.describe(path)} holds no references")
        offsets, sizes = (column.to_numpy().astype(np.int64) for column in table.columns)
        return _Held(
            offsets, sizes, inlined, data if (inlined >= 0).any() else None, self._kept(file)
        )

    def _kept(self, file: RecordFile) -> pa.Array | None:
        """Return what is kept of the objects of a file's rows."""
        if self._identity == "none":
            return None
        found = read_objects(self._output, self._array, file, self._identity)
        return no_objects(self._identity, file.rows) if found is None else found


def _sizes(opened: pq.ParquetFile) -> Iterator[Int64Array]:
    """Yield the sizes of chunks that are inlined, -1 where none is."""
    for group in range(opened.num_row_groups):
        for chunk in opened.read_row_group(group, ["raw"], use_threads=False).column(0).chunks:
            yield np.where(np.asarray(chunk.is_valid()), lengths(chunk), -1)


def _inlined(data: bytes, rows: Int64Array) -> Iterator[bytes]:
    """Yield the chunks that rows of a file have inlined; rows rise."""
    first = 0
    with pq.ParquetFile(pa.BufferReader(data)) as opened:
        for group in range(opened.num_row_groups):
            count = opened.metadata.row_group(group).num_rows
            begin, end = np.searchsorted(rows, [first, first + count]).tolist()
            if begin < end:
                column = opened.read_row_group(group, ["raw"], use_threads=False).column(0)
                for row in (rows[begin:end] - first).tolist():
                    yield original(column[row].as_py())
            first += count
