"""Sorted rows of an inventory, written to a file: each key once, and a digest of all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.inventories.sorted_objects import SCHEMA, TAGGED

#: What no time is in a digest.
_UNTIMED = -(1 << 63)


@dataclass(frozen=True)
class Sorted:
    """Rows that were written: their ``count`` and ``digest``; ``untimed`` of them have no time.

    ``twice`` more came again, and were left out.
    """

    count: int
    digest: str
    twice: int
    untimed: int


def write_sorted(
    batches: Iterable[pa.RecordBatch], file: Path, where: str, identity: str = "none"
) -> Sorted:
    """Write sorted rows, each key once: with its time, where only some of its rows have one.

    Raises
    ------
    InputError
        Naming the key that comes twice with two sizes or times.
    """
    digest, count, twice, untimed = _Digest(), 0, 0, 0
    previous: pa.RecordBatch | None = None
    with rows_writer(file, TAGGED if identity == "etag" else SCHEMA) as writer:
        for batch in batches:
            rows, repeated = _once(batch, previous, where)
            twice += repeated
            if rows.num_rows:
                previous = rows.slice(rows.num_rows - 1)
                digest.add(rows)
                count += rows.num_rows
                untimed += rows["modified"].null_count
                writer.write_batch(rows)
    return Sorted(count, digest.text, twice, untimed)


def rows_writer(file: Path | IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """Return what writes rows, of which each batch is a row group."""
    return pq.ParquetWriter(
        file, schema, compression="zstd", compression_level=1, use_dictionary=False
    )


def _once(
    rows: pa.RecordBatch, previous: pa.RecordBatch | None, where: str
) -> tuple[pa.RecordBatch, int]:
    """Leave out rows that come again, and return how many; two that disagree are refused."""
    if previous is not None:
        rows = pa.concat_batches([previous, rows])
    repeated = np.zeros(rows.num_rows, bool)
    paths = rows["path"]
    if rows.num_rows > 1:
        equal = pc.equal(paths.slice(1), paths.slice(0, rows.num_rows - 1))
        repeated[1:] = np.asarray(equal).astype(bool)
    for at in np.flatnonzero(repeated).tolist() if repeated.any() else ():
        for name in rows.schema.names[1:]:
            one, other = rows[name][at - 1].as_py(), rows[name][at].as_py()
            if one != other and not (name == "modified" and other is None):
                raise InputError(
                    f"{where}: {paths[at].as_py()} comes twice, with two {name}s ({one} and "
                    f"{other}): give one inventory, or a column is_latest that tells versions apart"
                )
    if previous is not None:
        rows, repeated = rows.slice(1), repeated[1:]
    count = int(repeated.sum())
    return (rows.filter(pa.array(~repeated)) if count else rows), count


class _Digest:
    """A digest of rows that does not depend on how they come in batches."""

    def __init__(self) -> None:
        self._columns = [hashlib.blake2b(digest_size=16) for _ in range(4)]
        self._tags = [hashlib.blake2b(digest_size=16) for _ in range(2)]
        self._tagged = False

    def add(self, rows: pa.RecordBatch) -> None:
        data, lengths = _text_of(rows["path"])
        times = pc.fill_null(rows["modified"], _UNTIMED)
        numbers = (lengths, rows["size"].to_numpy(), times.to_numpy())
        self._columns[0].update(data)
        for column, values in zip(self._columns[1:], numbers, strict=True):
            column.update(np.ascontiguousarray(values).tobytes())
        if "etag" in rows.schema.names:
            self._tagged = True
            data, lengths = _text_of(pc.fill_null(rows["etag"], ""))
            self._tags[0].update(data)
            self._tags[1].update(lengths.tobytes())

    @property
    def text(self) -> str:
        columns = [*self._columns, *(self._tags if self._tagged else ())]
        whole = b"".join(column.digest() for column in columns)
        return hashlib.blake2b(whole, digest_size=16).hexdigest()


def _text_of(column: pa.StringArray) -> tuple[memoryview, NDArray[np.int32]]:
    """Return the characters of all texts, and how many bytes of them each has."""
    text = pa.concat_arrays([column]) if column.offset == 0 else column.take(_all(len(column)))
    offsets = np.frombuffer(text.buffers()[1], np.int32, len(text) + 1)
    data = memoryview(text.buffers()[2] or b"")[int(offsets[0]) : int(offsets[-1])]
    return data, np.diff(offsets)


def _all(count: int) -> pa.Array:
    return pa.array(np.arange(count))
