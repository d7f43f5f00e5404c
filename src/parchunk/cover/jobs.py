"""Jobs: what is listed together, by which walks, and how much of it is held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from parchunk.cover.digit_tree import Ints
from parchunk.cover.walks import Width, intervals_of
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import Partition


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows that are tallied together and written when they are complete.

    ``partition`` is the position in the member of the partition that they belong to: a large one
    is several units.
    """

    partition: int
    rows: RowSet


@dataclass(frozen=True)
class Pass:
    """Units of one array that are met by the same walks, over a grid cut to a width."""

    grid: tuple[int, ...]
    units: tuple[Unit, ...]
    width: Width

    @property
    def row_sets(self) -> list[RowSet]:
        """The rows of its units."""
        return [unit.rows for unit in self.units]

    @cached_property
    def spans(self) -> Ints:
        """The cover: intervals of ranks to walk over, shape (n, 2), rising.

        It is computed when it is asked for first, and kept for the forecast, the listing, and
        whatever else: many jobs are never walked, as their store does not list in order.
        """
        return intervals_of(self.grid, self.row_sets, self.width)


@dataclass(frozen=True, slots=True)
class Expansion:
    """How much of an expanded array is read at once.

    ``rows`` are the inner chunks in one slice of a partition, ``index_bytes`` those of one shard's
    index, which takes several requests where it is longer. ``ahead_bytes`` of indexes are kept for
    slices to come, where slices end within shards.
    """

    rows: int
    index_bytes: int
    ahead_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """Partitions of one array that are covered together.

    Each of the ``passes`` is walked once, one after another. There is one pass unless a single
    partition is more than the memory bound allows. ``held`` are the chunks held at the same
    time at most: of the units that walks in flight have met and not yet completed.
    """

    spec: ArraySpec
    partitions: tuple[Partition, ...]
    passes: tuple[Pass, ...]
    held: int
    #: None for an array whose chunks are objects. What it holds is counted in ``held``, too.
    expansion: Expansion | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What is listed together: one array, or small neighbours in the order of their keys.

    ``held`` are the chunks held at the same time at most, and ``width`` is how the store lists.
    """

    members: tuple[Member, ...]
    held: int
    width: Width

    @property
    def together(self) -> bool:
        """Whether one walk lists several arrays: each of them has one pass then."""
        return len(self.members) > 1

    @property
    def array(self) -> str:
        """The first array's name."""
        return self.members[0].spec.name

    @property
    def partitions(self) -> Iterator[Partition]:
        """The partitions of all members."""
        return (partition for member in self.members for partition in member.partitions)


def order_of(partitions: Sequence[Partition]) -> int:
    """Return when a job's turn is: whole arrays come first, then region by region."""
    region = partitions[0].region
    return -1 if region is None else region
