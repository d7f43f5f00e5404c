"""Record files as calls that icechunk takes, made in a thread while icechunk is at work."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from parchunk.cover import boxes_of_numbers
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.chunk_indices import chunk_key, unravel
from parchunk.icechunk_import.locations import Container
from parchunk.icechunk_import.references import Receipts, Rows, read_rows
from parchunk.metadata.spec import ArraySpec
from parchunk.output import Output
from parchunk.plan import Partition, Plan

_T = TypeVar("_T")


@dataclass(frozen=True)
class Piece:
    """A run of a partition's references.

    ``calls`` set the virtual ones in a session's store, ``inlined`` are the others by their keys;
    ``present`` says which chunks of the run have either.
    """

    present: NDArray[np.bool_]
    calls: tuple[adapter.SetCall, ...]
    inlined: dict[str, bytes]


class Pieces:
    """The pieces of partitions, to be taken in the order in which the partitions were given."""

    def __init__(
        self,
        output: Output,
        plan: Plan,
        receipts: Receipts,
        container: Container,
        checksum: bool,
        partitions: Iterable[Partition],
    ) -> None:
        self._output = output
        self._plan = plan
        self._receipts = receipts
        self._container = container
        self._checksum = checksum
        self._ahead = one_ahead(self._all(partitions))

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.close()

    def of(self, partition: Partition) -> Iterator[Piece]:
        """Yield the pieces of the next partition."""
        for owner, piece in self._ahead:
            assert owner == partition, "partitions are taken in order"
            if piece is None:
                return
            yield piece

    def _all(self, partitions: Iterable[Partition]) -> Iterator[tuple[Partition, Piece | None]]:
        """Yield partitions with their pieces, and with None after the last one of each."""
        size = self._plan.record_size
        for partition in partitions:
            receipt = self._receipts[(partition.array, partition.region)]
            spec = self._plan.by_name[partition.array].spec
            modified = None
            if self._checksum and receipt.last_modified is not None:
                # A local file's nanoseconds were cut off in the receipt, but icechunk sees them.
                finer = int(self._plan.location.scheme == "file")
                modified = adapter.whole_second_after(receipt.last_modified + finer)
            for rows in read_rows(self._output, partition, receipt.record_files, size):
                yield partition, self._piece(spec, rows, modified)
            yield partition, None

    def _piece(self, spec: ArraySpec, rows: Rows, modified: Any) -> Piece:
        calls: list[adapter.SetCall] = []
        if rows.referenced.any():
            locations = self._container.locations(spec.name, rows.path)
            begin = rows.begin
            for box in boxes_of_numbers(spec.reference_grid, begin, begin + len(rows)):
                shape = tuple(b - a for a, b in zip(box.start, box.stop, strict=True))
                cells = int(np.prod(shape, dtype=np.int64))
                at = slice(begin - rows.begin, begin - rows.begin + cells)
                calls.append(
                    adapter.prepare(
                        f"/{spec.name}",
                        box.start,
                        shape,
                        locations[at],
                        rows.offset[at],
                        rows.size[at],
                        modified,
                    )
                )
                begin += cells
        inlined: dict[str, bytes] = {}
        where = np.flatnonzero(rows.inlined)
        if len(where):
            index = unravel(where + rows.begin, spec.reference_grid)
            inlined = {
                chunk_key(spec.name, at): rows.raw[row].as_py()
                for at, row in zip(index.tolist(), where.tolist(), strict=True)
            }
        return Piece(rows.referenced | rows.inlined, tuple(calls), inlined)


def one_ahead(items: Iterable[_T]) -> Generator[_T]:
    """Yield ``items``, each made in a thread while the one before it is in use.

    So two of them are held at a time. What making one raises is raised where it would be taken.
    """
    end: Any = object()
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="parchunk-read") as pool:
        coming = pool.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, iterator, end)
            yield item
