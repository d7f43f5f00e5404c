"""Coordinates of dimensions that are kept in the references, and up to which size. No I/O.

A producer that appends to a store writes its coordinate anew. References into the old one break
every reader until they are updated; bytes that are kept do not, and cost no request on opening.
"""

from __future__ import annotations

from math import prod

from parchunk.metadata.spec import ArraySpec

#: Chunks of a coordinate that is kept, at most: each is read by a request.
MOST_CHUNKS = 2_000
#: Bytes of a coordinate that is kept, at most, decoded.
MOST_BYTES = 16 << 20
#: What an element of no fixed size counts for.
_VARIABLE = 64


def is_coordinate_of_own(spec: ArraySpec) -> bool:
    """Whether an array is one-dimensional and named like its dimension."""
    return spec.rank == 1 and spec.dimension_names[0] == spec.name.rpartition("/")[2]


def coordinate_threshold(spec: ArraySpec) -> int:
    """Return up to how many bytes a chunk of an array is kept for being a coordinate's.

    0 for what is none, or is too large. What a codec adds to bytes that it cannot make fewer is
    allowed for.
    """
    each = max(spec.itemsize, _VARIABLE if spec.dtype == "|O" else 1)
    if (
        not is_coordinate_of_own(spec)
        or spec.reference_total > MOST_CHUNKS
        or spec.shape[0] * each > MOST_BYTES
    ):
        return 0
    size = prod(spec.reference_chunks) * each
    return min(size, MOST_BYTES) + size // 64 + 4096
