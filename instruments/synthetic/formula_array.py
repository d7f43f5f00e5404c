"""Formula arrays: the chunk keys of one array in byte order, computed and never held.

``/``, ``.`` and the end of a key sort before every digit, so the chunk keys of one array in byte
order are a nested loop over its axes, each run through in the text order of its decimals. A *rank*
is a place in that order, present or not; rank to key is mixed-radix arithmetic and key to rank a
bisection.

This is an oracle for parchunk's own listing arithmetic and shares no code with it but the spelling
of keys. Its own oracle is brute force: ``sorted()`` over small grids.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from instruments.synthetic.layout import TABLE_ROWS, Layout, Table, layout_of
from instruments.synthetic.rules import (
    HASHED_SIZES,
    ConstantSize,
    LeadingRange,
    Mask,
    Nothing,
    SizeRule,
)
from parchunk.keys.encoding import KeyEncoding

SCAN_ROWS = 4096
"""Ranks looked at in one go where chunks are missing."""


@dataclass(frozen=True)
class FormulaArray:
    """The chunk objects of one array: a ``grid`` of them under ``name``, spelled by ``encoding``.

    ``name`` is the array's path in its store (``""`` is an array at the root). ``size`` gives
    each chunk's bytes by its number (an int means all alike); ``present`` tells which chunks
    exist (None means all). Rules must be importable by name to be served by another process:
    a lambda works in-process only. Keys do not depend on ``table_rows``, the most rows of a table
    that they are rendered in.
    """

    name: str
    grid: tuple[int, ...]
    encoding: KeyEncoding
    size: SizeRule | int = HASHED_SIZES
    present: Mask | None = None
    table_rows: int = TABLE_ROWS

    def __post_init__(self) -> None:
        """Refuse a grid and an encoding of different rank."""
        if len(self.grid) != self.encoding.rank:
            raise ValueError(
                f"array {self.name!r}: a grid of {len(self.grid)} dimensions cannot be spelled by "
                f"an encoding of {self.encoding.rank}"
            )

    @property
    def total(self) -> int:
        """How many chunks the grid has, present or not."""
        return math.prod(self.grid)

    @cached_property
    def _prefix(self) -> bytes:
        return f"{self.name}/".encode() if self.name else b""

    @property
    def _layout(self) -> Layout:
        return layout_of(self.grid, self.encoding, self.table_rows)

    def is_flat_below(self, length: int) -> bool:
        """Tell whether no key of the array has a slash after its first ``length`` bytes."""
        return self.encoding.separator == "." and length >= len(self._prefix)

    @cached_property
    def size_rule(self) -> SizeRule:
        """The rule that gives the sizes."""
        return ConstantSize(self.size) if isinstance(self.size, int) else self.size

    def sizes(self, numbers: np.ndarray) -> np.ndarray:
        """Return the sizes in bytes of chunks by number (int64), present or not."""
        return self.size_rule(numbers)

    def is_present(self, numbers: np.ndarray) -> np.ndarray:
        """Return which of the chunks with these numbers are present."""
        if self.present is None:
            return np.ones(len(numbers), dtype=bool)
        return self.present(numbers, self.grid)

    def expected_sizes(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the sizes of chunks ``[start, stop)`` by number (int64), -1 where missing.

        What a complete listing must add up to. 8 bytes a chunk: ask for a part of a large array.
        """
        numbers = np.arange(start, self.total if stop is None else stop, dtype=np.int64)
        return np.where(self.is_present(numbers), self.sizes(numbers), -1)

    @cached_property
    def count(self) -> int:
        """How many chunks are present; counted in passing, 10^9 in some 10 s, unless all are."""
        if self.present is None:
            return self.total
        step = 1 << 20
        parts = (
            np.arange(at, min(at + step, self.total), dtype=np.int64)
            for at in range(0, self.total, step)
        )
        return sum(int(np.count_nonzero(self.is_present(part))) for part in parts)

    def key(self, rank: int) -> str:
        """Return the key at ``rank`` in text order, present or not."""
        return self.key_bytes(rank).decode()

    def key_bytes(self, rank: int) -> bytes:
        """Return the key at ``rank`` as UTF-8, in whose order ranks count."""
        if not 0 <= rank < self.total:
            raise IndexError(f"array {self.name!r} has {self.total} ranks, {rank} is none of them")
        prefix, table, row, _, _ = self._layout.at(rank)
        return self._prefix + prefix + table.tails[row]

    def number(self, rank: int) -> int:
        """Return the chunk number at ``rank``."""
        _, table, row, base, head = self._layout.at(rank)
        return base + head * int(table.scale[row]) + int(table.offset[row])

    def rank(self, key: str | bytes) -> int:
        """Return how many of the array's keys sort before ``key``: its rank if it is one."""
        wanted = key.encode() if isinstance(key, str) else key
        return bisect_left(range(self.total), wanted, key=self.key_bytes)

    def runs(self, start: int, stop: int, slot: int, most: int) -> Iterator[Run]:
        """Yield the present keys of ranks ``[start, stop)`` as runs of up to ``most`` rows.

        ``slot`` is the slot of rank ``start`` in the store. Runs without a key are left out.
        """
        layout = self._layout
        rule = self.present
        if rule is not None:
            most = max(most, SCAN_ROWS)
        rank = start
        while rank < stop:
            if isinstance(rule, Nothing):
                return
            prefix, table, row, base, head = layout.at(rank)
            if isinstance(rule, LeadingRange) and layout.pivot > 0:
                # a whole index of the leading axis at once, which no run is longer than
                leading, into = divmod(rank, layout.strides[0])
                if not rule.start <= layout.outer[0].index(leading) < rule.stop:
                    rank += layout.strides[0] - into
                    continue
            end = min(len(table.tails), row + stop - rank, row + most)
            prefix = self._prefix + prefix
            run = Run(self, slot + rank - start, prefix, table, row, end, base, head, None)
            rank += end - row
            if rule is not None:
                here = rule(run.numbers(), self.grid)
                if not here.all():
                    run = replace(run, kept=np.flatnonzero(here) + row)
            if len(run):
                yield run


