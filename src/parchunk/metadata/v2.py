"""A Zarr v2 array: its ``.zarray`` and ``.zattrs`` to an `ArraySpec`."""

from __future__ import annotations

import re

from parchunk.errors import MetadataError
from parchunk.keys.encoding import KeyEncoding, Separator
from parchunk.metadata.document import (
    parse_attributes,
    parse_chunks,
    parse_dimension_names,
    parse_shape,
    require,
    require_format,
    shorten,
)
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.sharing import shared, shared_value
from parchunk.metadata.spec import VARIABLE_ITEMSIZE, ArraySpec, JSONObject

DIMENSIONS = "_ARRAY_DIMENSIONS"
"""The attribute that names the dimensions of a v2 array, by xarray's convention."""

_SIZED = re.compile(r"[<>|=]?[biufcSUV](?P<size>[0-9]{1,10})")
_TIME = re.compile(r"[<>|=]?[mM]8(\[[0-9]{0,10}[A-Za-zμ]{1,7}\])?")
_OBJECT = re.compile(r"[<>|=]?O[0-9]{0,2}")

MAX_ITEMSIZE = 2**31 - 1
"""NumPy's own limit of one element's bytes."""


def parse_v2_array(name: str, document: JSONObject, attributes: JSONObject) -> ArraySpec:
    """Return the array that a ``.zarray`` and a ``.zattrs`` (empty when absent) describe.

    Raises `MetadataError` for a broken document, its text being the bare reason, and
    `UnsupportedFeatureError` for chunk keys that are not known. ``filters`` and ``compressor`` may
    be absent, as some writers leave them out; every other field of the format must be there.
    Dimension names that are none are as good as absent: see `parchunk.metadata.oddities`.
    """
    require_format(document, 2)
    require(document, "shape", "chunks", "dtype", "fill_value", "order")
    shape = parse_shape(document["shape"])
    chunks = parse_chunks(document["chunks"], shape, "chunks")
    dtype, itemsize = describe_v2_dtype(document["dtype"])
    if document["order"] not in ("C", "F"):
        raise MetadataError(
            f"has an order that is neither C nor F but {shorten(document['order'])}"
        )
    _check_codecs(document)
    attributes = shared(parse_attributes(attributes))
    return ArraySpec(
        name=name,
        zarr_format=2,
        shape=shared_value(shape),
        chunks=shared_value(chunks),
        dtype=shared_value(dtype),
        itemsize=itemsize,
        dimension_names=shared_value(attribute_names(attributes, len(shape))),
        keys=shared_value(
            KeyEncoding("", _separator(document.get("dimension_separator", ".")), len(shape))
        ),
        attributes=attributes,
        document=shared(document),
    )


def attribute_names(attributes: JSONObject, rank: int) -> tuple[str | None, ...]:
    """Return the dimension names that the attribute `DIMENSIONS` gives, None where it gives none.

    It is a convention and not of the format, so that no array is refused for it. One name alone
    is what xarray takes, too, for an array of one dimension.
    """
    names = attributes.get(DIMENSIONS)
    if isinstance(names, str) and rank == 1:
        return (names,)
    try:
        return parse_dimension_names(names, rank, DIMENSIONS)
    except MetadataError:
        return (None,) * rank


def describe_v2_dtype(dtype: object) -> tuple[str, int]:
    """Return a short name of a v2 data type and the bytes of one element.

    An unknown type string counts as variable: `parchunk.metadata.refusals` reports it.
    """
    if isinstance(dtype, str):
        size = v2_itemsize(dtype)
        return shorten(dtype), VARIABLE_ITEMSIZE if size is None else size
    if isinstance(dtype, list) and dtype:
        size = v2_itemsize(dtype)
        fields = [str(item[0]) if isinstance(item, list) and item else "?" for item in dtype[:20]]
        return shorten(f"struct[{', '.join(fields)}]"), VARIABLE_ITEMSIZE if size is None else size
    raise MetadataError(f"has a dtype that is neither a string nor a list but {shorten(dtype)}")


def v2_itemsize(dtype: object) -> int | None:
    """Return the bytes of one element of a v2 data type, or None when it is not known."""
    if isinstance(dtype, str):
        if _TIME.fullmatch(dtype):
            return 8
        if _OBJECT.fullmatch(dtype):
            return VARIABLE_ITEMSIZE
        sized = _SIZED.fullmatch(dtype)
        if not sized:
            return None
        size = int(sized["size"]) * (4 if "U" in dtype else 1)
        return size if size <= MAX_ITEMSIZE else None
    if isinstance(dtype, list):
        sizes = [_field_itemsize(field) for field in dtype]
        known = [size for size in sizes if size is not None]
        return sum(known) if known and len(known) == len(sizes) else None
    return None


def _field_itemsize(field: object) -> int | None:
    # [name, dtype] or [name, dtype, shape]
    if not isinstance(field, list) or len(field) not in (2, 3) or not isinstance(field[0], str):
        return None
    size = v2_itemsize(field[1])
    if size is None or len(field) == 2:
        return size
    lengths = field[2] if isinstance(field[2], list) else [field[2]]
    for length in lengths:
        if isinstance(length, bool) or not isinstance(length, int) or length < 0:
            return None
        size *= length
        if size > MAX_ITEMSIZE:
            return None
    return size


def _check_codecs(document: JSONObject) -> None:
    compressor, filters = document.get("compressor"), document.get("filters")
    if filters is not None and not isinstance(filters, list):
        raise MetadataError(f"has filters that are not a list but {shorten(filters)}")
    codecs = [("compressor", compressor)] if compressor is not None else []
    codecs += [("filter", item) for item in filters or ()]
    for role, codec in codecs:
        if not isinstance(codec, dict) or not isinstance(codec.get("id"), str):
            raise MetadataError(f"has a {role} without an id: {shorten(codec)}")


def _separator(value: object) -> Separator:
    if value == ".":
        return "."
    if value == "/":
        return "/"
    raise UnsupportedFeatureError(f"dimension_separator {shorten(value)} is neither '.' nor '/'")
