"""What tells the versions of objects apart: what was kept of them, and what a listing says now."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.out.object_files import decode_objects, objects_path
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import digest
from parchunk.stores.identity import MOST_TAG

#: Units that stores and inventories cut times off at, in microseconds.
_SECOND, _MILLISECOND = 1_000_000, 1_000
#: A time that no clock says: 0 is one, to which tools set files that are to be equal.
_NO_TIME = int(np.iinfo(np.int64).min)


def read_kept(
    output: Output, array: str, promised: RecordFile | None, identity: str
) -> NDArray[Any] | None:
    """Return what was kept of the objects of a record file's rows, shape (n,).

    Times in microseconds, or entity tags as bytes; as `none_kept` where nothing was. None where
    there is no such file, or another than the receipt speaks of: that is damage, and reported as
    that.
    """
    if identity == "none" or promised is None or not promised.objects:
        return None
    data = output.get(objects_path(array, promised.index))
    if data is None or digest(data) != promised.objects:
        return None
    try:
        column = decode_objects(data, identity, promised.rows)
    except InputError:
        return None
    if identity == "time":
        times: NDArray[np.int64] = np.asarray(column.cast(pa.int64()).fill_null(_NO_TIME))
        return times
    return np.array(column.fill_null("").to_pylist(), f"S{MOST_TAG}")


def differ(kept: NDArray[Any], now: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which objects are of another version now than was kept, shape (n,).

    A listing may say times to the second of which an inventory said the thousandth part, and the
    other way round: they are compared as far as both go.
    """
    other: NDArray[np.bool_] = np.not_equal(kept, now)
    if kept.dtype.kind == "S":
        return other
    for unit in (_SECOND, _MILLISECOND):
        coarse = (kept % unit == 0) | (now % unit == 0)
        other &= ~(coarse & (kept // unit == now // unit))
    return other


def none_kept(kind: np.dtype[Any], count: int) -> NDArray[Any]:
    """Return what stands for objects of which nothing was kept, shape (count,)."""
    return np.zeros(count, kind) if kind.kind == "S" else np.full(count, _NO_TIME, kind)


def known(kept: NDArray[Any]) -> NDArray[np.bool_]:
    """Return of which rows something was kept, shape (n,)."""
    found: NDArray[np.bool_] = np.not_equal(kept, none_kept(kept.dtype, 1))
    return found
