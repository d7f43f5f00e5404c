"""Faults of the rows of one record file: ranges of bytes, and what is inlined. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.metadata.shard_grid import shard_numbers
from parchunk.metadata.spec import ArraySpec
from parchunk.out.inlined import is_misread, marked


@dataclass(frozen=True)
class RowFault:
    """One kind of fault and which rows have it; ``remedy`` where building again is none."""

    kind: str
    rows: NDArray[np.bool_]
    what: str
    remedy: str | None = None


@dataclass(frozen=True)
class Ranges:
    """What rows of a record file point at, by chunk number: shape (n,) each.

    ``intact`` says that the record file is the one of its receipt.
    """

    numbers: Int64Array
    referenced: NDArray[np.bool_]
    offsets: Int64Array
    sizes: Int64Array
    intact: bool


def is_plain(
    path: pa.StringArray,
    raw: pa.BinaryArray,
    offsets: Int64Array,
    sizes: Int64Array,
    threshold: int,
) -> bool:
    """Whether all rows point at whole objects of more bytes than a build inlines: no fault then."""
    return (
        not path.null_count
        and raw.null_count == len(raw)
        and not offsets.any()
        and bool(sizes.min(initial=threshold + 1) > threshold)
    )


def size_faults(
    referenced: NDArray[np.bool_], inlined: NDArray[np.bool_], sizes: NDArray[np.int64]
) -> Iterator[RowFault]:
    """Yield what is wrong with rows' sizes, by whether they have a path or inlined bytes."""
    yield RowFault(
        "wrong-size",
        referenced & (sizes <= 0),
        "size is not above 0, so that readers get the whole object whatever it is",
    )
    yield RowFault("wrong-size", ~referenced & (sizes != 0), "size is given without a path")
    yield RowFault("wrong-path", referenced & inlined, "both a path and inlined bytes are given")


def inlining_faults(
    threshold: int,
    raw: pa.BinaryArray,
    inlined: NDArray[np.bool_],
    referenced: NDArray[np.bool_],
    sizes: NDArray[np.int64],
) -> Iterator[RowFault]:
    """Yield what is wrong with inlined rows, and which rows should be.

    ``sizes`` are those of chunks, inlined or not; a build inlines those of up to ``threshold``.
    """
    if inlined.any():
        yield RowFault(
            "wrong-size",
            inlined & ((sizes > threshold) | (sizes < 1)),
            f"bytes are inlined, where a build inlines chunks of 1 to {threshold:,} bytes"
            if threshold
            else "bytes are inlined, where a build of this plan inlines nothing",
        )
        misread = np.zeros(len(raw), bool)
        rows = marked(raw)
        misread[rows] = [is_misread(raw[row].as_py()) for row in rows.tolist()]
        yield RowFault(
            "wrong-encoding",
            misread,
            "its bytes begin with base64: and are not encoded, so that readers decode them",
        )
    yield RowFault(
        "wrong-size",
        referenced & (sizes > 0) & (sizes <= threshold),
        f"a reference, where a build inlines chunks of up to {threshold:,} bytes",
    )


def range_faults(spec: ArraySpec, rows: Ranges) -> Iterator[RowFault]:
    """Yield what is wrong with the ranges of inner chunks within their shards.

    Where a shard ends is not known here: only a listing of the source tells.
    """
    numbers, referenced, offsets, sizes = rows.numbers, rows.referenced, rows.offsets, rows.sizes
    yield RowFault("wrong-offset", ~referenced & (offsets != 0), "offset is given without a path")
    beyond = np.iinfo(np.int64).max - np.maximum(offsets, 0) < np.maximum(sizes, 0)
    absurd = referenced & ((offsets < 0) | beyond)
    yield RowFault("wrong-offset", absurd, "no object has such a range of bytes")
    placed = np.flatnonzero(referenced & ~absurd & (sizes > 0))
    if len(placed) < 2:
        return
    shards = shard_numbers(spec, numbers[placed])
    order = np.lexsort((offsets[placed], shards))
    placed, shards = placed[order], shards[order]
    starts, stops = offsets[placed], offsets[placed] + sizes[placed]
    shared = (shards[1:] == shards[:-1]) & (starts[1:] < stops[:-1])
    # A writer may store equal inner chunks once: the very same range twice is no fault. Whether
    # ranges that share some bytes are, only the shard's index tells, unless the file was changed.
    shared &= (starts[1:] != starts[:-1]) | (stops[1:] != stops[:-1])
    overlapping = np.zeros(len(numbers), bool)
    overlapping[placed[1:]] = shared
    what = "its bytes are also those of another inner chunk of its shard"
    if rows.intact:
        remedy = "audit with --against-source, which reads the indexes of shards"
        yield RowFault("shared-ranges", overlapping, f"some of {what}", remedy)
    else:
        yield RowFault("wrong-offset", overlapping, what)