@dataclass(slots=True, eq=False)
class Run:
    """Neighbouring slots whose keys are ``prefix`` plus the rows ``[start, stop)`` of a table."""

    array: FormulaArray | None
    slot: int
    prefix: bytes
    table: Table
    start: int
    stop: int
    base: int
    head: int
    kept: np.ndarray | None

    def __len__(self) -> int:
        """Return how many keys are present."""
        return self.stop - self.start if self.kept is None else len(self.kept)

    def numbers(self) -> np.ndarray:
        """Return the chunk number of every key present (int64)."""
        rows = slice(self.start, self.stop) if self.kept is None else self.kept
        return self.base + self.head * self.table.scale[rows] + self.table.offset[rows]

    def sizes(self) -> np.ndarray:
        """Return the size in bytes of every key present (int64)."""
        if self.array is None:
            return self.table.offset
        return self.array.sizes(self.numbers())

    def pick(self, values: list[bytes]) -> list[bytes]:
        """Return those of a table's ``values`` that belong to the keys present."""
        if self.kept is None:
            return values[self.start : self.stop]
        return [values[row] for row in self.kept.tolist()]

    @property
    def first(self) -> int:
        """The slot of the first key present."""
        return self.slot if self.kept is None else self.slot + int(self.kept[0]) - self.start

    def split(self, count: int) -> tuple[Run, Run]:
        """Return the first ``count`` keys and the others (one at least) as runs of their own."""
        if self.kept is None:
            middle = self.start + count
            rest = replace(self, slot=self.slot + count, start=middle)
            return replace(self, stop=middle), rest
        return replace(self, kept=self.kept[:count]), replace(self, kept=self.kept[count:])
