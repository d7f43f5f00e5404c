"""Receipts of very many partitions: as columns, which take a tenth of what they take as objects."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from operator import eq
from typing import Any, Generic, TypeVar, overload

from parchunk.out.counts import Counts, fields_of, names_of
from parchunk.out.receipts import Receipt, RecordFile

#: Receipts that become columns together.
TOGETHER = 512
#: Characters of a digest in hex.
_DIGEST = 32

_T = TypeVar("_T", Receipt, RecordFile)


class ManyReceipts(Sequence[Receipt]):
    """Receipts in the order in which they came, each made anew whenever it is asked for.

    They may be added from any thread, and read meanwhile.
    """

    def __init__(self, receipts: Iterable[Receipt] = (), together: int = TOGETHER) -> None:
        self._together = together
        self._blocks: list[_Block] = []
        self._last: list[Receipt] = []
        self._lock = threading.Lock()
        #: Chunks that all of them expect together.
        self.expected = 0
        self.extend(receipts)

    def append(self, receipt: Receipt) -> None:
        """Add a receipt."""
        with self._lock:
            self.expected += receipt.expected
            self._last.append(receipt)
            if len(self._last) == self._together:
                self._blocks.append(_Block(self._last))
                self._last = []

    def extend(self, receipts: Iterable[Receipt]) -> None:
        """Add some receipts."""
        for receipt in receipts:
            self.append(receipt)

    def __len__(self) -> int:
        with self._lock:
            return len(self._blocks) * self._together + len(self._last)

    def __iter__(self) -> Iterator[Receipt]:
        return self._behind(0)

    @overload
    def __getitem__(self, at: int) -> Receipt: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Receipt]: ...

    def __getitem__(self, at: int | slice) -> Receipt | Sequence[Receipt]:
        if isinstance(at, slice):
            first, stop, step = at.indices(len(self))
            if step == 1:
                return list(islice(self._behind(first), max(stop - first, 0)))
            return list(self)[at]
        return next(self._behind(range(len(self))[at]))

    def each(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """Yield some fields of each, not its record files: no receipt is made for it."""
        with self._lock:
            blocks, last = tuple(self._blocks), tuple(self._last)
        yield from chain.from_iterable(block.each(names) for block in blocks)
        yield from _fields(last, names)

    @property
    def counts(self) -> Counts:
        """What all of them count together."""
        kind: type = Counts
        return Counts(**{name: sum(v for (v,) in self.each(name)) for name in names_of(kind)})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type, tuple[list[Receipt]]]:
        """Return how it is copied and pickled: a lock is not."""
        return ManyReceipts, (list(self),)

    def _behind(self, first: int) -> Iterator[Receipt]:
        """Yield those that are there now, from a place on."""
        with self._lock:
            blocks, last = self._blocks[first // self._together :], tuple(self._last)
        there = chain(chain.from_iterable(blocks), last)
        return islice(there, first % self._together, None)


def each(receipts: Iterable[Receipt], *names: str) -> Iterator[tuple[Any, ...]]:
    """Yield some fields of each receipt, not its record files, however they are held."""
    return receipts.each(*names) if isinstance(receipts, ManyReceipts) else _fields(receipts, names)


def _fields(receipts: Iterable[Receipt], names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    return (tuple(getattr(receipt, name) for name in names) for receipt in receipts)


class _Block:
    """Some receipts as columns, and their record files as columns of their own."""

    def __init__(self, receipts: Sequence[Receipt]) -> None:
        self._receipts = _Columns(Receipt, receipts)
        self._files = _Columns(RecordFile, [f for one in receipts for f in one.record_files])

    def __iter__(self) -> Iterator[Receipt]:
        files = iter(self._files.values())
        for values in self._receipts.rows():
            values["record_files"] = tuple(islice(files, values["record_files"]))
            yield Receipt(**values)

    def each(self, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield some fields of each."""
        return self._receipts.each(names)


class _Columns(Generic[_T]):
    """Values of a dataclass, field by field; of record files a receipt has their number."""

    def __init__(self, kind: type[_T], values: Sequence[_T]) -> None:
        of: type = kind
        self._kind: type[_T] = kind
        self._names, self._count = names_of(of), len(values)
        columns = zip(*map(fields_of(of), values), strict=True)
        self._columns = list(map(_packed, self._names, columns))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the fields of each value by name."""
        for row in islice(zip(*self._columns, strict=False), self._count):
            yield dict(zip(self._names, row, strict=True))

    def each(self, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield some fields of each value."""
        held = dict(zip(self._names, self._columns, strict=True))
        return islice(zip(*map(held.__getitem__, names), strict=False), self._count)

    def values(self) -> Iterator[_T]:
        """Yield the values."""
        return (self._kind(**row) for row in self.rows())


def _packed(name: str, column: Sequence[Any]) -> Iterable[Any]:
    """Return what yields a column's values again, and perhaps the last one for ever."""
    if name == "record_files":
        column = [len(files) for files in column]
    first, kinds = column[0], set(map(type, column))
    if len(kinds) == 1 and column.count(first) == len(column):
        return repeat(first)
    if name == "digest":
        return _Digests.of(column) or column
    if kinds == {float}:
        return array("d", column)
    if kinds == {int}:
        try:
            return array("q", column)
        except OverflowError:  # a time may be anything
            return column
    return column


class _Digests:
    """Digests in hex, kept as bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @classmethod
    def of(cls, column: Sequence[str]) -> _Digests | None:
        """Return the digests of a column; None where one of them is no digest."""
        text = "".join(column)
        try:
            data = bytes.fromhex(text)
        except ValueError:
            return None
        are_digests = all(len(value) == _DIGEST for value in column) and data.hex() == text
        return cls(data) if are_digests else None

    def __iter__(self) -> Iterator[str]:
        each = _DIGEST // 2
        return (self._data[at : at + each].hex() for at in range(0, len(self._data), each))
