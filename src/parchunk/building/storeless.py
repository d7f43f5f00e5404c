"""Partitions of which no store has a chunk: kept coordinates, arrays that stores lack, no rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from parchunk.out.inlined import column
from parchunk.out.output import Output
from parchunk.out.receipt_files import ReceiptWriter
from parchunk.out.receipts import Receipt, RecordFile, check_counts
from parchunk.out.record_files import References, digest, encode, record_index, record_path
from parchunk.planning.joining.segments import segments
from parchunk.planning.plan import Partition, Plan


def write_storeless(plan: Plan, output: Output, pending: Sequence[Partition]) -> Iterator[Receipt]:
    """Write the partitions that no store has; yield the receipt of each.

    Raises
    ------
    OutputError
        When OUT cannot be written.
    """
    stores = plan.stores
    if stores is None:
        return
    storeless = [
        partition
        for partition in pending
        if all(segment.store is None for segment in segments(plan, partition))
    ]
    with ReceiptWriter(output, plan) as writer:
        for partition in storeless:
            chunk = stores.kept.get(partition.array)
            receipt = _receipt(plan, partition, chunk, _write(plan, output, partition, chunk))
            check_counts(receipt, partition)
            writer.write(partition, receipt)
            yield receipt


def _write(
    plan: Plan, output: Output, partition: Partition, chunk: bytes | None
) -> tuple[RecordFile, ...]:
    """Write the record files of a partition."""
    name, total = partition.array, plan.by_name[partition.array].spec.reference_total
    files = []
    for begin in range(0, partition.rows.total, plan.record_size):
        end = min(begin + plan.record_size, partition.rows.total)
        numbers = partition.rows.numbers(begin, end)
        index = record_index(name, numbers, plan.record_size, total)
        data = encode(_rows(len(numbers), chunk))
        output.put(record_path(name, index), data)
        present = int(chunk is not None)
        files.append(RecordFile(index, len(numbers), present, len(data), digest(data)))
    return tuple(files)


def _rows(count: int, chunk: bytes | None) -> References:
    """Return rows of which the first has the chunk's bytes, and all others are missing."""
    zeros = np.zeros(count, np.int64)
    raw = column([chunk, *[None] * (count - 1)])
    return References(pa.nulls(count, pa.string()), zeros, zeros, raw)


def _receipt(
    plan: Plan, partition: Partition, chunk: bytes | None, files: tuple[RecordFile, ...]
) -> Receipt:
    elements, spec = plan.elements(partition), plan.by_name[partition.array].spec
    present, expected = int(chunk is not None), partition.rows.total
    return Receipt(
        expected=expected,
        present=present,
        missing=expected - present,
        inlined=present,
        bytes=0 if chunk is None else len(chunk),
        shards_expected=partition.objects.total if spec.inner_chunks is not None else 0,
        fingerprint=plan.fingerprint,
        array=partition.array,
        region=partition.region,
        dimension=None if elements is None else str(plan.split),
        start=None if elements is None else elements[0],
        stop=None if elements is None else elements[1],
        stray_reasons={},
        last_modified=None,
        verified=True,
        ordered=True,
        record_files=files,
    )
