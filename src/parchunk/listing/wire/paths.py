"""Keys out of the bytes of a page, where they are paths as they stand."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from parchunk.listing.wire.columns import Bytes, Places

_SLASH = ord("/")
#: A segment that no path has, or a slash at an end of a key.
_NO_SEGMENT = re.compile(rb"(?:\A|/)\.{0,2}(?:/|\Z)")


def paths(body: bytes, starts: Places, stops: Places) -> pa.StringArray | None:
    """Return keys as paths; None where one is not spelled the same as the other."""
    if int((stops - starts).min()) < 1:
        return None
    keys = texts(body, starts, stops)
    return keys if are_paths(keys) else None


def texts(body: bytes, starts: Places, stops: Places) -> pa.StringArray:
    """Return the texts that stand from one place to another; places rise."""
    count = len(starts)
    # What stands between texts is text, too, for as long as it takes Arrow to take them out.
    offsets = np.empty((count, 2), np.int32)
    offsets[:, 0], offsets[:, 1] = starts, stops
    both = pa.StringArray.from_buffers(2 * count - 1, pa.py_buffer(offsets), pa.py_buffer(body))
    # Arrow's own allocator keeps some megabytes for each thread, of which there may be hundreds.
    found: pa.StringArray = pc.take(
        both, _every_other(count), boundscheck=False, memory_pool=pa.system_memory_pool()
    )
    return found


def text_of(keys: pa.StringArray) -> Bytes:
    """Return all keys, one right behind the other."""
    return np.frombuffer(keys.buffers()[2], np.uint8)[: _offsets(keys)[-1]]


def _offsets(keys: pa.StringArray) -> NDArray[np.int32]:
    return np.frombuffer(keys.buffers()[1], np.int32)[: len(keys) + 1]


@lru_cache(maxsize=8)
def _every_other(count: int) -> pa.Array:
    """Return the numbers 0, 2, 4 ...; of most pages they are the same, and dear to make."""
    return pa.array(np.arange(0, 2 * count, 2, dtype=np.int32))


def are_paths(keys: pa.StringArray) -> bool:
    """Whether keys, none of them empty, are made of segments that paths have, all of them.

    Slashes at their ends make empty ones.
    """
    text, offsets = text_of(keys), _offsets(keys)
    begins, ends = offsets[:-1], offsets[1:]
    # The last bit is all that tells a dot from a slash. What ends a key and begins the next one
    # may look like it, too.
    either = text | 1 == _SLASH
    odd = (text[:-1] == _SLASH) & either[1:]
    at_ends = either.take(begins) | either.take(ends - 1)
    if not (odd.any() or at_ends.any()):
        return True
    amid = np.searchsorted(ends, np.flatnonzero(odd), side="right")
    doubtful = np.union1d(np.flatnonzero(at_ends), amid).tolist()
    return not any(_NO_SEGMENT.search(text[begins[at] : ends[at]].tobytes()) for at in doubtful)
