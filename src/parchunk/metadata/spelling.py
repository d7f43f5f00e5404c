"""Documents in the one spelling that every reader knows.

Writers spell the same array in many ways: a bare codec name or one with an empty configuration,
``>S1`` where no byte order matters, a 0 for the fill value of a struct. What has one meaning only
is spelled here as zarr-python writes it; everything else stays as it is, for
`parchunk.metadata.readable` to judge. Unknown fields are kept.
"""

from __future__ import annotations

import base64
import math
import re
from typing import Any

from parchunk.metadata.spec import ArraySpec, JSONObject
from parchunk.metadata.v2 import v2_itemsize

#: Types whose elements have no byte order, whatever order is written before them.
_UNORDERED = re.compile(r"[<>|=]?(b1|i1|u1|[SV][0-9]+)")
_WITH_ORDER = re.compile(r"[|=]?[iufcmMU][0-9].*")
_OBJECT = re.compile(r"[<>|=]?O[0-9]{0,2}")
#: A larger element's zero is not spelled out.
_MOST_BYTES = 2**24


def spell_v2(array: ArraySpec) -> JSONObject:
    """Return the ``.zarray`` of a v2 array in plain spelling, its chunk keys as they are."""
    document = array.document
    dtype = spell_v2_dtype(document["dtype"])
    return {
        **document,
        "shape": list(array.shape),
        # differs from the source where a 0 stood for a dimension of length 0, or one number
        # for a list of one
        "chunks": list(array.chunks),
        "dtype": dtype,
        "compressor": document.get("compressor"),
        "fill_value": spell_fill_value(document["fill_value"], dtype),
        # an empty list is what careless writers mean by null
        "filters": document.get("filters") or None,
        "dimension_separator": array.keys.separator,
    }


def spell_v2_dtype(dtype: Any) -> Any:
    """Return a v2 data type with ``|`` before what has no byte order, ``[name, type]`` in lists."""
    if isinstance(dtype, str):
        plain = _UNORDERED.fullmatch(dtype)
        if plain:
            return f"|{plain[1]}"
        return "|O" if _OBJECT.fullmatch(dtype) else dtype
    if isinstance(dtype, list):
        return [
            [field[0], spell_v2_dtype(field[1]), *field[2:]]
            if isinstance(field, list) and len(field) > 1
            else field
            for field in dtype
        ]
    return dtype


def unordered_dtype(dtype: Any) -> str | None:
    """Return the type string that leaves open which byte order its elements have, if any does."""
    if isinstance(dtype, str):
        ordered = _UNORDERED.fullmatch(dtype) or dtype[:1] in ("<", ">")
        return dtype if not ordered and _WITH_ORDER.fullmatch(dtype) else None
    if isinstance(dtype, list):
        fields = (f[1] for f in dtype if isinstance(f, list) and len(f) > 1)
        return next((name for field in fields if (name := unordered_dtype(field))), None)
    return None


def spell_fill_value(value: Any, dtype: Any) -> Any:
    """Return the fill value of a type with the v2 name ``dtype`` as zarr-python spells it.

    zarr-python 2 read a 0 as the zero of any type: an empty text, a struct of zeros, ``0j``. The
    v3 core spells raw bytes as a list of numbers. A bare NaN is what only Python's JSON has.
    """
    kind = "V" if isinstance(dtype, list) else dtype[1:2] if isinstance(dtype, str) else ""
    if isinstance(value, float) and not math.isfinite(value):
        if kind == "O":
            return str(value)  # as zarr-python makes a text of it: nan
        if kind in ("S", "U", "V"):
            return value  # none for these, as zarr-python says
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "c":
        if number:
            return [value, 0.0]
        return [spell_fill_value(part, None) for part in value] if _is_list(value) else value
    if kind == "V" and _is_list(value) and isinstance(dtype, str):
        if all(type(item) is int and 0 <= item < 256 for item in value):
            return base64.standard_b64encode(bytes(value)).decode()
        return value
    if number and value == 0:
        if kind in ("S", "U"):
            return ""
        size = v2_itemsize(dtype) if kind == "V" else None
        if size is not None and 0 < size <= _MOST_BYTES:
            return base64.standard_b64encode(bytes(size)).decode()
    return value


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
