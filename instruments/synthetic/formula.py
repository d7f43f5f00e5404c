"""Formula stores: the ordered key space of a Zarr store, computed and never held.

``/``, ``.`` and the end of a key sort before every digit, so the chunk keys of one array in byte
order are a nested loop over its axes, each run through in the text order of its decimals. A *rank*
is a place in that order, present or not; rank to key is mixed-radix arithmetic and key to rank a
bisection. A *slot* is a place in the order of the whole store: the ranks of all its arrays and its
*extra* objects (metadata documents, strays) laid end to end.

This is an oracle for parchunk's own listing arithmetic and shares no code with it but the spelling
of keys. Its own oracle is brute force: ``sorted()`` over small grids.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from instruments.synthetic.layout import TABLE_ROWS, Table, layout_of
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
    a lambda works in-process only.
    """

    name: str
    grid: tuple[int, ...]
    encoding: KeyEncoding
    size: SizeRule | int = HASHED_SIZES
    present: Mask | None = None

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
        prefix, table, row, _, _ = layout_of(self.grid, self.encoding).at(rank)
        return self._prefix + prefix + table.tails[row]

    def number(self, rank: int) -> int:
        """Return the chunk number at ``rank``."""
        _, table, row, base, head = layout_of(self.grid, self.encoding).at(rank)
        return base + head * int(table.scale[row]) + int(table.offset[row])

    def rank(self, key: str | bytes) -> int:
        """Return how many of the array's keys sort before ``key``: its rank if it is one."""
        wanted = key.encode() if isinstance(key, str) else key
        return bisect_left(range(self.total), wanted, key=self.key_bytes)

    def runs(self, start: int, stop: int, slot: int, most: int) -> Iterator[Run]:
        """Yield the present keys of ranks ``[start, stop)`` as runs of up to ``most`` rows.

        ``slot`` is the slot of rank ``start`` in the store. Runs without a key are left out.
        """
        layout = layout_of(self.grid, self.encoding)
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


class Segment(NamedTuple):
    """Consecutive slots of a store: ranks ``[start, stop)`` of an array, or one extra object."""

    first: bytes
    last: bytes
    array: FormulaArray | None
    start: int
    stop: int
    body: bytes


class Page(NamedTuple):
    """One page of a listing: keys in byte order, their sizes, the token of the next page."""

    keys: list[str]
    sizes: np.ndarray
    token: int | None


