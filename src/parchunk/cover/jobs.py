"""Jobs: what is listed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parchunk.keys.row_sets import RowSet
from parchunk.planning.plan import Partition

#: What an array of a bundle takes beside its sizes, in sizes of chunks.
MEMBER_CELLS = 1_000


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows that are tallied together and written when they are complete.

    ``partition`` is the position in the group of the partition that they belong to: a large one
    is several units.
    """

    partition: int
    rows: RowSet


@dataclass(frozen=True, slots=True)
class Group:
    """Partitions of one array that are covered together.

    Each of the ``passes`` is walked once, one after another. There is one pass unless a single
    partition is more than the memory bound allows. ``cells`` are the chunks held at the same
    time at most: of the units that walks in flight have met and not yet completed.
    """

    array: str
    partitions: tuple[Partition, ...]
    passes: tuple[tuple[Unit, ...], ...]
    cells: int
    #: Of an expanded array: inner chunks in one slice of a partition; counted in ``cells``, too.
    inner_cells: int = 0


def order_of(partitions: Sequence[Partition]) -> int:
    """Return when a group's turn is: whole arrays come first, then region by region."""
    region = partitions[0].region
    return -1 if region is None else region


@dataclass(frozen=True)
class Bundle:
    """Groups of two or more small arrays, in the order of their keys, that are listed together."""

    groups: tuple[Group, ...]

    @property
    def array(self) -> str:
        """The first array's name."""
        return self.groups[0].array

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions of all groups."""
        return tuple(partition for group in self.groups for partition in group.partitions)

    @property
    def cells(self) -> int:
        """The chunks that are held at the same time, at most."""
        return sum(group.cells + MEMBER_CELLS for group in self.groups)


#: What is listed and built as one task.
Work = Group | Bundle
