"""Rows that are known already: of an older build, under other numbers, and what came since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.errors import OutputError
from parchunk.keys.numbers import Int64Array, ravel, unravel
from parchunk.keys.row_sets import RowSet
from parchunk.keys.spelling import PathBuilder
from parchunk.listing.tally import Part
from parchunk.metadata.shard_grid import shard_numbers
from parchunk.metadata.spec import ArraySpec
from parchunk.out.counts import NOTHING, Counts
from parchunk.out.record_reader import Columns, RecordReader
from parchunk.stores.source import Source
from parchunk.writing.rows import FileRows
from parchunk.writing.shard_rows import shared_paths


@dataclass(frozen=True)
class Before:
    """Rows of an older build over ``grid``; ``known`` chunks along each axis hold what they did."""

    grid: tuple[int, ...]
    known: tuple[int, ...]
    reader: RecordReader


@dataclass(frozen=True)
class Since:
    """Rows that were listed since, as they are numbered now."""

    rows: RowSet
    reader: RecordReader


@dataclass(frozen=True)
class KnownFileRows(FileRows):
    """Rows by their ``numbers``: the bytes of those that are inlined are read when they are due."""

    numbers: Int64Array = field(kw_only=True)


#: The path of the object of each row, given their numbers and which of them are referenced.
ObjectPaths = Callable[
    [Int64Array, NDArray[np.bool_]], pa.StringArray | pa.DictionaryArray
]  # fmt: skip


def paths_in(source: Source, spec: ArraySpec) -> ObjectPaths:
    """Return what spells the paths of an array's objects as they lie in a source."""
    spelling = PathBuilder(f"{source.describe(spec.name)}/", spec.space)
    return spelling.build if spec.inner_chunks is None else partial(shared_paths, spelling)


class KnownRows:
    """The rows of one array, each looked up where it is known. Every present row has its bytes or
    its place there, as no row was zero-sized and no shard had empty entries.
    """

    #: Nothing is asked of the source.
    requests = 0

    def __init__(
        self, spec: ArraySpec, paths: ObjectPaths, before: Before, since: Sequence[Since]
    ) -> None:
        self.spec = spec
        self.paths = paths
        self._before = before
        self._since = since

    def pieces(self, part: Part) -> Iterator[KnownPiece]:
        """Yield the rows of a part, which are all known."""
        yield KnownPiece(self, part.rows)

    def counts(self, part: Part) -> Counts:
        """Return nothing: the caller knows its objects."""
        return NOTHING

    def look_up(self, numbers: Int64Array) -> Columns:
        """Return what is known of rows, shape (n,) each."""
        found = Columns(*(np.zeros(len(numbers), np.int64) for _ in range(3)))
        kept: list[pa.Array] = []
        places: list[Int64Array] = []
        for mine, positions, reader in self._places(numbers):
            columns = reader.take(positions)
            found.offsets[mine], found.sizes[mine] = columns.offsets, columns.sizes
            found.inlined[mine] = columns.inlined
            if columns.identities is not None:
                kept.append(columns.identities)
                places.append(np.flatnonzero(mine))
        if not kept:
            return found
        order = np.empty(len(numbers), np.int64)  # every row is known to one
        order[np.concatenate(places)] = np.arange(len(numbers))
        return replace(found, identities=pa.concat_arrays(kept).take(pa.array(order)))

    def inlined(self, numbers: Int64Array) -> list[bytes]:
        """Return the bytes of rows that are all inlined."""
        found: list[bytes] = [b""] * len(numbers)
        for mine, positions, reader in self._places(numbers):
            known = reader.inlined(positions)
            for at, chunk in zip(np.flatnonzero(mine).tolist(), known, strict=True):
                found[at] = chunk
        return found

    def _places(
        self, numbers: Int64Array
    ) -> list[tuple[NDArray[np.bool_], Int64Array, RecordReader]]:
        """Return which rows each reader knows, with their positions there; all are known to one."""
        indices = unravel(numbers, self.spec.reference_grid)
        known: NDArray[np.bool_] = np.all(indices < np.array(self._before.known), axis=1)
        left = ~known
        found = [(known, ravel(indices[known], self._before.grid), self._before.reader)]
        del indices
        for since in self._since:
            positions = np.where(left, since.rows.positions(numbers), -1)
            mine = positions >= 0
            left &= ~mine
            found.append((mine, positions[mine], since.reader))
        if left.any():
            raise OutputError(
                f"{self.spec.name}: row {int(numbers[left][0])} is nowhere known: nothing was "
                "published; please report this"
            )
        return [place for place in found if len(place[1])]


@dataclass(frozen=True)
class KnownPiece:
    """The rows of a part."""

    source: KnownRows
    rows: RowSet

    def file(self, begin: int, numbers: Int64Array) -> KnownFileRows:
        """Return the rows of one record file, as they are known."""
        spec = self.source.spec
        known = self.source.look_up(numbers)
        inlined = known.inlined >= 0
        return KnownFileRows(
            objects=numbers if spec.inner_chunks is None else shard_numbers(spec, numbers),
            present=inlined | (known.sizes > 0),
            offsets=known.offsets,
            sizes=np.where(inlined, known.inlined, known.sizes),
            counts=NOTHING,
            identities=known.identities,
            numbers=numbers,
        )

    def paths(
        self, objects: Int64Array, referenced: NDArray[np.bool_]
    ) -> pa.StringArray | pa.DictionaryArray:
        """Return the path of each row's object."""
        return self.source.paths(objects, referenced)

    def fetch(self, rows: FileRows, small: NDArray[np.bool_]) -> list[bytes | None]:
        """Return the bytes of the small chunks, which are inlined where they were known."""
        assert isinstance(rows, KnownFileRows)
        content: list[bytes | None] = [None] * len(small)
        chunks = self.source.inlined(rows.numbers[small])
        for row, size, chunk in zip(
            np.flatnonzero(small).tolist(), rows.sizes[small].tolist(), chunks, strict=True
        ):
            assert len(chunk) == size, f"{self.source.spec.name}: a small chunk was not inlined"
            content[row] = chunk
        return content
