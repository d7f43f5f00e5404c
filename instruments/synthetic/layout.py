"""Chunk keys of a grid in text order, rendered from shared tables without holding them."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from parchunk.keys.encoding import KeyEncoding

TABLE_ROWS = 16384
"""The most rows of a table of rendered tails: some 2 MB, shared by arrays of one grid."""


def _text_order(values: np.ndarray, lengths: np.ndarray, width: int) -> np.ndarray:
    """Return the order that sorts digit strings, given as value and length, as text."""
    return np.lexsort((lengths, values * 10 ** (width - lengths)))


def _digits(values: np.ndarray) -> np.ndarray:
    """Return how many decimal digits each non-negative value has (0 has one)."""
    powers = 10 ** np.arange(1, 19, dtype=np.int64)
    return np.searchsorted(powers, values, side="right").astype(np.int64) + 1


@lru_cache(maxsize=16)
def _suffixes(depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values and lengths of all digit strings of up to ``depth`` digits, in text order.

    Leading zeros count and the empty string comes first: ``""``, ``"0"``, ``"00"``, ``"01"``...
    """
    lengths = np.concatenate([np.full(10**k, k, dtype=np.int64) for k in range(depth + 1)])
    values = np.concatenate([np.arange(10**k, dtype=np.int64) for k in range(depth + 1)])
    order = _text_order(values, lengths, depth)
    return values[order], lengths[order]


class _Axis:
    """The indices ``0 .. n - 1`` of one axis in text order, as *heads* and *suffixes*.

    Every index is a head (its first digits) and one of a few shared lists of suffixes (its last
    ``depth`` digits or fewer), so that 10^9 indices need tables of some 10^5 rows and no sort.
    """

    def __init__(self, n: int, depth: int) -> None:
        width = len(str(n - 1))
        self.depth = depth = min(depth, width - 1)
        heads = np.arange(min(10 ** (width - depth), n), dtype=np.int64)
        lengths = _digits(heads)
        order = _text_order(heads, lengths, width - depth)
        self.heads, lengths = heads[order], lengths[order]

        # which list of suffixes goes with a head: 0 none, 1 one digit less, 2 all, 3 cut off by n
        kind = np.zeros(len(heads), dtype=np.int64)
        if depth:
            long = (lengths == width - depth) & (self.heads > 0)
            low = self.heads * 10**depth
            kind[long] = np.where(low + 10**depth <= n, 2, np.where(low >= n, 1, 3))[long]
        self.kind = kind
        none, less, full = _suffixes(0), _suffixes(max(depth - 1, 0)), _suffixes(depth)
        cut = self.heads[kind == 3]
        kept = cut[0] * 10 ** full[1] + full[0] < n if len(cut) else np.zeros(len(full[0]), bool)
        self.lists = (none, less, full, (full[0][kept], full[1][kept]))

        counts = np.array([len(values) for values, _ in self.lists])[kind]
        self.starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        if int(counts.sum()) != n:
            raise AssertionError(f"{n} indices in text order came out as {int(counts.sum())}")

    def locate(self, rank: int) -> tuple[int, int]:
        """Return the place of the head under ``rank``, and the place within its suffixes."""
        at = int(self.starts.searchsorted(rank, side="right")) - 1
        return at, rank - int(self.starts[at])

    def index(self, rank: int) -> int:
        """Return the index at ``rank``."""
        at, place = self.locate(rank)
        values, lengths = self.lists[self.kind[at]]
        return int(self.heads[at]) * 10 ** int(lengths[place]) + int(values[place])


class Table:
    """Rendered tails in text order, with what is needed to know their chunk numbers.

    The chunk number of row ``i`` behind a head ``h`` is ``h * scale[i] + offset[i]``, plus the
    number of the outer axes.
    """

    def __init__(self, tails: list[bytes], scale: np.ndarray, offset: np.ndarray) -> None:
        self.tails = tails
        self.scale = scale
        self.offset = offset
        self.lengths = np.fromiter(map(len, tails), dtype=np.int64, count=len(tails))
        self.ends = np.concatenate(([0], np.cumsum(self.lengths)))
        self._closed: dict[bytes, list[bytes]] = {}

    def closed_with(self, ending: bytes) -> list[bytes]:
        """Return the tails with ``ending`` after each, rendered once."""
        if ending not in self._closed:
            self._closed[ending] = [tail + ending for tail in self.tails]
        return self._closed[ending]


