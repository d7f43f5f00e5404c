"""Fill values that xarray takes for masks.

xarray masks a v2 array where it equals its ``fill_value``, but a v3 array only where it equals the
attribute ``_FillValue``, which xarray itself encodes. So a v3 array with fill value 0, as most
have, would lose its zeros to NaN by becoming v2. Where no chunk is missing the fill value is
never read, and null in its place keeps both its values and its mask. Where some are missing:

- null does the same if zarr-python 3 reads it as the fill value, which it does of 0;
- beside a fill value of NaN, which masks nothing that is not NaN already, ``missing_value`` masks
  what ``_FillValue`` does in v3;
- any other fill value is masked, as missing chunks must read as it. ``missing_value`` beside it
  keeps what the source masks from being taken for data.

Of big-endian numbers beside ``_Unsigned`` xarray swaps a mask's bytes in v2: see `swaps_mask`.

Of complex numbers xarray heeds no attribute in v2. Where no chunk is missing, what ``_FillValue``
says is their fill value.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping
from typing import Any

from parchunk.metadata.data_type import read_data_type, read_fill_value, v2_name
from parchunk.metadata.spec import ArraySpec, JSONObject

MASK = "_FillValue"
"""The attribute of netCDF and xarray that says which value is masked."""

MISSING = "missing_value"
"""The older attribute of the same meaning, which xarray heeds, too."""


def masks_other_values(array: ArraySpec) -> bool:
    """Whether xarray masks other values of the converted array than of the source."""
    if array.zarr_format == 2:
        return False
    zdtype = read_data_type(array.document["data_type"])
    fill = _fill(array, zdtype)
    pair = _complex_mask(array)
    masked = plain_mask(array).get(MASK) if pair is None else pair
    if masked is None:
        # NaN may stand for NaN, and the rest is text and time that xarray does not mask by value
        return bool(fill == fill)
    try:
        return not _same(zdtype.cast_scalar(masked), fill)
    except (TypeError, ValueError, OverflowError):
        return True


def masks_alike(array: ArraySpec) -> bool:
    """Whether the mask can be the source's though chunks are missing; see `keep_mask`."""
    if not masks_other_values(array):
        return True
    if _complex_mask(array) is not None:
        return False
    return null_reads_as_fill(array) or _masked_beside_nan(array)


def whole_hides_fill(array: ArraySpec) -> bool:
    """Whether readers of the document of a whole array would read a missing chunk as another.

    As one that went since they opened it: see `keep_mask`.
    """
    if not masks_other_values(array):
        return False
    return _complex_mask(array) is not None or not null_reads_as_fill(array)


def may_hide_fill(array: ArraySpec) -> bool:
    """Whether `whole_hides_fill` holds of an array like this one, whatever attributes it has."""
    if array.zarr_format == 2:
        return False
    dtype = v2_name(read_data_type(array.document["data_type"]))
    is_complex = isinstance(dtype, str) and dtype[1] == "c"
    return is_complex or not null_reads_as_fill(array)


def keep_mask(
    array: ArraySpec, document: JSONObject, attributes: JSONObject, whole: bool
) -> tuple[JSONObject, JSONObject]:
    """Return ``.zarray`` and ``.zattrs`` with which xarray masks what it does in the source.

    ``whole`` says that no chunk is missing. Else it is as near as v2 comes; see `masks_alike`.
    """
    if not masks_other_values(array):
        return document, attributes
    attributes = {**attributes, **plain_mask(array)}
    pair = _complex_mask(array)
    if pair is not None:
        # In v2 xarray heeds no attribute of complex numbers, but the fill value.
        spelled = [_spelled(pair.real), _spelled(pair.imag)]
        return ({**document, "fill_value": spelled} if whole else document), attributes
    if whole or null_reads_as_fill(array):
        return {**document, "fill_value": None}, attributes
    masked = attributes.get(MASK)
    if _is_number(masked):
        before = attributes.get(MISSING, [])
        others = [
            value for value in (before if isinstance(before, list) else [before]) if value != masked
        ]
        attributes[MISSING] = [*others, masked] if others else masked
    return document, attributes


def _masked_beside_nan(array: ArraySpec) -> bool:
    fill = _fill(array, read_data_type(array.document["data_type"]))
    masked = plain_mask(array).get(MASK)
    return bool(fill != fill) and (masked is None or _is_number(masked))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def swaps_mask(dtype: object, attributes: Mapping[str, Any], mask: int | None = None) -> bool:
    """Whether xarray takes the fill value of numbers of a v2 ``dtype`` for one of swapped bytes.

    It does of big-endian ones that ``_Unsigned`` has read without their sign. Of a ``mask`` that
    is given, whether that makes it another number.
    """
    if not (isinstance(dtype, str) and dtype.startswith(">i")):
        return False
    if attributes.get("_Unsigned") != "true":
        return False
    raw = b"" if mask is None else mask.to_bytes(int(dtype[2:]), signed=True)
    return mask is None or raw != raw[::-1]


def null_reads_as_fill(array: ArraySpec) -> bool:
    """Whether zarr-python 3 fills missing chunks alike under null and under the fill value.

    zarr-python 2 leaves them uninitialised under null.
    """
    if array.zarr_format == 2:
        return array.document["fill_value"] is None
    zdtype = read_data_type(array.document["data_type"])
    return _same(_fill(array, zdtype), zdtype.default_scalar())


def plain_mask(array: ArraySpec) -> JSONObject:
    """Return the attribute ``_FillValue`` of a v3 array as v2 has it, or nothing if it has none.

    xarray writes that of a float as the base64 of a double into v3, as JSON has no word for NaN.
    """
    if MASK not in array.attributes:
        return {}
    value = array.attributes[MASK]
    dtype = v2_name(read_data_type(array.document["data_type"]))
    if isinstance(value, str) and isinstance(dtype, str) and dtype[1] == "f":
        number = _double(value)
        return {MASK: value if number is None else number}
    return {MASK: value}


def _double(text: str) -> float | None:
    try:
        number: float = struct.unpack("<d", base64.b64decode(text, validate=True))[0]
    except (ValueError, struct.error):
        return None
    return number


def _complex_mask(array: ArraySpec) -> complex | None:
    """Return the ``_FillValue`` of a v3 array of complex numbers: two of base64 to xarray."""
    value = array.attributes.get(MASK)
    dtype = v2_name(read_data_type(array.document["data_type"]))
    if not (isinstance(dtype, str) and dtype[1] == "c" and isinstance(value, list)):
        return None
    parts = [_double(part) for part in value if isinstance(part, str)]
    if len(parts) != 2 or parts[0] is None or parts[1] is None:
        return None
    return complex(parts[0], parts[1])


def _spelled(number: float) -> float | str:
    """Return a number as v2 spells it in a fill value, for which JSON may have no word."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _fill(array: ArraySpec, zdtype: Any) -> Any:
    return read_fill_value(array.document["fill_value"], zdtype)


def _same(one: Any, other: Any) -> bool:
    import numpy as np

    if isinstance(one, (str, bytes)) or isinstance(other, (str, bytes)):
        return bool(one == other)
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()
