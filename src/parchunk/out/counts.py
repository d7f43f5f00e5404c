"""Counts of chunks: what a partition, an array, or a whole OUT comes to, and how they add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cache
from operator import add, attrgetter
from typing import Any, Self


@cache
def names_of(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields; asked again and again, where there are many."""
    return tuple(field.name for field in fields(kind))


@cache
def fields_of(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the fields of a dataclass, of two or more, out of a value."""
    return attrgetter(*names_of(kind))


# Slots: there may be a hundred thousand receipts.
@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts of chunks, and what else is counted with them.

    ``expected`` chunks there can be by the metadata, ``present`` ones are referenced or inlined;
    ``missing`` includes the ``zero_sized``, of no bytes. ``bytes`` is the sum of present chunks'
    sizes. ``strays`` are listed objects that are no chunks. ``found_again`` chunks were missed by
    the first listing and found by the second one.

    Of an expanded sharded array these count inner chunks. ``shards_present`` of its
    ``shards_expected`` are there, and ``empty_entries`` are inner chunks missing from those, so
    that ``missing - empty_entries - zero_sized`` of them lie in absent shards. These three are 0
    for other arrays.
    """

    expected: int = 0
    present: int = 0
    missing: int = 0
    zero_sized: int = 0
    inlined: int = 0
    bytes: int = 0
    strays: int = 0
    found_again: int = 0
    shards_expected: int = 0
    shards_present: int = 0
    empty_entries: int = 0

    @classmethod
    def total(cls, counted: Iterable[Self]) -> Self:
        """Return the sums of these fields over values that have them."""
        kind: type = cls
        names = names_of(kind)
        take = fields_of(kind)
        alone: Self | None = None
        sums: Iterable[Any] | None = None
        for value in counted:
            found = take(value)
            if sums is None:
                alone, sums = value, found
            elif any(found):  # most of what is added to one small array's is nothing
                alone, sums = None, list(map(add, sums, found))
        if alone is not None and type(alone) is cls:
            return alone
        return cls() if sums is None else cls(**dict(zip(names, sums, strict=True)))

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both."""
        return Counts.total((self, other))

    def values(self) -> dict[str, Any]:
        """Return the fields by name."""
        kind: type = type(self)
        return dict(zip(names_of(kind), fields_of(kind)(self), strict=True))


#: What most is that is counted of one small array beside its chunks: there may be very many.
NOTHING = Counts()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildCounts(Counts):
    """Counts of what was built, and what building it cost.

    ``requests`` are LIST requests, ``requests_least`` the fewest that could do, and
    ``index_requests`` the GETs for shard indexes.
    """

    requests: int = 0
    requests_least: int = 0
    retries: int = 0
    seconds: float = 0.0
    index_requests: int = 0
