"""The rows of record files before they are written: what a source of rows has to say of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.listing.tally import Part
from parchunk.metadata.spec import ArraySpec
from parchunk.out.counts import Counts


@dataclass(frozen=True)
class FileRows:
    """The rows of one record file, shape (n,) each: which are ``present``, and where they lie.

    ``objects`` are the numbers of the objects that hold them. ``sizes`` and ``offsets`` are in
    bytes, 0 where a row is not present; ``counts`` are of those that are not. ``identities`` tell
    the versions of objects apart, where they are kept; they mean something where a row is present.
    """

    objects: Int64Array
    present: NDArray[np.bool_]
    offsets: Int64Array
    sizes: Int64Array
    counts: Counts
    identities: pa.Array | None = None


class Piece(Protocol):
    """Rows that are known at the same time, of whole record files."""

    @property
    def rows(self) -> RowSet:
        """Which rows they are."""

    def file(self, begin: int, numbers: Int64Array) -> FileRows:
        """Return the rows of one record file, ``numbers``, which begin at position ``begin``."""

    def paths(
        self, objects: Int64Array, referenced: NDArray[np.bool_]
    ) -> pa.StringArray | pa.DictionaryArray:
        """Return the path of each row's object, null where a row is not ``referenced``."""

    def fetch(self, rows: FileRows, small: NDArray[np.bool_]) -> Sequence[bytes | None]:
        """Return the bytes of the ``small`` rows, which are inlined, None for the others.

        Raises
        ------
        SourceError
            Naming an object that cannot be read, or changed since it was listed.
        """


class RowSource(Protocol):
    """Where the rows of one array come from: objects as they were listed, or shards' entries."""

    @property
    def spec(self) -> ArraySpec:
        """The array."""

    @property
    def requests(self) -> int:
        """The GET requests so far by which rows became known."""

    def pieces(self, part: Part) -> Iterator[Piece]:
        """Yield the rows that a part is listed for, a piece at a time.

        Raises
        ------
        SourceError
            Naming an object that had to be read for it.
        """

    def counts(self, part: Part) -> Counts:
        """Return what is counted of a part's objects, and not of rows."""
