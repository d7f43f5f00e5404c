"""Shard indexes by the batch: from bytes to the offset and size of every inner chunk. No I/O.

An entry is a pair of unsigned 64-bit integers, both 2^64 - 1 where the inner chunk was never
written. Nothing is believed: an entry must lie inside its shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parchunk.metadata.shards import ShardLayout

#: A code in place of the size of an inner chunk whose shard is not there.
ABSENT_SHARD = 0
#: A code for an inner chunk which its shard's index says was never written.
EMPTY = -1
#: A code for an inner chunk of no bytes, which no reader can decode.
ZERO_SIZED = -2

_NEVER = np.uint64(2**64 - 1)


class IndexDamage(Exception):
    """An index that cannot be right: ``shard`` is its position in the batch, ``reason`` why."""

    def __init__(self, shard: int, reason: str) -> None:
        """Report the first damaged shard of a batch."""
        super().__init__(reason)
        self.shard = shard
        self.reason = reason


@dataclass(frozen=True)
class InnerSizes:
    """The sizes of inner chunks in row order: in bytes, or one of the three codes above."""

    codes: NDArray[np.int64]

    @classmethod
    def unknown(cls, count: int) -> InnerSizes:
        """Return those of inner chunks of whose shards nothing is known: as of absent ones."""
        return cls(np.full(count, ABSENT_SHARD, np.int64))

    def __getitem__(self, rows: slice) -> InnerSizes:
        """Return those of some rows, as a view."""
        return InnerSizes(self.codes[rows])

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which inner chunks have bytes."""
        return np.greater(self.codes, 0)

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Which inner chunks were never written to a shard that is there."""
        return np.equal(self.codes, EMPTY)

    @property
    def zero_sized(self) -> NDArray[np.bool_]:
        """Which inner chunks were written without any bytes, or are of a shard without any."""
        return np.equal(self.codes, ZERO_SIZED)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The bytes of each inner chunk, 0 where it is not present."""
        return np.maximum(self.codes, 0)


@dataclass(frozen=True)
class Entries:
    """The inner chunks of a batch of shards, shape (shards, inner chunks of one), in C order.

    ``sizes`` are in bytes, or the codes EMPTY and ZERO_SIZED; ``offsets`` are 0 for these two.
    """

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


def decode(
    layout: ShardLayout, stretches: Sequence[bytes], first: int, shard_sizes: NDArray[np.int64]
) -> Entries:
    """Return the same entries of a batch of shards: whole ones, from number ``first`` on.

    ``shard_sizes`` are the sizes of the shard objects in bytes, shape (len(stretches),). The
    checksum, which is over all entries, is the caller's.

    Raises
    ------
    IndexDamage
        For the first shard that has an entry which is not within it.
    """
    joined = stretches[0] if len(stretches) == 1 else b"".join(stretches)
    pairs = np.frombuffer(joined, f"{layout.byte_order}u8")
    return _entries(pairs.reshape(len(stretches), -1, 2), shard_sizes, first)


def _entries(pairs: NDArray[np.uint64], shard_sizes: NDArray[np.int64], first: int) -> Entries:
    """Return the entries that pairs of integers are, shape (shards, entries, 2)."""
    offsets, sizes = pairs[..., 0].astype(np.uint64), pairs[..., 1].astype(np.uint64)
    bounds = shard_sizes.astype(np.uint64)[:, None]
    empty = (offsets == _NEVER) & (sizes == _NEVER)
    # In this order nothing can overflow: an offset is taken from a bound that is not below it.
    bad = ~empty & ((offsets > bounds) | (sizes > bounds - np.minimum(offsets, bounds)))
    if bad.any():
        shard, entry = (int(at) for at in np.argwhere(bad)[0])
        raise IndexDamage(
            shard,
            f"inner chunk {first + entry} is said to be {int(sizes[shard, entry])} bytes from "
            f"{int(offsets[shard, entry])}, past the shard's end at {int(shard_sizes[shard])}",
        )
    offsets[empty] = 0
    sizes[empty] = 0
    found = sizes.view(np.int64)
    zero = (found == 0) & ~empty
    if zero.any():
        offsets[zero] = 0
        found[zero] = ZERO_SIZED
    found[empty] = EMPTY
    return Entries(offsets.view(np.int64), found)
