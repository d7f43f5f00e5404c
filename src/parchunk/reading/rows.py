"""Reading references back from record files, a run of rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.out.object_files import no_objects, read_objects
from parchunk.out.output import PREVIOUS, ROOT, Output
from parchunk.out.receipt_files import has_receipt, read_receipts
from parchunk.out.receipts import Receipt, RecordFile
from parchunk.out.record_files import are_references, digest, record_path
from parchunk.planning.plan import Partition, PartitionKey, Plan
from parchunk.wording import counted

#: What is kept of a row's object, beside the columns of record files.
_IDENTITY = "identity"
#: Rows handled together, unless fewer are asked for.
BATCH = 100_000

Receipts = Mapping[PartitionKey, Receipt]


def finished_receipts(output: Output, plan: Plan) -> Receipts:
    """Return the receipts of a finished build; InputError for one that is not."""
    receipts = read_receipts(output, plan)
    missing = [str(p) for p in plan.partitions() if p.key not in receipts]
    published = output.get(ROOT) is not None
    if missing or not published:
        what = "it was not published"
        if missing:
            what = f"{counted(len(missing), 'partition is', 'partitions are')} missing"
        # Readers still have what was published, but nothing vouches for each part of it.
        remedy = "parchunk update, or wait for one that runs" if published else "its build again"
        raise InputError(
            f"{output.url} is unfinished ({what}): run {remedy}, to finish it, then import it"
        )
    return receipts


@dataclass(frozen=True)
class Rows:
    """The references of the chunk numbers ``[begin, begin + len)`` of one array.

    ``path`` is null for missing and for inlined chunks; ``raw`` has the bytes of the inlined.
    ``identities`` tell the versions of objects apart, where they were kept and are asked for.
    """

    begin: int
    path: pa.StringArray
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    raw: pa.BinaryArray
    identities: pa.Array | None = None

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
    output: Output,
    partition: Partition,
    files: Iterable[RecordFile] | None,
    size: int,
    rows: int = BATCH,
    identity: str = "none",
) -> Iterator[Rows]:
    """Yield the references of a partition's rows in the order of chunk numbers.

    ``files`` are those of the receipts, or None where there are none for all of them: then what
    lies there is taken, as other readers do. ``size`` is the record size. Rows of one batch have
    consecutive chunk numbers, and are ``rows`` at most. ``identity`` is what is read of their
    objects, too.

    Raises
    ------
    InputError
        When a record file is gone or is not what its receipt says.
    """
    expected = None if files is None else {file.index: file for file in files}
    held: list[pa.RecordBatch] = []
    begin = count = 0
    for first, last in _runs(partition):
        for index in range(first // size, -(-last // size)):
            low, high = max(first, index * size), min(last, (index + 1) * size)
            at = low
            numbers = range(low, high)
            for batch in _read_file(
                output, partition, index, expected, numbers, size, rows, identity
            ):
                if held and (begin + count != at or count + len(batch) > rows):
                    yield _rows(begin, held)
                    held, count = [], 0
                if not held:
                    begin = at
                held.append(batch)
                count += len(batch)
                at += len(batch)
            if at < high:
                raise _damaged(output, partition, index, "is not what its receipt says")
    if held:
        yield _rows(begin, held)


def _read_file(
    output: Output,
    partition: Partition,
    index: int,
    expected: Mapping[int, RecordFile] | None,
    numbers: range,
    size: int,
    rows: int,
    identity: str,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some chunk numbers of a record file, decoding no more than is taken."""
    path = record_path(partition.array, index)
    data = output.get(path)
    if data is None:
        raise _damaged(output, partition, index, "is gone")
    if expected is not None and (index not in expected or digest(data) != expected[index].digest):
        raise _damaged(output, partition, index, "is not what its receipt says")
    begin = first = index * size
    kept = _kept(
        output, partition.array, identity, None if expected is None else expected.get(index)
    )
    try:
        # not read_table, which imports pandas first
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            for batch in file.iter_batches(rows, use_threads=False):
                if not are_references(batch):
                    raise _damaged(output, partition, index, "holds no references")
                low, high = max(numbers.start, begin), min(numbers.stop, begin + len(batch))
                if low < high:
                    found = batch.slice(low - begin, high - low)
                    if kept is not None:
                        found = found.append_column(_IDENTITY, kept.slice(low - first, high - low))
                    yield found
                begin += len(batch)
    except (pa.ArrowException, OSError):
        # A digest vouches for what was written, but who can write OUT can write both.
        raise _damaged(output, partition, index, "cannot be decoded") from None


def _kept(output: Output, array: str, identity: str, file: RecordFile | None) -> pa.Array | None:
    """Return what is kept of the objects of a record file's rows, where that is asked for."""
    if identity == "none" or file is None:
        return None
    found = read_objects(output, array, file, identity)
    return no_objects(identity, file.rows) if found is None else found


def _damaged(output: Output, partition: Partition, index: int, what: str) -> InputError:
    where = output.describe(record_path(partition.array, index))
    if output.get(PREVIOUS) is not None or not has_receipt(output, partition):
        return InputError(
            f"{where} {what}, as {output.url} is being updated: import when the update is done"
        )
    return InputError(f"{where} {what}: run parchunk update OUT --repair, then import again")


def _runs(partition: Partition) -> Iterator[tuple[int, int]]:
    """Yield the runs of consecutive chunk numbers of a partition, half-open."""
    rows = partition.rows
    if not rows.run:
        return
    for index in range(rows.first, rows.first + rows.count):
        yield index * rows.period + rows.start, index * rows.period + rows.stop


def _rows(begin: int, batches: list[pa.RecordBatch]) -> Rows:
    path, offset, size, raw = (
        batches[0].column(name)
        if len(batches) == 1
        else pa.concat_arrays([batch.column(name) for batch in batches])
        for name in ("path", "offset", "size", "raw")
    )
    kept = [batch.column(_IDENTITY) for batch in batches if _IDENTITY in batch.schema.names]
    identities = pa.concat_arrays(kept) if kept else None
    return Rows(begin, path, _integers(offset), _integers(size), raw, identities)


# Not by Arrow's own conversions, which import pandas where it is installed: that takes longer
# than a small import.


def _integers(column: pa.Int64Array) -> NDArray[np.int64]:
    """Return the values of a column without nulls; not a copy."""
    return np.frombuffer(column.buffers()[1], np.int64, len(column), 8 * column.offset)


def _is_valid(column: pa.Array) -> NDArray[np.bool_]:
    """Return which values of a column are not null."""
    validity = column.buffers()[0]
    if validity is None:
        return np.ones(len(column), bool)
    end = column.offset + len(column)
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), count=end, bitorder="little")
    return bits[column.offset :].view(bool)
