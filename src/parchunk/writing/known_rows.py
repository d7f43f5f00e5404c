"""Rows that are known already: of an older build, under other numbers, and what came since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from parchunk.errors import OutputError
from parchunk.keys.numbers import Int64Array, ravel, unravel
from parchunk.keys.row_sets import RowSet
from parchunk.keys.spelling import PathBuilder
from parchunk.listing.tally import Part
from parchunk.metadata.shard_grid import shard_numbers
from parchunk.metadata.spec import ArraySpec
from parchunk.out.counts import Counts
from parchunk.out.inlined import lengths, original
from parchunk.out.record_reader import RecordReader
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
    """Rows with the bytes of those that are inlined."""

    raw: pa.BinaryArray


class KnownRows:
    """The rows of one array, each looked up where it is known. Every present row has its bytes or
    its place there, as no row was zero-sized and no shard had empty entries.
    """

    #: Nothing is asked of the source.
    requests = 0

    def __init__(
        self, spec: ArraySpec, source: Source, before: Before, since: Sequence[Since]
    ) -> None:
        self.spec = spec
        self.spelling = PathBuilder(f"{source.describe(spec.name)}/", spec.space)
        self._before = before
        self._since = since

    def pieces(self, part: Part) -> Iterator[KnownPiece]:
        """Yield the rows of a part, which are all known."""
        yield KnownPiece(self, part.rows)

    def counts(self, part: Part) -> Counts:
        """Return nothing: the caller knows its objects."""
        return Counts()

    def look_up(self, numbers: Int64Array) -> tuple[Int64Array, Int64Array, pa.BinaryArray]:
        """Return offsets and sizes of rows, and the bytes of inlined ones, shape (n,) each."""
        count = len(numbers)
        offsets, sizes = np.zeros(count, np.int64), np.zeros(count, np.int64)
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
        raw: list[pa.BinaryArray] = []
        places: list[NDArray[np.int64]] = []
        for mine, positions, reader in found:
            if not len(positions):
                continue
            columns = reader.take(positions)
            offsets[mine], sizes[mine] = columns.offsets, columns.sizes
            there = np.asarray(pc.is_valid(columns.raw))
            places.append(np.flatnonzero(mine)[there])
            raw.append(columns.raw.filter(pa.array(there)))
        return offsets, sizes, _spread(raw, places, count)


def _spread(
    raw: Sequence[pa.BinaryArray], places: Sequence[Int64Array], count: int
) -> pa.BinaryArray:
    """Return a column of ``count`` rows with these values at these places, null elsewhere."""
    if not any(map(len, places)):
        return pa.nulls(count, pa.binary())
    picks = np.full(count, -1, np.int64)
    at = np.concatenate(places)
    picks[at] = np.arange(len(at))
    return pa.concat_arrays(raw).take(pa.array(picks, mask=picks < 0))


@dataclass(frozen=True)
class KnownPiece:
    """The rows of a part."""

    source: KnownRows
    rows: RowSet

    def file(self, begin: int, numbers: Int64Array) -> KnownFileRows:
        """Return the rows of one record file, as they are known."""
        spec = self.source.spec
        offsets, sizes, raw = self.source.look_up(numbers)
        inlined = np.asarray(pc.is_valid(raw))
        sizes = np.where(inlined, lengths(raw), sizes)
        return KnownFileRows(
            objects=numbers if spec.inner_chunks is None else shard_numbers(spec, numbers),
            present=inlined | (sizes > 0),
            offsets=offsets,
            sizes=sizes,
            counts=Counts(),
            raw=raw,
        )

    def paths(
        self, objects: Int64Array, referenced: NDArray[np.bool_]
    ) -> pa.StringArray | pa.DictionaryArray:
        """Return the path of each row's object."""
        if self.source.spec.inner_chunks is None:
            return self.source.spelling.build(objects, referenced)
        return shared_paths(self.source.spelling, objects, referenced)

    def fetch(self, rows: FileRows, small: NDArray[np.bool_]) -> list[bytes | None]:
        """Return the bytes of the small chunks, which are inlined where they were known."""
        assert isinstance(rows, KnownFileRows)
        content: list[bytes | None] = [None] * len(small)
        for row in np.flatnonzero(small).tolist():
            raw = rows.raw[row].as_py()
            assert raw is not None, f"{self.source.spec.name}: a small chunk was not inlined"
            content[row] = original(raw)
        return content
