"""Which bytes of a shard to fetch for some of its inner chunks, with few requests. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Bytes between two inner chunks that are fetched and dropped rather than asked for separately.
_GAP = 64 << 10

#: Bytes fetched by one request, at most, unless one inner chunk is longer.
_SPAN = 2 << 20


@dataclass(frozen=True)
class Span:
    """Bytes of a shard that are fetched by one request, for the inner chunks of ``rows``."""

    start: int
    stop: int
    rows: tuple[int, ...]


def spans(
    rows: Sequence[int], offsets: NDArray[np.int64], sizes: NDArray[np.int64]
) -> Iterator[Span]:
    """Yield what to fetch of a shard for ``rows``, in the order of their offsets.

    Near ones are fetched together, so that a request is saved and little is fetched in vain.
    """
    run: list[int] = []
    start = stop = 0
    for row in rows:
        begin, end = int(offsets[row]), int(offsets[row] + sizes[row])
        if run and (begin > stop + _GAP or max(end, stop) > start + _SPAN):
            yield Span(start, stop, tuple(run))
            run = []
        if not run:
            start, stop = begin, end
        run.append(row)
        stop = max(stop, end)
    if run:
        yield Span(start, stop, tuple(run))