class Layout:
    """How the keys of a grid run in text order, whatever the array's name.

    Axes from ``pivot + 1`` on, and the last digits of the pivot's index, are rendered in tables;
    the axes before it and the pivot's head make the prefix of a run. A table has at most
    ``table_rows`` rows.
    """

    def __init__(self, grid: tuple[int, ...], encoding: KeyEncoding, table_rows: int) -> None:
        self.grid = grid
        self.total = math.prod(grid)
        self.separator = encoding.separator.encode()
        self.strides = [math.prod(grid[axis + 1 :]) for axis in range(len(grid))]
        pivot = len(grid) - 1
        while pivot >= 0 and self.strides[pivot] * grid[pivot] <= table_rows:
            pivot -= 1
        self.pivot = pivot
        self.head = encoding.head.encode() if grid else b""
        inner, numbers = self._inner(pivot + 1)
        if pivot < 0:
            tails = inner if grid else [encoding.tail(()).encode()]
            self.span = self.total
            self.tables = [Table(tails, np.zeros_like(numbers), numbers)]
            return
        self.rows = self.strides[pivot]
        self.span = self.rows * grid[pivot]
        depth = 0
        while len(_suffixes(depth + 1)[0]) * self.rows <= table_rows:
            depth += 1
        self.axis = _Axis(grid[pivot], depth)
        self.outer = [_Axis(n, 0 if n <= 100_000 else 3) for n in grid[:pivot]]
        self.tables = [self._table(*suffixes, inner, numbers) for suffixes in self.axis.lists]

    def _inner(self, first: int) -> tuple[list[bytes], np.ndarray]:
        """Return tails and chunk numbers of the axes from ``first`` on, in text order."""
        tails, numbers = [b""], np.zeros(1, dtype=np.int64)
        for axis in range(first, len(self.grid)):
            indices = sorted(range(self.grid[axis]), key=str)
            joint = self.separator if axis else b""
            spelled = [joint + b"%d" % index for index in indices]
            tails = [tail + index for tail in tails for index in spelled]
            steps = np.array(indices, dtype=np.int64) * self.strides[axis]
            numbers = (numbers[:, None] + steps).ravel()
        return tails, numbers

    def _table(
        self, values: np.ndarray, lengths: np.ndarray, inner: list[bytes], numbers: np.ndarray
    ) -> Table:
        """Render every suffix of the pivot's index followed by every inner tail."""
        spelled = [
            b"%0*d" % (length, value) if length else b""
            for value, length in zip(values.tolist(), lengths.tolist(), strict=True)
        ]
        tails = [suffix + tail for suffix in spelled for tail in inner]
        scale = np.repeat(10**lengths * self.rows, self.rows)
        offset = (values[:, None] * self.rows + numbers).ravel()
        return Table(tails, scale, offset)

    def at(self, rank: int) -> tuple[bytes, Table, int, int, int]:
        """Return the prefix, table, row, base and head of the key at ``rank``."""
        if self.pivot < 0:
            return self.head, self.tables[0], rank, 0, 0
        outer, inner = divmod(rank, self.span)
        prefix, base = self._outer(outer)
        place, row = divmod(inner, self.rows)
        at, suffix = self.axis.locate(place)
        head = int(self.axis.heads[at])
        table = self.tables[self.axis.kind[at]]
        return prefix + b"%d" % head, table, suffix * self.rows + row, base, head

    def _outer(self, cell: int) -> tuple[bytes, int]:
        """Return the prefix and the chunk number of a cell of the axes before the pivot."""
        prefix, base = self.head, 0
        for axis, order in enumerate(self.outer):
            place, cell = divmod(cell, self.strides[axis] // self.span)
            index = order.index(place)
            prefix += b"%d" % index + self.separator
            base += index * self.strides[axis]
        return prefix, base


@lru_cache(maxsize=64)
def layout_of(grid: tuple[int, ...], encoding: KeyEncoding, table_rows: int) -> Layout:
    """Return the layout of a grid's keys, made once."""
    return Layout(grid, encoding, table_rows)
