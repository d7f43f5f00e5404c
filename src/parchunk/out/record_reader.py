"""Rows of an array's record files, by their positions; a few files are held at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.keys.numbers import Int64Array
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import are_references, digest, record_path

#: Record files held: what is read goes through them in order, at two places at a time or so.
_HELD = 4


@dataclass(frozen=True)
class Columns:
    """Rows without their paths, shape (n,) each: a row of size 0 and no bytes is missing."""

    offsets: Int64Array
    sizes: Int64Array
    raw: pa.BinaryArray


class RecordReader:
    """Reads the rows of ``files``, record files of ``array`` in ``output``.

    The first row of file ``i`` is at position ``i * unit``. Safe for threads.
    """

    def __init__(self, output: Output, array: str, files: Iterable[RecordFile], unit: int) -> None:
        self._output = output
        self._array = array
        self._files = sorted(files, key=lambda file: file.index)
        self._firsts = np.array([file.index * unit for file in self._files], np.int64)
        self._held: OrderedDict[int, Columns] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, positions: Int64Array) -> Columns:
        """Return the rows at ``positions``, which rise, shape (n,).

        Raises
        ------
        InputError
            When a record file is gone, or is not what its receipt says.
        """
        which = np.searchsorted(self._firsts, positions, side="right") - 1
        ends = np.flatnonzero(np.diff(which, append=-1)) + 1
        offsets, sizes = np.empty(len(positions), np.int64), np.empty(len(positions), np.int64)
        raw: list[pa.BinaryArray] = []
        begin = 0
        for end in ends.tolist():
            at = int(which[begin])
            rows = positions[begin:end] - self._firsts[at]
            if at < 0 or rows[-1] >= self._files[at].rows:
                raise InputError(
                    f"{self._output.describe(self._array)}: no receipt has row "
                    f"{int(positions[end - 1])}: run parchunk update OUT --arrays {self._array}"
                )
            held = self._columns(at)
            offsets[begin:end], sizes[begin:end] = held.offsets[rows], held.sizes[rows]
            raw.append(
                held.raw.take(pa.array(rows))
                if held.raw.null_count < len(held.raw)
                else pa.nulls(len(rows), pa.binary())
            )
            begin = end
        return Columns(offsets, sizes, pa.concat_arrays(raw) if raw else pa.nulls(0, pa.binary()))

    def _columns(self, at: int) -> Columns:
        with self._lock:
            found = self._held.get(at)
            if found is None:
                found = self._held[at] = self._read(self._files[at])
                while len(self._held) > _HELD:
                    self._held.popitem(last=False)
            self._held.move_to_end(at)
            return found

    def _read(self, file: RecordFile) -> Columns:
        path = record_path(self._array, file.index)
        data = self._output.get(path)
        if data is None or digest(data) != file.digest:
            what = "is gone" if data is None else "is not what its receipt says"
            raise InputError(
                f"{self._output.describe(path)} {what}: run parchunk update OUT --arrays "
                f"{self._array}, which lists all of it again"
            )
        with pq.ParquetFile(pa.BufferReader(data)) as opened:
            batches = list(opened.iter_batches(max(file.rows, 1), use_threads=False))
        if sum(map(len, batches)) != file.rows or not all(map(are_references, batches)):
            raise InputError(f"{self._output.describe(path)} holds no references")
        return Columns(
            _integers(batches, "offset"),
            _integers(batches, "size"),
            pa.concat_arrays([batch.column("raw") for batch in batches]),
        )


def _integers(batches: list[pa.RecordBatch], name: str) -> NDArray[np.int64]:
    return np.concatenate([np.asarray(batch.column(name)) for batch in batches])
