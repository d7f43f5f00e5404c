"""Record files as calls that icechunk takes, made in a thread while icechunk is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.locations import Container, chunk_key
from parchunk.keys.boxes import boxes_of_numbers
from parchunk.keys.numbers import unravel
from parchunk.metadata.spec import ArraySpec
from parchunk.out.inlined import original
from parchunk.out.output import Output
from parchunk.planning.plan import Partition, Plan
from parchunk.reading.rows import Receipts, Rows, read_rows

_T = TypeVar("_T")


@dataclass(frozen=True)
class Calls:
    """A run of a partition's references as calls.

    ``virtual`` set the virtual ones in a session's store, ``inlined`` are the others by their keys;
    ``present`` says which chunks of the run have either.
    """

    present: NDArray[np.bool_]
    virtual: tuple[adapter.SetCall, ...]
    inlined: dict[str, bytes]


def read_calls(
    output: Output,
    plan: Plan,
    receipts: Receipts,
    container: Container,
    checksum: bool,
    rows: int,
    partitions: Iterable[Partition],
    shift: Callable[[str], Sequence[int]],
) -> Iterator[Calls]:
    """Yield the calls of partitions, of at most ``rows`` chunks each, one partition's in a row.

    ``shift`` tells by how many chunks along each axis those of an array are moved.
    """
    for partition in partitions:
        receipt = receipts[partition.key]
        spec = plan.by_name[partition.array].spec
        modified = None
        if checksum and receipt.last_modified is not None:
            # A local file's nanoseconds were cut off in the receipt, but icechunk sees them.
            finer = int(plan.location.scheme == "file")
            modified = adapter.whole_second_after(receipt.last_modified + finer)
        for read in read_rows(output, partition, receipt.record_files, plan.record_size, rows):
            yield _calls(spec, container, read, modified, shift(spec.name))


def _calls(
    spec: ArraySpec,
    container: Container,
    rows: Rows,
    modified: datetime | None,
    shift: Sequence[int],
) -> Calls:
    virtual: list[adapter.SetCall] = []
    if rows.referenced.any():
        locations = container.locations(spec.name, rows.path)
        begin = rows.begin
        for box in boxes_of_numbers(spec.reference_grid, begin, begin + len(rows)):
            shape = tuple(b - a for a, b in zip(box.start, box.stop, strict=True))
            count = prod(shape)
            at = slice(begin - rows.begin, begin - rows.begin + count)
            virtual.append(
                adapter.prepare(
                    f"/{spec.name}",
                    tuple(a + by for a, by in zip(box.start, shift, strict=True)),
                    shape,
                    locations[at],
                    rows.offset[at],
                    rows.size[at],
                    modified,
                )
            )
            begin += count
    inlined: dict[str, bytes] = {}
    where = np.flatnonzero(rows.inlined)
    if len(where):
        index = unravel(where + rows.begin, spec.reference_grid) + np.array(shift, np.int64)
        inlined = {
            chunk_key(spec.name, at): original(rows.raw[row].as_py())
            for at, row in zip(index.tolist(), where.tolist(), strict=True)
        }
    return Calls(rows.referenced | rows.inlined, tuple(virtual), inlined)


def calls_of(partition: Partition, runs: Iterator[Calls]) -> Iterator[Calls]:
    """Yield the calls of the next partition, run by run, of those of several."""
    left = partition.rows.total
    while left:
        run = next(runs)
        left -= len(run.present)
        assert left >= 0, "a run is of one partition, and partitions are taken in order"
        yield run


@contextmanager
def one_ahead(items: Iterable[_T]) -> Iterator[Iterator[_T]]:
    """Yield ``items``, each made in a thread while the one before it is in use.

    The first is begun at once. So two of them are held at a time. What making one raises is raised
    where it would be taken.
    """
    end: Any = object()
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="parchunk-read") as pool:
        first = pool.submit(next, iterator, end)

        def taken(coming: Future[_T]) -> Iterator[_T]:
            while (item := coming.result()) is not end:
                coming = pool.submit(next, iterator, end)
                yield item

        yield taken(first)
