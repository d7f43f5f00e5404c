"""Rows of an array whose chunks are objects: sizes as they were listed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.errors import SourceError
from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.keys.spelling import PathBuilder
from parchunk.listing.tally import Part
from parchunk.metadata.chunk_keys import object_key
from parchunk.metadata.spec import ArraySpec
from parchunk.out.counts import NOTHING, Counts
from parchunk.stores.source import Source
from parchunk.writing.rows import FileRows

#: Chunks that are fetched to be inlined before the next ones are asked for.
_FETCHED = 1_000


class PlainRows:
    """The rows of one array, a chunk an object; ``fetches`` are the threads that read some."""

    def __init__(self, spec: ArraySpec, source: Source, fetches: Executor) -> None:
        self.spec = spec
        self.source = source
        self.fetches = fetches
        self.spelling = PathBuilder(f"{source.describe(spec.name)}/", spec.space)

    #: Rows are known from listings alone.
    requests = 0

    def pieces(self, part: Part) -> Iterator[PlainPiece]:
        """Yield the rows of a part, which are all known."""
        yield PlainPiece(self, part)

    def counts(self, part: Part) -> Counts:
        """Return nothing: its objects are its rows."""
        return NOTHING


@dataclass(frozen=True)
class PlainPiece:
    """The rows of a part."""

    source: PlainRows
    part: Part

    @property
    def rows(self) -> RowSet:
        """Which rows they are."""
        return self.part.rows

    def file(self, begin: int, numbers: Int64Array) -> FileRows:
        """Return the rows of one record file, as they were listed."""
        rows, versions = slice(begin, begin + len(numbers)), self.part.identities
        listed = self.part.vector[rows]
        zero_sized = int(np.count_nonzero(listed.zero_sized))
        return FileRows(
            objects=numbers,
            present=listed.present,
            offsets=np.zeros(len(numbers), np.int64),
            sizes=listed.sizes,
            counts=Counts(zero_sized=zero_sized) if zero_sized else NOTHING,
            identities=None if versions is None else versions[rows].column(),
        )

    def paths(self, objects: Int64Array, referenced: NDArray[np.bool_]) -> pa.StringArray:
        """Return the path of each chunk."""
        # Spelling them all is quicker than picking those that are referenced.
        return self.source.spelling.build(objects, referenced)

    def fetch(self, rows: FileRows, small: NDArray[np.bool_]) -> list[bytes | None]:
        """Return the bytes of the small chunks; fetched side by side."""
        content: list[bytes | None] = [None] * len(small)
        source, fetches, spec = self.source.source, self.source.fetches, self.source.spec
        wanted = np.flatnonzero(small).tolist()
        for begin in range(0, len(wanted), _FETCHED):
            some = wanted[begin : begin + _FETCHED]
            keys = [object_key(spec, int(rows.objects[row])) for row in some]
            for row, key, data in zip(some, keys, fetches.map(source.get, keys), strict=True):
                size = int(rows.sizes[row])
                if data is None or len(data) != size:
                    got = "is gone" if data is None else f"has {len(data)} bytes"
                    raise SourceError(
                        f"{source.describe(key)} was listed with {size} bytes and "
                        f"now {got}: the store changed meanwhile; run again to resume"
                    )
                content[row] = data
        return content
