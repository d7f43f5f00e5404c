"""Rows of an expanded array: the inner chunks that the shards' indexes tell of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.cover.jobs import Expansion
from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.keys.spelling import PathBuilder
from parchunk.listing.identity_vector import IdentityVector
from parchunk.listing.index_reading import IndexReading
from parchunk.listing.inner_chunks import InnerChunks
from parchunk.listing.shard_reading import ShardReader
from parchunk.listing.tally import Part
from parchunk.metadata.shard_grid import inner_slices, shard_numbers
from parchunk.out.counts import Counts
from parchunk.writing.rows import FileRows

#: A dictionary of paths pays from this many rows of a shard in a record file.
_SHARED = 4


class ShardRows:
    """The rows of one expanded array; ``rows_of`` has those of each set of shards that is listed.

    ``expansion`` says how many rows a piece is, of record files of ``record_size`` ones.
    """

    def __init__(
        self,
        reader: ShardReader,
        rows_of: Mapping[RowSet, RowSet],
        expansion: Expansion,
        record_size: int,
    ) -> None:
        self.spec = reader.spec
        self.reader = reader
        self._rows_of = rows_of
        self._expansion = expansion
        self._record_size = record_size
        self.spelling = PathBuilder(f"{reader.source.describe(self.spec.name)}/", self.spec.space)

    @property
    def requests(self) -> int:
        """The GET requests so far, for shards' indexes."""
        return self.reader.requests.gets

    def pieces(self, part: Part) -> Iterator[ShardPiece]:
        """Yield the rows of a part's shards, whose indexes are read piece by piece."""
        rows = self._rows_of[part.rows]
        reading = IndexReading(self.reader, rows, part, self._expansion.ahead_bytes)
        for some in inner_slices(self.spec, rows, self._expansion.rows, self._record_size):
            found = reading.read(some)
            kept = part.identities
            if kept is not None:
                kept = kept[part.rows.positions(found.shards)]
            yield ShardPiece(self, found, kept)

    def counts(self, part: Part) -> Counts:
        """Return the counts of shards."""
        return Counts(
            shards_expected=part.rows.total,
            shards_present=int(np.count_nonzero(part.vector.present)),
        )


@dataclass(frozen=True)
class ShardPiece:
    """Rows of which it is known where in their shards they lie; it outlasts the part.

    ``identities`` are of the shards that are there, where they are kept.
    """

    source: ShardRows
    inner: InnerChunks
    identities: IdentityVector | None

    @property
    def rows(self) -> RowSet:
        """Which rows they are."""
        return self.inner.rows

    def file(self, begin: int, numbers: Int64Array) -> FileRows:
        """Return the rows of one record file, as the indexes have them."""
        rows = slice(begin, begin + len(numbers))
        known = self.inner.sizes[rows]
        objects, versions = shard_numbers(self.source.spec, numbers), self.identities
        if versions is not None and len(self.inner.shards):
            # What is not there gets another's, which means nothing.
            at = np.searchsorted(self.inner.shards, objects)
            versions = versions[np.minimum(at, len(self.inner.shards) - 1)]
        else:
            versions = None
        return FileRows(
            objects=objects,
            present=known.present,
            offsets=self.inner.offsets[rows],
            sizes=known.sizes,
            counts=Counts(
                zero_sized=int(np.count_nonzero(known.zero_sized)),
                empty_entries=int(np.count_nonzero(known.empty)),
            ),
            identities=None if versions is None else versions.column(),
        )

    def paths(
        self, objects: Int64Array, referenced: NDArray[np.bool_]
    ) -> pa.StringArray | pa.DictionaryArray:
        """Return the path of each row's shard, which many share."""
        return shared_paths(self.source.spelling, objects, referenced)

    def fetch(self, rows: FileRows, small: NDArray[np.bool_]) -> list[bytes | None]:
        """Return the bytes of the small inner chunks; one shard after another."""
        content: list[bytes | None] = [None] * len(small)
        for row, data in self.source.reader.chunks(
            self.inner, np.flatnonzero(small), rows.objects, rows.offsets, rows.sizes
        ):
            content[row] = data
        return content


def shared_paths(
    spelling: PathBuilder, objects: Int64Array, referenced: NDArray[np.bool_]
) -> pa.StringArray | pa.DictionaryArray:
    """Return the path of each row's shard, null where it is not ``referenced``; many share one."""
    whole = bool(referenced.all())
    # Arrow's dictionary is by hash: no sort, and shards stay in the order they come.
    distinct = pa.array(objects, mask=None if whole else ~referenced).dictionary_encode()
    paths = spelling.build(np.asarray(distinct.dictionary))
    if whole and len(paths) * _SHARED > len(objects):
        return paths.take(distinct.indices)
    return pa.DictionaryArray.from_arrays(distinct.indices, paths)
