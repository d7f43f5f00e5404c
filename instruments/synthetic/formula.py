"""Formula stores: the ordered key space of a Zarr store, computed and never held.

A *slot* is a place in the order of the whole store: the ranks of all its arrays and its *extra*
objects (metadata documents, strays) laid end to end.
"""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from instruments.synthetic.formula_array import SCAN_ROWS, FormulaArray, Run
from instruments.synthetic.layout import TABLE_ROWS, Table


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
