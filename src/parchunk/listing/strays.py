"""Strays: listed objects that are no chunk of the grid, and why."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.parsing import positions_of
from parchunk.keys.row_sets import Places
from parchunk.keys.space import KeySpace
from parchunk.keys.text_order import numbers_at
from parchunk.metadata.names import DOCUMENTS
from parchunk.metadata.spec import ArraySpec

#: Strays of one partition that are kept by name; all are counted.
KEPT = 10_000

#: The reason of what would be a chunk if the array were longer.
OUTSIDE = "outside the grid"

SCHEMA = pa.schema(
    [
        pa.field("array", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
_HELD = SCHEMA.remove(0)


@dataclass(frozen=True)
class Stray:
    """A listed object below an array: its ``path`` there, its size in bytes, the reason."""

    path: str
    size: int
    reason: str


class Strays:
    """The strays of a partition: all counted by reason, the first KEPT in key order kept."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self._held: list[pa.Table] = []
        self._rows = 0
        #: No stray after this path can be among the first.
        self._last: str | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return self.reasons.total()

    def add(self, found: pa.Table) -> None:
        """Count strays (a table of `find_strays`), and keep those that may be among the first."""
        counts = pc.value_counts(found["reason"].combine_chunks())
        self.reasons.update({item["values"]: item["counts"] for item in counts.to_pylist()})
        self._keep(found)

    def merge(self, others: Strays) -> None:
        """Count and keep those of ``others`` too."""
        if not others.reasons:
            return
        self.reasons.update(others.reasons)
        for found in others._held:
            self._keep(found)

    def merge_again(self, others: Strays) -> None:
        """Count and keep those of ``others``, a second listing's, that are not known by name.

        Beyond the KEPT known by name, none can be told from one that the first listing counted.
        """
        for found in others._held:
            new = pc.invert(pc.is_in(found["path"], value_set=self._table()["path"]))
            if self._last is not None:
                new = pc.and_(new, pc.less(found["path"], self._last))
            self.add(found.filter(new))

    def kept(self) -> pa.Table:
        """Return the first KEPT strays in key order: ``path``, ``size`` and ``reason``."""
        order = [(name, "ascending") for name in ("path", "size", "reason")]
        return self._table().sort_by(order).slice(0, KEPT)

    def _table(self) -> pa.Table:
        return pa.concat_tables([_HELD.empty_table(), *self._held])

    def _keep(self, found: pa.Table) -> None:
        if self._last is not None:
            found = found.filter(pc.less_equal(found["path"], self._last))
        if not found.num_rows:
            return
        self._held.append(found)
        self._rows += found.num_rows
        if self._rows >= 2 * KEPT:  # sorted once in KEPT times
            first = self.kept()
            self._held, self._rows = [first], first.num_rows
            self._last = first["path"][-1].as_py()


def find_strays(spec: ArraySpec, tails: pa.StringArray, sizes: NDArray[np.int64]) -> pa.Table:
    """Return those of the objects at ``tails``, none a chunk of the grid, that are strays.

    Zarr's own metadata is none. The table has the columns ``path``, ``size`` and ``reason``.
    """
    # A document or two beside the chunks are all that most arrays have.
    there = pc.invert(pc.is_in(tails, value_set=pa.array(sorted(DOCUMENTS))))
    if not pc.any(there).as_py():
        return _HELD.empty_table()
    shapes = _Shapes(spec)
    reasons = pc.case_when(
        pc.make_struct(
            pc.match_substring_regex(tails, shapes.key),
            pc.and_(pa.array(sizes == 0), pc.match_substring_regex(tails, shapes.folder)),
            pc.match_substring_regex(tails, shapes.padded),
        ),
        OUTSIDE,
        "directory marker",
        "not a canonical number",
        "not a chunk key",
    )
    return pa.table([tails, pa.array(sizes), reasons], schema=_HELD).filter(there)


def owners_of(space: KeySpace, places: Places, tails: pa.StringArray) -> Int64Array:
    """Return the row set that each stray belongs to: that of the next chunk in text order.

    Those after the last chunk are that one's. It is -1 where the chunk is in none of ``places``.
    ``space`` has chunks.
    """
    ranks = np.minimum(positions_of(tails, space), space.total - 1)
    owners, _, mine = places.of(numbers_at(space.grid, ranks))
    if owners is None:
        owners = np.zeros(len(tails), np.int64)
    return owners if mine is None else np.where(mine, owners, -1)


class _Shapes:
    """Regular expressions of what lies beside an array's chunks.

    ``key`` matches chunk keys of any grid, ``padded`` those with zeros before their numbers, too,
    and ``folder`` the first segments of one: a directory above chunks.
    """

    def __init__(self, spec: ArraySpec) -> None:
        example = spec.keys.tail((0,) * spec.rank)
        number = "[0-9]+" if spec.rank else "0+"
        segments = [re.escape(part).replace("0", number) for part in example.split("/")]
        folders = ["/".join(segments[:depth]) for depth in range(len(segments))]
        self.key = _whole(spec.keys.pattern)
        self.padded = _whole("/".join(segments))
        self.folder = _whole("|".join(folders))


def _whole(pattern: str) -> str:
    return f"\\A(?:{pattern})\\z"


def encode_strays(array: str, strays: Strays) -> bytes:
    """Return the Parquet file that keeps the first KEPT strays of a partition, in key order."""
    kept = strays.kept()
    names = pa.array([array] * len(kept), pa.string())
    table = pa.table([names, *kept.columns], schema=SCHEMA)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False)
    return sink.getvalue()
