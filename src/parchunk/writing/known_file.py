"""Rows of one record file as it was, which goes on in stores that came since."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.listing.tally import Part
from parchunk.metadata.spec import ArraySpec
from parchunk.out.counts import NOTHING, Counts
from parchunk.out.inlined import lengths, original
from parchunk.writing.rows import FileRows


@dataclass(frozen=True)
class KnownFile:
    """The rows of a record file of one array; ``data`` are its bytes."""

    spec: ArraySpec
    data: bytes

    #: Nothing is asked for.
    requests = 0

    def pieces(self, part: Part) -> Iterator[KnownFilePiece]:
        """Yield the rows of a part, which are all of the file's."""
        yield KnownFilePiece(part.rows, self)

    def counts(self, part: Part) -> Counts:
        """Return nothing: no objects were looked for."""
        return NOTHING

    def column(self, name: str) -> pa.Array:
        """Return a column; none is held, as rows may wait long for those that come behind."""
        table = pq.read_table(io.BytesIO(self.data), columns=[name], use_threads=False)
        return table[name].combine_chunks()

    def sizes(self) -> Int64Array:
        """Return the bytes of each row's chunk, 0 of one that is missing."""
        return np.asarray(self.column("size")).astype(np.int64) + lengths(self.column("raw"))

    @property
    def known(self) -> Counts:
        """What its rows come to."""
        raw, sizes = self.column("raw"), self.sizes()
        return Counts(
            present=int(np.count_nonzero(sizes)),
            inlined=len(raw) - raw.null_count,
            bytes=int(sizes.sum()),
        )


@dataclass(frozen=True)
class KnownFilePiece:
    """The rows of a part."""

    rows: RowSet
    source: KnownFile

    def file(self, begin: int, numbers: Int64Array) -> FileRows:
        """Return the rows of the record file, as they were."""
        sizes = self.source.sizes()
        # All whole objects: expanded arrays have no record file of several stores.
        offsets = np.zeros(len(numbers), np.int64)
        return FileRows(np.arange(len(numbers)), sizes > 0, offsets, sizes, NOTHING)

    def paths(self, objects: Int64Array, referenced: NDArray[np.bool_]) -> pa.StringArray:
        """Return the path of each row's object."""
        paths = self.source.column("path").cast(pa.string())
        return pc.if_else(pa.array(referenced), paths, pa.nulls(len(paths), pa.string()))

    def fetch(self, rows: FileRows, small: NDArray[np.bool_]) -> list[bytes | None]:
        """Return the bytes of the small chunks, which are inlined."""
        raw = self.source.column("raw")
        return [
            original(raw[row].as_py()) if wanted else None
            for row, wanted in enumerate(small.tolist())
        ]