class FormulaStore:
    """The objects of a whole store in byte order: the chunks of ``arrays`` and ``extra`` objects.

    ``extra`` maps keys to bodies: metadata documents, strays. ``root`` is put before every key of
    both, as a store's path in its bucket is (``"some/store.zarr"``, no slash at its end).
    An extra object may lie among an array's chunks; two arrays whose keys interleave (``a`` with
    ``/`` keys and an array ``a/1`` inside it) are refused.
    """

    last_modified = "2024-01-02T03:04:05.000Z"
    """When every object was last modified."""

    e_tag = '"0f343b0931126a20f133d67c2b018a3b"'
    """The ETag of every object."""

    def __init__(
        self,
        arrays: Iterable[FormulaArray],
        extra: Mapping[str, bytes] | None = None,
        *,
        root: str = "",
    ) -> None:
        """Lay the slots out; ValueError when keys of two arrays, or a chunk and an extra, clash."""
        self.root = root
        self.arrays = tuple(replace(array, name=below(root, array.name)) for array in arrays)
        self.extra = {below(root, key).encode(): body for key, body in (extra or {}).items()}
        literals = sorted(self.extra)
        segments = [Segment(key, key, None, 0, 1, self.extra[key]) for key in literals]
        for array in self.arrays:
            segments += _segments(array, literals)
        segments.sort(key=lambda segment: segment.first)
        for one, other in itertools.pairwise(segments):
            if one.last >= other.first:
                raise ValueError(
                    f"keys from {other.first.decode()!r} on lie among those up to "
                    f"{one.last.decode()!r}: arrays that interleave cannot be served"
                )
        self.segments = segments
        self._firsts = [segment.first for segment in segments]
        lengths = [segment.stop - segment.start for segment in segments]
        self._starts = [0, *itertools.accumulate(lengths)]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the store was made of; tables are made again where they are used."""
        return _restored, (self.arrays, self.extra, self.root)

    @property
    def slots(self) -> int:
        """How many slots the store has: chunks, present or not, and extra objects."""
        return self._starts[-1]

    def array(self, name: str) -> FormulaArray:
        """Return the array called ``name`` (without the store's root)."""
        wanted = below(self.root, name)
        return next(array for array in self.arrays if array.name == wanted)

    def count(self, prefix: str = "") -> int:
        """Return how many objects there are whose key begins with ``prefix``."""
        start, stop = self.span(prefix)
        total = 0
        for at, segment in enumerate(self.segments):
            low = max(start, self._starts[at])
            high = min(stop, self._starts[at + 1])
            if low >= high:
                continue
            if segment.array is None or segment.array.present is None:
                total += high - low
            elif high - low == segment.array.total:
                total += segment.array.count
            else:
                first = segment.start + low - self._starts[at]
                runs = segment.array.runs(first, first + high - low, low, SCAN_ROWS)
                total += sum(map(len, runs))
        return total

    def least_requests(self, prefix: str = "", page: int = 1000) -> int:
        """Return the fewest LIST requests that can list ``prefix``: one at least."""
        return max(1, -(-self.count(prefix) // page))

    def slot(self, key: str | bytes) -> int:
        """Return how many slots sort before ``key``."""
        wanted = key.encode() if isinstance(key, str) else key
        at = bisect_right(self._firsts, wanted) - 1
        if at < 0:
            return 0
        segment = self.segments[at]
        if segment.array is None:
            return self._starts[at] + (wanted > segment.first)
        rank = min(max(segment.array.rank(wanted), segment.start), segment.stop)
        return self._starts[at] + rank - segment.start

    def slot_after(self, key: str | bytes) -> int:
        """Return how many slots sort before or at ``key``: where a listing after it starts."""
        return self.slot((key.encode() if isinstance(key, str) else key) + b"\0")

    def span(self, prefix: str | bytes) -> tuple[int, int]:
        """Return the slots ``[start, stop)`` whose keys begin with ``prefix`` (any text)."""
        wanted = prefix.encode() if isinstance(prefix, str) else prefix
        if not wanted:
            return 0, self.slots
        return self.slot(wanted), self.slot(wanted[:-1] + bytes([wanted[-1] + 1]))

    def key_bytes(self, slot: int) -> bytes:
        """Return the key of a slot as UTF-8, present or not."""
        at = bisect_right(self._starts, slot) - 1
        segment = self.segments[at]
        if segment.array is None:
            return segment.first
        return segment.array.key_bytes(segment.start + slot - self._starts[at])

    def take(self, start: int, stop: int, count: int) -> tuple[list[Run], int | None]:
        """Return the first ``count`` present keys of ``[start, stop)`` as runs.

        With them comes the slot of the next present key, or None when there is none before
        ``stop``: exactly what a page and its continuation are.
        """
        taken: list[Run] = []
        for run in self.runs(start, stop, count):
            if not count:
                return taken, run.first
            if len(run) > count:
                run, rest = run.split(count)
                taken.append(run)
                return taken, rest.first
            taken.append(run)
            count -= len(run)
        return taken, None

    def runs(self, start: int, stop: int, most: int = TABLE_ROWS) -> Iterator[Run]:
        """Yield the present keys of slots ``[start, stop)`` in order, as runs.

        Only runs are looked at that are asked for; ``most`` says how long they need be.
        """
        at = bisect_right(self._starts, start) - 1
        while start < stop and at < len(self.segments):
            segment = self.segments[at]
            end = min(stop, self._starts[at + 1])
            if segment.array is None:
                size = np.array([len(segment.body)], dtype=np.int64)
                table = Table([segment.first], np.zeros(1, dtype=np.int64), size)
                yield Run(None, start, b"", table, 0, 1, 0, 0, None)
            else:
                rank = segment.start + start - self._starts[at]
                yield from segment.array.runs(rank, rank + end - start, start, max(most, 1))
            start, at = end, at + 1

    def page(
        self,
        start_after: str | None = None,
        prefix: str = "",
        max_keys: int = 1000,
        token: int | None = None,
    ) -> Page:
        """Return one page: up to ``max_keys`` keys under ``prefix`` after ``start_after``.

        ``token`` is what an earlier page gave, and goes before ``start_after``, as in S3.
        """
        start, stop = self.span(prefix)
        if token is not None:
            start = token
        elif start_after:
            start = max(start, self.slot_after(start_after))
        runs, after = self.take(start, stop, max_keys)
        keys = [(run.prefix + tail).decode() for run in runs for tail in run.pick(run.table.tails)]
        sizes = [run.sizes() for run in runs]
        return Page(keys, np.concatenate(sizes) if sizes else np.zeros(0, np.int64), after)

    def entries(
        self, start: int, stop: int, prefix: str | bytes, count: int
    ) -> tuple[list[Run], list[bytes], int | None]:
        """Return a page of a listing with delimiter ``/``: objects, common prefixes, next slot.

        Objects and common prefixes count towards ``count`` alike.
        """
        length = len(prefix.encode() if isinstance(prefix, str) else prefix)
        runs: list[Run] = []
        commons: list[bytes] = []
        at = self.take(start, stop, 0)[1]
        while at is not None and count:
            run = self.take(at, stop, 1)[0][0]
            key = run.prefix + run.pick(run.table.tails)[0]
            slash = key.find(b"/", length)
            end = at + 1
            if slash >= 0:
                commons.append(key[: slash + 1])
                end = min(self.slot(key[:slash] + b"0"), stop)
                count -= 1
            else:
                if run.array is not None and run.array.is_flat_below(length):
                    end = min(self._starts[bisect_right(self._starts, at)], stop)
                found, at = self.take(at, end, count)
                runs += found
                count -= sum(map(len, found))
                if at is not None:
                    break
            at = self.take(end, stop, 0)[1]
        return runs, commons, at

    def head(self, key: str) -> int | None:
        """Return the size in bytes of the object at ``key``, or None when there is none."""
        wanted = key.encode()
        if wanted in self.extra:
            return len(self.extra[wanted])
        slot = self.slot(wanted)
        if slot >= self.slots or self.key_bytes(slot) != wanted:
            return None
        runs, _ = self.take(slot, slot + 1, 1)
        return int(runs[0].sizes()[0]) if runs else None

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return bytes ``[start, stop)`` of the object at ``key``; FileNotFoundError without one.

        A chunk is the SHA-256 digest of its key, repeated up to its size.
        """
        size = self.head(key)
        if size is None:
            raise FileNotFoundError(key)
        stop = size if stop is None else min(stop, size)
        if key.encode() in self.extra:
            return self.extra[key.encode()][start:stop]
        digest = hashlib.sha256(key.encode()).digest()
        first = start // 32
        return (digest * (-(-stop // 32) - first))[start - first * 32 : stop - first * 32]

    def documents(self) -> dict[str, bytes]:
        """Return the extra objects by key, root included."""
        return {key.decode(): body for key, body in self.extra.items()}


def _restored(
    arrays: tuple[FormulaArray, ...], extra: dict[bytes, bytes], root: str
) -> FormulaStore:
    store = FormulaStore(arrays, {key.decode(): body for key, body in extra.items()})
    store.root = root
    return store


def _segments(array: FormulaArray, literals: list[bytes]) -> list[Segment]:
    """Return an array's ranks cut where extra objects lie among its keys."""
    if not array.total:
        return []
    first, last = array.key_bytes(0), array.key_bytes(array.total - 1)
    cuts = [0]
    for key in literals[bisect_left(literals, first) : bisect_right(literals, last)]:
        rank = array.rank(key)
        if array.key_bytes(rank) == key:
            raise ValueError(
                f"{key.decode()!r} is a chunk of {array.name!r} and an extra object too; "
                "leave it out of `extra`, or out of the array's grid"
            )
        cuts.append(rank)
    cuts.append(array.total)
    return [
        Segment(array.key_bytes(low), array.key_bytes(high - 1), array, low, high, b"")
        for low, high in itertools.pairwise(cuts)
        if low < high
    ]


def below(parent: str, name: str) -> str:
    """Join two paths either of which may be empty."""
    return f"{parent}/{name}" if parent and name else parent or name


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
