"""Which of an array's stored numbers stand for no value: what readers of CF mask."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.metadata.data_type import ZARR_ERRORS, read_data_type, read_fill_value
from parchunk.metadata.spec import ArraySpec


def masked(values: NDArray[Any], spec: ArraySpec, is_coordinate: bool) -> NDArray[np.bool_]:
    """Return where an array's ``values`` are none, in their shape: see `sentinels_of`.

    NaN is none as well, and is not told here.
    """
    found = np.zeros(values.shape, bool)
    if values.dtype.kind in "iuf":
        for sentinel in sentinels_of(spec, is_coordinate)[0]:
            found |= values == sentinel
    return found


def with_sign(values: NDArray[Any], spec: ArraySpec) -> NDArray[Any]:
    """Return whole numbers as ``_Unsigned`` has them read: the same bits, with a sign or without.

    The attribute is of netCDF-3, which has no unsigned types, and of services that speak like it.
    """
    dtype = values.dtype
    other = _other_kind(dtype, spec)
    if other is None:
        return values
    return values.view(np.dtype(f"{other}{dtype.itemsize}").newbyteorder(dtype.byteorder))


def _other_kind(dtype: np.dtype[Any], spec: ArraySpec) -> str | None:
    """Return as what whole numbers are read, ``u`` or ``i``, where that is not what they are."""
    said = str(spec.attributes.get("_Unsigned"))
    return {("true", "i"): "u", ("false", "u"): "i"}.get((said, dtype.kind))


def _stored(number: Any, spec: ArraySpec) -> Any:
    """Return a number as it is stored, where it may be spelled as it is read.

    None is one that is of neither spelling: no value is that number.
    """
    if "_Unsigned" not in spec.attributes or number is None:
        return number
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError:
        return number  # of no numbers
    if _other_kind(dtype, spec) is None:
        return number
    bits = 8 * dtype.itemsize
    if number != number or not -(1 << bits - 1) <= number < 1 << bits or number != int(number):
        return None
    same = np.array(int(number) % (1 << bits), f"u{dtype.itemsize}")
    return int(same.view(f"{dtype.kind}{dtype.itemsize}"))


def sentinels_of(spec: ArraySpec, is_coordinate: bool) -> tuple[list[Any], Any]:
    """Return the numbers that stand for none, and the fill value that the document has or needs.

    They are the attribute ``_FillValue``, or of a v2 array its fill value, which xarray takes for
    it; and the attribute ``missing_value``, one number or several. A coordinate of its own
    dimension has no holes that could be meant, and 0, the fill value of most, is a value of many:
    its document's fill value is none of them, and None.
    """
    document = _document_fill(spec)
    fill = _stored(_number(spec.attributes.get("_FillValue")), spec)
    if spec.zarr_format == 2:
        if document is not None and not is_coordinate:
            fill = document
        document = fill
    several = spec.attributes.get("missing_value")
    missing = [
        _stored(_number(one), spec) for one in (several if isinstance(several, list) else [several])
    ]
    return [one for one in dict.fromkeys((fill, *missing)) if one is not None], document


def _number(value: Any) -> Any:
    """Return an attribute as a number, None where it is none; xarray spells floats in base64."""
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
            return float(np.frombuffer(raw, "<f8")[0]) if len(raw) == 8 else None
        except ValueError:
            return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _document_fill(spec: ArraySpec) -> Any:
    value = spec.document.get("fill_value")
    if spec.zarr_format == 3:
        try:
            return read_fill_value(value, read_data_type(spec.document["data_type"]))
        except (*ZARR_ERRORS, InputError):
            return 0
    if isinstance(value, str):
        return {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}.get(value, value)
    return value
