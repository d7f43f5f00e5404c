"""Inlined chunks: the bytes in the column ``raw`` of a record file, and those of the chunk.

fsspec takes bytes that begin with ``base64:`` for base64 and decodes them, whatever they are. So a
chunk that begins so itself is stored encoded, and every reader gets its bytes; all others are
stored as they are.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: What fsspec decodes.
PREFIX = b"base64:"


def stored(chunk: bytes) -> bytes:
    """Return what ``raw`` holds of a chunk."""
    return PREFIX + base64.b64encode(chunk) if chunk.startswith(PREFIX) else chunk


def original(raw: bytes) -> bytes:
    """Return the chunk of which ``raw`` holds this: the inverse of `stored`.

    Bytes that `stored` never gives, as older versions wrote them, are the chunk's own.
    """
    if not raw.startswith(PREFIX):
        return raw
    try:
        chunk = base64.b64decode(raw[len(PREFIX) :], validate=True)
    except binascii.Error:
        return raw
    return chunk if stored(chunk) == raw else raw


def is_misread(raw: bytes) -> bool:
    """Whether readers would decode ``raw`` although it is not encoded: it begins as if it were."""
    return raw.startswith(PREFIX) and original(raw) == raw


def marked(column: pa.BinaryArray) -> NDArray[np.int64]:
    """Return the rows of a column ``raw`` that begin as encoded chunks do."""
    return np.flatnonzero(np.asarray(pc.fill_null(pc.starts_with(column, PREFIX), False)))


def lengths(column: pa.BinaryArray) -> NDArray[np.int64]:
    """Return the size of each row's chunk in bytes, 0 where none is inlined."""
    if column.null_count == len(column):
        return np.zeros(len(column), np.int64)
    found = np.array(pc.fill_null(pc.binary_length(column), 0), np.int64)
    for row in marked(column).tolist():
        found[row] = len(original(column[row].as_py()))
    return found


def column(chunks: Sequence[bytes | None]) -> pa.BinaryArray:
    """Return the column ``raw`` of a record file from its rows' chunks, None where none is inlined.

    Arrow's own conversion would hold the bytes three times.
    """
    rows = [None if chunk is None else stored(chunk) for chunk in chunks]
    ends = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([0 if row is None else len(row) for row in rows], out=ends[1:])
    there = np.array([row is not None for row in rows], bool)
    validity = np.packbits(there, bitorder="little")
    buffers = [validity, ends, b"".join(row for row in rows if row is not None)]
    return pa.BinaryArray.from_buffers(
        pa.binary(), len(rows), [pa.py_buffer(buffer) for buffer in buffers]
    )
