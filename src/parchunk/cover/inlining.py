"""How much memory inlining takes, and what there is of it.

What `--inline-threshold` lets into a record file is known when its chunks have been listed, not
before. A record file that has no room is refused then: to leave chunks out would make references
that depend on the memory they were built with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.planning.plan import INLINED_BYTES

#: Inlined bytes of one record file, at most, however much memory there is: whoever reads one
#: chunk of it reads them all.
MOST = 1 << 30
#: How often the bytes of one record file are held: as fetched, as a column, as Parquet.
_HELD = 3
#: How often those of one row group are held while it is encoded.
_ENCODED = 6


def needed(total: int, largest: int) -> int:
    """Return the memory that inlining takes in one record file, in bytes.

    ``total`` and ``largest`` are the bytes of all its inlined chunks and of the largest one.
    """
    return _HELD * total + _ENCODED * min(total, INLINED_BYTES + largest)


@dataclass(frozen=True)
class InlineBound:
    """Bytes that a process may use to inline, and how they come about.

    Half of what ``--memory`` leaves to a process beyond the ``least`` that it needs is for
    inlining; ``processes`` share ``--memory``.
    """

    room: int
    least: int
    processes: int = 1

    def enough(self, wanted: int) -> int:
        """Return a ``--memory`` that has room for so much, in whole MiB."""
        return _enough(self.processes, self.least, wanted)

    def check(self, record_file: str, sizes: NDArray[np.int64], is_coordinate: bool = False) -> int:
        """Return the memory that a record file takes whose inlined chunks have these sizes.

        ``is_coordinate``: they are inlined for being a coordinate's.

        Raises
        ------
        InputError
            When that is more than there is, naming what would do.
        """
        total, largest = int(sizes.sum()), int(sizes.max(initial=0))
        wanted = needed(total, largest)
        if wanted <= self.room and total <= MOST:
            return wanted
        what = (
            f"{len(sizes):,} chunks of {total:,} bytes together are to be inlined in {record_file}"
        )
        lower = (
            f"--inline-threshold {self._threshold(sizes)} or lower, or with a smaller --record-size"
        )
        how = "--no-inline-coordinates" if is_coordinate else lower
        anew = f"build anew (--overwrite) with {how}"
        if total > MOST:
            raise InputError(
                f"{what}, more than the {MOST >> 20} MiB that a record file may hold: {anew}"
            )
        raise InputError(
            f"{what}, which takes {wanted / (1 << 20):.1f} MiB of memory, and --memory leaves "
            f"{self.room / (1 << 20):.1f} MiB for it: give --memory {self.enough(wanted)}MiB and "
            f"run again to resume, or {anew}"
        )

    def _threshold(self, sizes: NDArray[np.int64]) -> int:
        """Return the largest ``--inline-threshold`` with which this record file would have room."""
        distinct, counts = np.unique(sizes, return_counts=True)
        sums = np.cumsum(distinct * counts)
        for size, total in zip(distinct[::-1].tolist(), sums[::-1].tolist(), strict=True):
            if total <= MOST and needed(total, size) <= self.room:
                return int(size)
        return int(distinct[0]) - 1


@dataclass(frozen=True)
class ReadingBound:
    """Bytes in which record files are read back: what ``--memory`` leaves beside inlining.

    That is half of what it leaves beyond the ``least`` that is needed, or more.
    """

    room: int
    least: int

    def check_read(self, record_file: str, wanted: int) -> None:
        """Refuse to read a record file that may take ``wanted`` bytes, where there are fewer.

        Raises
        ------
        InputError
            Naming the memory that would do.
        """
        if wanted > self.room:
            raise InputError(
                f"{record_file} may take {wanted / (1 << 20):.1f} MiB to be read back, and "
                f"--memory leaves {self.room / (1 << 20):.1f} MiB for it: give --memory "
                f"{_enough(1, self.least, wanted)}MiB and run again to resume"
            )


def _enough(processes: int, least: int, wanted: int) -> int:
    return -(-processes * (least + 2 * wanted) // (1 << 20)) + 1


#: Where no --memory was given.
UNBOUNDED = InlineBound(1 << 60, 0)


def most_needed(rows: int, threshold: int) -> int:
    """Return the memory that inlining can take in a record file of ``rows`` rows."""
    return needed(min(rows * threshold, MOST), threshold) if threshold else 0
