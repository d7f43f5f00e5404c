"""Key spaces: all chunk keys of one array, by chunk number, by rank, and by what they spell."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.numbers import unravelled
from parchunk.keys.text_order import digits, index_at, spelled_before

_DIGITS = "0123456789"


@dataclass(frozen=True)
class KeySpace:
    """The chunk keys of one array: ``grid`` chunks along each axis, and how an index is spelled.

    A chunk's *number* is its index ravelled in C order, its *rank* the place of its tail among
    all tails in text order; both run from 0 to ``total``.
    """

    grid: tuple[int, ...]
    encoding: KeyEncoding

    @property
    def total(self) -> int:
        """The number of chunks: 1 for rank 0, 0 where an axis is empty."""
        return prod(self.grid)

    def index(self, number: int) -> tuple[int, ...]:
        """Return the chunk index of a number."""
        return unravelled(self.grid, number)

    def key(self, number: int) -> str:
        """Return the tail of a chunk's key."""
        return self.encoding.tail(self.index(number))

    def key_at(self, rank: int) -> str:
        """Return the tail that has a rank."""
        return self.encoding.tail(index_at(self.grid, rank))

    def position(self, tail: str) -> int:
        """Return how many chunk keys sort strictly before ``tail``, in UTF-8 order.

        ``tail`` is any string below the array's path: the position of a chunk's own tail is its
        rank, that of a stray is the rank of the next chunk key after it (the number of chunks when
        there is none). On a grid of 12 that of ``10.tmp`` is 3: after 0, 1 and 10, before 11.
        A stray's position does not tell what it is near: ``00.1`` on a 20 x 3 grid has position 3,
        that of ``1.0``, because ``00`` sorts after ``0.``.
        """
        grid, encoding, total = self.grid, self.encoding, self.total
        if total == 0:
            return 0
        if encoding.rank == 0:
            return int(encoding.tail(()) < tail)
        head, separator = encoding.head, encoding.separator
        if not tail.startswith(head):  # every chunk key starts with the head
            return total if tail > head else 0
        # Python compares strings by code point, which is the order of their UTF-8 bytes
        rest = tail[len(head) :]
        position, inner = 0, total
        for axis, size in enumerate(grid):
            inner //= size
            after = rest.lstrip(_DIGITS)
            number = rest[: len(rest) - len(after)]
            position += spelled_before(size, number, beyond=after[:1] > "9") * inner
            if after[:1] > "9" or not _is_index(size, number):
                return position  # all keys that share a number with this one are on one side of it
            if axis == len(grid) - 1:
                return position + (after != "")
            if after[:1] != separator:
                return position + (inner if after[:1] > separator else 0)
            rest = after[1:]
        return position


def _is_index(size: int, number: str) -> bool:
    """Whether ``number``, a string of digits or nothing, is the spelling of an index."""
    if not number or len(number) > digits(size) or (number[0] == "0" and number != "0"):
        return False
    return int(number) < size
