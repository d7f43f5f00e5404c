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
import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from parchunk.keys import KeyEncoding, Separator

Mask = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
"""A rule of presence: ``(chunk numbers, grid) -> bool``, vectorised and deterministic."""

SizeRule = Callable[[np.ndarray], np.ndarray]
"""A rule of sizes: ``chunk numbers -> bytes``, vectorised and deterministic."""

TABLE_ROWS = 16384
"""The most rows of a table of rendered tails: some 2 MB, shared by arrays of one grid."""

SCAN_ROWS = 4096
"""Ranks looked at in one go where chunks are missing."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_CODES = 4096


def _mixed(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Return 64 well-mixed bits for each number."""
    shift = (seed * 0x632BE59BD9B4E019 + 1) % 2**64
    bits = (numbers.astype(np.uint64) + np.uint64(shift)) * _GOLDEN
    return (bits ^ (bits >> np.uint64(32))) * _MIX


# Rules --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HashedSizes:
    """Sizes from ``low`` to ``high`` inclusive, drawn by chunk number from 4,096 values.

    ``zeros`` is the share of chunks that are zero bytes long. Neighbouring numbers have unlike
    sizes, so that a size put into the wrong place shows.
    """

    low: int = 1_000
    high: int = 99_999
    seed: int = 0
    zeros: float = 0.0

    @cached_property
    def values(self) -> np.ndarray:
        """The sizes that occur, by code (int64)."""
        values = self.low + np.arange(_CODES, dtype=np.int64) * (self.high - self.low) // 4095
        values[: round(self.zeros * _CODES)] = 0
        return values

    def codes(self, numbers: np.ndarray) -> np.ndarray:
        """Return each chunk's place in ``values``."""
        return (_mixed(numbers, self.seed) >> np.uint64(52)).view(np.int64)

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """Return each chunk's size in bytes (int64)."""
        return self.values[self.codes(numbers)]


@dataclass(frozen=True)
class ConstantSize:
    """Every chunk has ``size`` bytes."""

    size: int

    @property
    def values(self) -> np.ndarray:
        """The one size."""
        return np.array([self.size], dtype=np.int64)

    def codes(self, numbers: np.ndarray) -> np.ndarray:
        """Return zeros: each chunk's place in ``values``."""
        return np.zeros(len(numbers), dtype=np.int64)

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """Return each chunk's size in bytes (int64)."""
        return np.full(len(numbers), self.size, dtype=np.int64)


