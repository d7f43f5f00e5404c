"""Record files as calls that icechunk takes, made in a thread while icechunk is at work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.locations import Container, chunk_key
from parchunk.icechunk_import.pins import pins_of
from parchunk.keys.boxes import boxes_of_numbers
from parchunk.keys.numbers import unravel
from parchunk.metadata.spec import ArraySpec
from parchunk.out.inlined import original
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import Partition
from parchunk.reading.rows import Rows, read_rows

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


@dataclass(frozen=True)
class Lot:
    """One partition's references to be set, moved by ``shift`` chunks along each axis."""

    partition: Partition
    spec: ArraySpec
    receipt: Receipt
    shift: tuple[int, ...]

    def check(self, written: int) -> None:
        """Check that so many chunks were set as the receipt says there are.

        Raises
        ------
        InputError
            Naming the partition.
        """
        if written != self.receipt.present:
            raise InputError(
                f"{self.partition}: {written:,} references in its record files, "
                f"{self.receipt.present:,} in its receipt: delete that receipt and build again, "
                "then import again"
            )


@dataclass(frozen=True)
class Reading:
    """How the record files of an OUT are read for a repository; picklable.

    Calls are of at most ``rows`` chunks each. ``identity`` is what was kept of each object, to
    which its references are pinned where ``checksum`` says so.
    """

    output: Output
    record_size: int
    container: Container
    checksum: bool
    rows: int
    identity: str = "none"

    def calls(self, lots: Iterable[Lot]) -> Iterator[Calls]:
        """Yield the calls of partitions, one partition's in a row."""
        for lot in lots:
            receipt = lot.receipt
            modified, scheme = None, self.container.source.scheme
            if self.checksum and receipt.last_modified is not None:
                # A local file's nanoseconds were cut off in the receipt, but icechunk sees them.
                modified = adapter.whole_second_after(receipt.last_modified + (scheme == "file"))
            files, size = receipt.record_files, self.record_size
            identity = self.identity if self.checksum else "none"
            for read in read_rows(self.output, lot.partition, files, size, self.rows, identity):
                kept = read.identities
                pins = None if kept is None else pins_of(kept, scheme, modified)
                yield _calls(lot.spec, self.container, read, modified, lot.shift, pins)


def _calls(
    spec: ArraySpec,
    container: Container,
    rows: Rows,
    modified: datetime | None,
    shift: Sequence[int],
    pins: Sequence[adapter.Pin] | None,
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
                    modified if pins is None else pins[at],
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
