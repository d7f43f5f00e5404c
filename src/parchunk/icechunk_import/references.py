"""Reading references back from record files, a run of rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.output import ROOT, Output
from parchunk.plan import Partition, Plan
from parchunk.receipts import Receipt, RecordFile, read_receipts
from parchunk.record_files import digest, record_path

#: Rows handled together.
BATCH = 100_000

Receipts = Mapping[tuple[str, int | None], Receipt]


def finished_receipts(output: Output, plan: Plan) -> Receipts:
    """Return the receipts of a finished build; InputError for one that is not."""
    receipts = read_receipts(output, plan)
    missing = [str(p) for p in plan.partitions() if (p.array, p.region) not in receipts]
    if missing or output.get(ROOT) is None:
        what = f"{len(missing)} partitions are missing" if missing else "it was not published"
        raise InputError(
            f"{output.url} is unfinished ({what}): run its build again to resume, then import it"
        )
    return receipts


@dataclass(frozen=True)
class Rows:
    """The references of the chunk numbers ``[begin, begin + len)`` of one array.

    ``path`` is null for missing and for inlined chunks; ``raw`` has the bytes of the inlined.
    """

    begin: int
    path: pa.StringArray
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    raw: pa.BinaryArray

    def __len__(self) -> int:
        """Return the number of chunks, the missing ones included."""
        return len(self.offset)

    @cached_property
    def referenced(self) -> NDArray[np.bool_]:
        """Which chunks have a reference to an object."""
        return _is_valid(self.path)

    @cached_property
    def inlined(self) -> NDArray[np.bool_]:
        """Which chunks have their bytes in the references."""
        return _is_valid(self.raw)


def read_rows(
    output: Output, partition: Partition, files: Iterable[RecordFile], size: int
) -> Iterator[Rows]:
    """Yield the references of a partition's rows in the order of chunk numbers.

    ``files`` are those of the receipts, ``size`` is the record size. Rows of one batch have
    consecutive chunk numbers, and are BATCH at most.

    Raises
    ------
    InputError
        When a record file is gone or is not what its receipt says.
    """
    expected = {file.index: file for file in files}
    held: list[pa.Table] = []
    begin = count = 0
    for first, last in _runs(partition):
        for index in range(first // size, -(-last // size)):
            low, high = max(first, index * size), min(last, (index + 1) * size)
            file = _read_file(output, partition, index, expected.get(index))
            for at in range(low, high, BATCH):
                table = file.slice(at - index * size, min(high - at, BATCH))
                if held and (begin + count != at or count + len(table) > BATCH):
                    yield _rows(begin, held)
                    held, count = [], 0
                if not held:
                    begin = at
                held.append(table)
                count += len(table)
    if held:
        yield _rows(begin, held)


def _read_file(
    output: Output, partition: Partition, index: int, expected: RecordFile | None
) -> pa.Table:
    path = record_path(partition.array, index)
    data = output.get(path)
    if data is None or expected is None or digest(data) != expected.digest:
        what = "is gone" if data is None else "is not what its receipt says"
        raise InputError(
            f"{output.describe(path)} {what}: delete OUT's receipt of {partition} and build again, "
            "then import again"
        )
    # not read_table, which imports pandas first
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        return file.read(use_threads=False)


def _runs(partition: Partition) -> Iterator[tuple[int, int]]:
    """Yield the runs of consecutive chunk numbers of a partition, half-open."""
    rows = partition.rows
    if not rows.run:
        return
    for index in range(rows.first, rows.first + rows.count):
        yield index * rows.period + rows.start, index * rows.period + rows.stop


def _rows(begin: int, tables: list[pa.Table]) -> Rows:
    table = pa.concat_tables(tables) if len(tables) > 1 else tables[0]
    path, offset, size, raw = (
        column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        for column in (table.column(name) for name in ("path", "offset", "size", "raw"))
    )
    if pa.types.is_dictionary(path.type):
        path = pc.cast(path, pa.string())
    return Rows(begin, path, _integers(offset), _integers(size), raw)


# Not by Arrow's own conversions, which import pandas where it is installed: that takes longer
# than a small import.


def _integers(column: pa.Int64Array) -> NDArray[np.int64]:
    """Return the values of a column without nulls; not a copy."""
    assert not column.null_count, "a digest vouches for the file, which the build wrote without"
    return np.frombuffer(column.buffers()[1], np.int64, len(column), 8 * column.offset)


def _is_valid(column: pa.Array) -> NDArray[np.bool_]:
    """Return which values of a column are not null."""
    validity = column.buffers()[0]
    if validity is None:
        return np.ones(len(column), bool)
    end = column.offset + len(column)
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), count=end, bitorder="little")
    return bits[column.offset :].view(bool)