@dataclass(frozen=True)
class LeadingRange:
    """Present are the chunks whose index along axis 0 lies in ``[start, stop)``.

    As ARCO-ERA5 is: preallocated from 1900 to 2050, written from 1940 on.
    """

    start: int
    stop: int

    def __call__(self, numbers: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """Return which chunks are present."""
        inner = math.prod(grid[1:])
        return (numbers >= self.start * inner) & (numbers < self.stop * inner)


@dataclass(frozen=True)
class HashFraction:
    """Present is about this ``fraction`` of the chunks, drawn by chunk number."""

    fraction: float
    seed: int = 0

    def __call__(self, numbers: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """Return which chunks are present."""
        return _mixed(numbers, self.seed + 1) >> np.uint64(32) < int(self.fraction * 2**32)


@dataclass(frozen=True)
class Without:
    """Present are all chunks but those with these chunk ``numbers``."""

    numbers: tuple[int, ...]

    def __call__(self, numbers: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """Return which chunks are present."""
        return ~np.isin(numbers, self.numbers)


@dataclass(frozen=True)
class Nothing:
    """No chunk is present: the array has metadata only."""

    def __call__(self, numbers: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """Return which chunks are present: none."""
        return np.zeros(len(numbers), dtype=bool)


@dataclass(frozen=True)
class Both:
    """Present are the chunks that both rules call present."""

    one: Mask
    other: Mask

    def __call__(self, numbers: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """Return which chunks are present."""
        return self.one(numbers, grid) & self.other(numbers, grid)


# Text order ---------------------------------------------------------------------------------------


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


class _Table:
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


@dataclass(slots=True, eq=False)
class Run:
    """Neighbouring slots whose keys are ``prefix`` plus the rows ``[start, stop)`` of a table."""

    array: FormulaArray | None
    slot: int
    prefix: bytes
    table: _Table
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


class _Layout:
    """How the keys of a grid run in text order, whatever the array's name.

    Axes from ``pivot + 1`` on, and the last digits of the pivot's index, are rendered in tables;
    the axes before it and the pivot's head make the prefix of a run.
    """

    def __init__(self, grid: tuple[int, ...], encoding: KeyEncoding) -> None:
        self.grid = grid
        self.cells = math.prod(grid)
        self.separator = encoding.separator.encode()
        self.strides = [math.prod(grid[axis + 1 :]) for axis in range(len(grid))]
        pivot = len(grid) - 1
        while pivot >= 0 and self.strides[pivot] * grid[pivot] <= TABLE_ROWS:
            pivot -= 1
        self.pivot = pivot
        self.head = encoding.head.encode() if grid else b""
        inner, numbers = self._inner(pivot + 1)
        if pivot < 0:
            tails = inner if grid else [encoding.tail(()).encode()]
            self.span = self.cells
            self.tables = [_Table(tails, np.zeros_like(numbers), numbers)]
            return
        self.rows = self.strides[pivot]
        self.span = self.rows * grid[pivot]
        depth = 0
        while len(_suffixes(depth + 1)[0]) * self.rows <= TABLE_ROWS:
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
    ) -> _Table:
        """Render every suffix of the pivot's index followed by every inner tail."""
        spelled = [
            b"%0*d" % (length, value) if length else b""
            for value, length in zip(values.tolist(), lengths.tolist(), strict=True)
        ]
        tails = [suffix + tail for suffix in spelled for tail in inner]
        scale = np.repeat(10**lengths * self.rows, self.rows)
        offset = (values[:, None] * self.rows + numbers).ravel()
        return _Table(tails, scale, offset)

    def at(self, rank: int) -> tuple[bytes, _Table, int, int, int]:
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
def _layout(grid: tuple[int, ...], encoding: KeyEncoding) -> _Layout:
    return _Layout(grid, encoding)


# Arrays and stores --------------------------------------------------------------------------------


@dataclass(frozen=True)
class FormulaArray:
    """The chunk objects of one array: ``grid`` cells under ``name``, spelled by ``encoding``.

    ``name`` is the array's path in its store (``""`` is an array at the root). ``size`` gives
    each chunk's bytes by its number (an int means all alike); ``present`` tells which chunks
    exist (None means all). Rules must be importable by name to be served by another process:
    a lambda works in-process only.
    """

    name: str
    grid: tuple[int, ...]
    encoding: KeyEncoding
    size: SizeRule | int = HashedSizes()
    present: Mask | None = None

    def __post_init__(self) -> None:
        """Refuse a grid and an encoding of different rank."""
        if len(self.grid) != self.encoding.rank:
            raise ValueError(
                f"array {self.name!r}: a grid of {len(self.grid)} dimensions cannot be spelled by "
                f"an encoding of {self.encoding.rank}"
            )

    @property
    def cells(self) -> int:
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
        numbers = np.arange(start, self.cells if stop is None else stop, dtype=np.int64)
        return np.where(self.is_present(numbers), self.sizes(numbers), -1)

    @cached_property
    def count(self) -> int:
        """How many chunks are present; counted in passing, 10^9 in some 10 s, unless all are."""
        if self.present is None:
            return self.cells
        step = 1 << 20
        parts = (
            np.arange(at, min(at + step, self.cells), dtype=np.int64)
            for at in range(0, self.cells, step)
        )
        return sum(int(np.count_nonzero(self.is_present(part))) for part in parts)

    def key(self, rank: int) -> str:
        """Return the key at ``rank`` in text order, present or not."""
        return self.key_bytes(rank).decode()

    def key_bytes(self, rank: int) -> bytes:
        """Return the key at ``rank`` as UTF-8, in whose order ranks count."""
        if not 0 <= rank < self.cells:
            raise IndexError(f"array {self.name!r} has {self.cells} ranks, {rank} is none of them")
        prefix, table, row, _, _ = _layout(self.grid, self.encoding).at(rank)
        return self._prefix + prefix + table.tails[row]

    def number(self, rank: int) -> int:
        """Return the chunk number at ``rank``."""
        _, table, row, base, head = _layout(self.grid, self.encoding).at(rank)
        return base + head * int(table.scale[row]) + int(table.offset[row])

    def rank(self, key: str | bytes) -> int:
        """Return how many of the array's keys sort before ``key``: its rank if it is one."""
        wanted = key.encode() if isinstance(key, str) else key
        return bisect_left(range(self.cells), wanted, key=self.key_bytes)

    def runs(self, start: int, stop: int, slot: int, most: int) -> Iterator[Run]:
        """Yield the present keys of ranks ``[start, stop)`` as runs of up to ``most`` rows.

        ``slot`` is the slot of rank ``start`` in the store. Runs without a key are left out.
        """
        layout = _layout(self.grid, self.encoding)
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
        self.arrays = tuple(replace(array, name=_below(root, array.name)) for array in arrays)
        self.extra = {_below(root, key).encode(): body for key, body in (extra or {}).items()}
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
        wanted = _below(self.root, name)
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
            elif high - low == segment.array.cells:
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
                table = _Table([segment.first], np.zeros(1, dtype=np.int64), size)
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
    if not array.cells:
        return []
    first, last = array.key_bytes(0), array.key_bytes(array.cells - 1)
    cuts = [0]
    for key in literals[bisect_left(literals, first) : bisect_right(literals, last)]:
        rank = array.rank(key)
        if array.key_bytes(rank) == key:
            raise ValueError(
                f"{key.decode()!r} is a chunk of {array.name!r} and an extra object too; "
                "leave it out of `extra`, or out of the array's grid"
            )
        cuts.append(rank)
    cuts.append(array.cells)
    return [
        Segment(array.key_bytes(low), array.key_bytes(high - 1), array, low, high, b"")
        for low, high in itertools.pairwise(cuts)
        if low < high
    ]


# Zarr hierarchies ---------------------------------------------------------------------------------

ArraySpec = tuple[str, Sequence[int], Sequence[int], Sequence[str]]
"""``(name, shape, chunks, dimension names)``."""


def chunk_grid(shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, ...]:
    """Return how many chunks there are along each dimension, a partial last one included."""
    return tuple(-(-n // c) for n, c in zip(shape, chunks, strict=True))


def zarr_store(
    arrays: Iterable[ArraySpec],
    zarr_format: int = 2,
    separator: Separator = ".",
    *,
    key_encoding: str = "default",
    consolidated: bool = True,
    size: SizeRule | int | str | None = None,
    present: Mask | Mapping[str, Mask] | None = None,
    extra: Mapping[str, bytes] | None = None,
    root: str = "",
) -> FormulaStore:
    """Make a valid Zarr hierarchy: a root group, groups for nested names, float32 arrays.

    ``key_encoding`` is v3's: ``"default"`` or ``"v2"``. ``present`` is one rule, or rules by array
    name (others complete). ``size`` None says zstd in the metadata and gives sizes by hash;
    ``"exact"`` says uncompressed and gives each chunk its full size, so that chunks can be decoded
    (to noise). ``extra`` adds strays, or takes the place of a document.
    """
    specs = [
        (name, tuple(shape), tuple(chunks), tuple(dims)) for name, shape, chunks, dims in arrays
    ]
    exact = size == "exact"
    marker = "c" if zarr_format == 3 and key_encoding == "default" else ""
    formulas = []
    for name, shape, chunks, _ in specs:
        rule = present.get(name) if isinstance(present, Mapping) else present
        sized = math.prod(chunks) * 4 if exact else HashedSizes() if size is None else size
        if isinstance(sized, str):
            raise ValueError(f'size={size!r}: give a rule, a number of bytes, None or "exact"')
        grid = chunk_grid(shape, chunks)
        encoding = KeyEncoding(marker, separator, len(shape))
        formulas.append(FormulaArray(name, grid, encoding, sized, rule))
    documents = zarr_documents(
        specs,
        zarr_format,
        separator,
        key_encoding=key_encoding,
        consolidated=consolidated,
        compressed=not exact,
    )
    return FormulaStore(formulas, {**documents, **(extra or {})}, root=root)


def zarr_documents(
    arrays: Iterable[ArraySpec],
    zarr_format: int = 2,
    separator: Separator = ".",
    *,
    key_encoding: str = "default",
    consolidated: bool = True,
    compressed: bool = True,
) -> dict[str, bytes]:
    """Return the metadata documents of a hierarchy of float32 arrays, by key.

    On their own they let a store's metadata say another grid than its chunks have: give them to
    ``FormulaStore`` as ``extra``.
    """
    specs = list(arrays)
    groups = {
        "/".join(name.split("/")[:depth])
        for name, *_ in specs
        for depth in range(1, name.count("/") + 1)
    }
    groups.add("")
    nodes: dict[str, Any] = {}
    if zarr_format == 2:
        for group in sorted(groups):
            nodes[_below(group, ".zgroup")] = {"zarr_format": 2}
            nodes[_below(group, ".zattrs")] = {}
        for name, shape, chunks, dims in specs:
            nodes[_below(name, ".zarray")] = {
                "chunks": list(chunks),
                "compressor": {"id": "zstd", "level": 0} if compressed else None,
                "dimension_separator": separator,
                "dtype": "<f4",
                "fill_value": "NaN",
                "filters": None,
                "order": "C",
                "shape": list(shape),
                "zarr_format": 2,
            }
            nodes[_below(name, ".zattrs")] = {"_ARRAY_DIMENSIONS": list(dims)}
        if consolidated:
            nodes[".zmetadata"] = {"metadata": dict(nodes), "zarr_consolidated_format": 1}
    elif zarr_format == 3:
        for group in sorted(groups):
            nodes[group] = {"attributes": {}, "zarr_format": 3, "node_type": "group"}
        zstd = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}
        for name, shape, chunks, dims in specs:
            nodes[name] = {
                "shape": list(shape),
                "data_type": "float32",
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
                "chunk_key_encoding": {
                    "name": key_encoding,
                    "configuration": {"separator": separator},
                },
                "fill_value": "NaN",
                "codecs": [
                    {"name": "bytes", "configuration": {"endian": "little"}},
                    *([zstd] if compressed else []),
                ],
                "attributes": {},
                "dimension_names": list(dims),
                "zarr_format": 3,
                "node_type": "array",
                "storage_transformers": [],
            }
        if consolidated and nodes[""]["node_type"] == "group":
            inline = {name: node for name, node in nodes.items() if name}
            nodes[""]["consolidated_metadata"] = {
                "kind": "inline",
                "must_understand": False,
                "metadata": inline,
            }
        nodes = {_below(name, "zarr.json"): node for name, node in nodes.items()}
    else:
        raise ValueError(f"zarr_format={zarr_format}: there are 2 and 3")
    return {key: json.dumps(node).encode() for key, node in nodes.items()}


def _below(parent: str, name: str) -> str:
    """Join two paths either of which may be empty."""
    return f"{parent}/{name}" if parent and name else parent or name


_HOURS_1900_TO_1940 = 350_616

FIELD_STORES: dict[str, dict[str, Any]] = {
    "ufs-replay": {
        "arrays": [
            (
                "tmp",
                (87020, 127, 768, 1536),
                (1, 1, 768, 1536),
                ("time", "pfull", "grid_yt", "grid_xt"),
            ),
            ("pressfc", (87020, 768, 1536), (1, 768, 1536), ("time", "grid_yt", "grid_xt")),
        ],
    },
    "arco-era5": {
        "arrays": [
            (
                "temperature",
                (1323648, 37, 721, 1440),
                (1, 37, 721, 1440),
                ("time", "level", "latitude", "longitude"),
            ),
            (
                "2m_temperature",
                (1323648, 721, 1440),
                (1, 721, 1440),
                ("time", "latitude", "longitude"),
            ),
        ],
        "present": LeadingRange(_HOURS_1900_TO_1940, _HOURS_1900_TO_1940 + 761_000),
    },
    "nwm": {
        "arrays": [("depth", (367439, 2776738), (672, 30000), ("time", "feature_id"))],
    },
    "mur-sst": {
        "arrays": [
            ("analysed_sst", (6443, 17999, 36000), (5, 1799, 3600), ("time", "lat", "lon")),
            ("time", (6443,), (5,), ("time",)),
        ],
    },
    "aef-shards": {
        # counted in inner chunks: 16 x 16 of them share an object
        "arrays": [("embeddings", (7, 1, 7264, 15664), (1, 1, 16, 16), ("time", "band", "y", "x"))],
        "zarr_format": 3,
        "separator": "/",
    },
    "hrrr": {
        "arrays": [("TMP", (1059, 1799), (150, 150), ("projection_y", "projection_x"))],
    },
}
"""Arguments of ``zarr_store`` for stores of FIELD.md, by short name.

Published shapes; as is the share of ARCO-ERA5 that exists, only where it starts being computed
(the first of January 1940 in hours since 1900).
"""


def field_store(name: str, **options: Any) -> FormulaStore:
    """Return the formula store of a real store; ``options`` go over those of FIELD_STORES."""
    return zarr_store(**{**FIELD_STORES[name], **options})
