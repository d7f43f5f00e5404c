"""Array filters: which elements each takes, and which it stores.

Reading Zarr v2 takes the bytes that the first filter gives back for elements of the array's type;
reading v3 converts their values to it, and so does the codec that makes bytes of what the last
filter stores. Both come to the same where each filter gives back what it was given, and no byte
order is anywhere but the little one. What else there is has another meaning in either format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parchunk.metadata.document import shorten
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spec import JSONObject

if TYPE_CHECKING:
    import numpy as np

#: Where each filter says which type it gives back and which it stores; the latter is the former
#: where it is left out. What is not here stores what it is given.
_TYPES = {
    "astype": ("decode_dtype", "encode_dtype"),
    "delta": ("dtype", "astype"),
    "fixedscaleoffset": ("dtype", "astype"),
    "quantize": ("dtype", "astype"),
}


def stored_elements(codec: JSONObject, given: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of the elements that an array filter stores of those of type ``given``.

    ``codec`` is numcodecs' configuration of the filter, nothing that has a default left out.

    Raises
    ------
    UnsupportedFeatureError
        Where readers of Zarr v2 and v3 would make different values of what it stores.
    """
    import numpy as np

    name = codec["id"]
    if name == "packbits":
        return np.dtype("u1")
    if name not in _TYPES:
        return given
    decoded, encoded = (_type(codec, field) for field in _TYPES[name])
    decoded = given if decoded is None else decoded
    encoded = decoded if encoded is None else encoded
    for one in (decoded, encoded):
        if one.newbyteorder("<") != one:
            raise UnsupportedFeatureError(
                f"filter {name!r} of big-endian elements ({one.str}), which Zarr v2 and v3 read "
                "differently"
            )
    if not _same_bits(decoded, given):
        raise UnsupportedFeatureError(
            f"filter {name!r} that gives back elements of {decoded.str} where they are "
            f"{given.str}, which Zarr v2 and v3 read differently"
        )
    if name == "quantize" and encoded != decoded:
        # zarr-python reads the v3 codec as if the type did not change
        raise UnsupportedFeatureError(
            "filter 'quantize' to another data type, which Zarr v2 and v3 read differently"
        )
    return encoded


def _type(codec: JSONObject, field: str) -> np.dtype[Any] | None:
    import numpy as np

    value = codec.get(field)
    if value is None:
        return None
    try:
        return np.dtype(value)
    except (TypeError, ValueError):
        raise UnsupportedFeatureError(
            f"filter {codec['id']!r} with the {field} {shorten(value)}"
        ) from None


def _same_bits(decoded: np.dtype[Any], given: np.dtype[Any]) -> bool:
    """Whether converting elements from the one type to the other keeps all of their bits."""
    if decoded == given:
        return True
    whole = decoded.kind in "iu" and given.kind in "iumM"
    return whole and decoded.itemsize == given.itemsize
