"""One metadata document: bytes to a JSON object, and the checks that both Zarr formats share.

Everything here raises `MetadataError` whose text is the bare reason: the caller knows the key
and the remedy and puts them around it.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

from parchunk.errors import MetadataError
from parchunk.metadata.gathering import gathered
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.sharing import shared
from parchunk.metadata.spec import JSONObject
from parchunk.stores.oversized import MAX_BYTES, Oversized

"""A document larger than this is not read. The largest real ones (consolidated) have a few MiB."""

#: Bytes of a document that is kept when it was parsed, at most.
_KEPT = 4_000

#: Where other nodes' documents are in one that is consolidated: those that are alike are kept once.
_CONSOLIDATED = (("metadata",), ("consolidated_metadata", "metadata"))

MAX_DEPTH = 128
"""A document nested deeper is refused, so that no later walk over it can exhaust the stack."""

MAX_RANK = 64
"""NumPy's own limit: no reader could open an array of more dimensions."""

MAX_COUNT = 2**63 - 1
"""Shapes, chunks and their products must fit a signed 64-bit integer, as they do in readers."""


def parse_document(data: bytes, limit: int = MAX_BYTES) -> JSONObject:
    """Return the JSON object that ``data`` spells: read-only, as the same bytes have the same.

    NaN and the infinities are taken, as Zarr writes them into attributes though JSON has no word
    for them. One of more than ``limit`` bytes is not parsed.
    """
    size = data.size if isinstance(data, Oversized) else len(data)
    if size > limit:
        raise MetadataError(f"has {size:,} bytes, more than the {limit:,} that are read")
    return _parsed_once(data) if size <= _KEPT and type(data) is bytes else _parsed(data)


@lru_cache(maxsize=1_024)
def _parsed_once(data: bytes) -> JSONObject:
    """Parse a short document, unless it was before: of very many arrays most are alike."""
    return shared(_parsed(data))


def _parsed(data: bytes) -> JSONObject:
    try:
        document = json.loads(data) if len(data) <= _KEPT else _loaded(data)
    except RecursionError:
        raise MetadataError(f"is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise MetadataError(f"is not JSON ({shorten(str(error))})") from None
    if not isinstance(document, dict):
        raise MetadataError(f"is not a JSON object but {shorten(document)}")
    check_depth(document)
    return document


def _loaded(data: bytes) -> Any:
    def kept(_: str | int, entry: Any) -> Any:
        return shared(entry) if isinstance(entry, dict) else entry

    try:
        return gathered(data, dict.fromkeys(_CONSOLIDATED, kept))
    except ValueError:
        return json.loads(data)  # which says what is wrong


def check_depth(document: object) -> None:
    """Refuse a document nested deeper than `MAX_DEPTH`, without recursion of its own."""
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise MetadataError(f"is nested deeper than {MAX_DEPTH} levels")


def shorten(value: object, limit: int = 60) -> str:
    """Return ``value`` in one line of at most ``limit`` characters, for messages."""
    if isinstance(value, (list, dict)) and len(value) > limit:
        kind = "list" if isinstance(value, list) else "object"
        return f"a {kind} of {len(value):,} items"
    # ascii() leaves no control character that could break the line
    text = value if isinstance(value, str) and value.isprintable() else ascii(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def require(document: JSONObject, *fields: str) -> None:
    """Refuse a document that lacks any of ``fields``."""
    missing = [name for name in fields if name not in document]
    if missing:
        raise MetadataError(f"has no {' and no '.join(map(repr, missing))}")


def require_format(document: JSONObject, zarr_format: int) -> None:
    """Refuse a document whose ``zarr_format`` is another, or true, or 2.0."""
    require(document, "zarr_format")
    found = document["zarr_format"]
    if isinstance(found, bool) or not isinstance(found, int) or found != zarr_format:
        raise MetadataError(f"has zarr_format {shorten(found)} where {zarr_format} is expected")


def parse_attributes(value: object) -> JSONObject:
    """Return attributes, which must be a JSON object."""
    if not isinstance(value, dict):
        raise MetadataError(f"has attributes that are not a JSON object but {shorten(value)}")
    return value


def parse_shape(value: object) -> tuple[int, ...]:
    """Return a shape: whole numbers of 0 or more whose product a 64-bit integer holds.

    One number stands for a list of one, as zarr-python takes it.
    """
    shape = _integers([value] if type(value) is int else value, "shape")
    for axis, size in enumerate(shape):
        if size < 0:
            raise MetadataError(f"has a shape of {size} in dimension {axis}, which is negative")
    if math.prod(size for size in shape if size) > MAX_COUNT:
        raise MetadataError(f"has a shape of 2^63 elements or more ({shorten(list(shape))})")
    return shape


def parse_chunks(value: object, shape: tuple[int, ...], field: str) -> tuple[int, ...]:
    """Return the chunk shape: whole numbers of 1 or more, one a dimension of ``shape``.

    A 0 in a dimension of length 0 is read as 1, as old writers put it there and no chunk can
    exist; a 0 anywhere else is a lie. One number stands for a list of one.
    """
    if type(value) is int:
        if len(shape) != 1:
            raise UnsupportedFeatureError(
                f"{field} {value} for {len(shape)} dimensions, where a list is needed"
            )
        value = [value]
    chunks = _integers(value, field)
    if len(chunks) != len(shape):
        raise MetadataError(
            f"has {len(shape)} dimensions in its shape but {len(chunks)} in {field!r}"
        )
    for axis, chunk in enumerate(chunks):
        if chunk < 0 or (chunk == 0 and shape[axis] > 0):
            raise MetadataError(
                f"has chunks of {chunk} in dimension {axis}, which must be 1 or more"
            )
    chunks = tuple(max(chunk, 1) for chunk in chunks)
    if math.prod(chunks) > MAX_COUNT:
        raise MetadataError(f"has chunks of 2^63 elements or more ({shorten(list(chunks))})")
    return chunks


def parse_dimension_names(value: object, rank: int, field: str) -> tuple[str | None, ...]:
    """Return one name or None a dimension."""
    if not isinstance(value, list) or not all(
        name is None or isinstance(name, str) for name in value
    ):
        raise MetadataError(f"has {field!r} that is not a list of names but {shorten(value)}")
    if len(value) != rank:
        raise MetadataError(f"has {rank} dimensions in its shape but {len(value)} in {field!r}")
    return tuple(value)


def _integers(value: object, field: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise MetadataError(f"has a {field!r} that is not a list but {shorten(value)}")
    if len(value) > MAX_RANK:
        raise MetadataError(f"has {len(value):,} dimensions, more than the {MAX_RANK} readers know")
    for item in value:
        # JSON true is an int for Python, and 4.0 is equal to 4: neither is a size
        if isinstance(item, bool) or not isinstance(item, int):
            raise MetadataError(
                f"has a {field!r} that is not of whole numbers but {shorten(value)}"
            )
        if item > MAX_COUNT:
            raise MetadataError(f"has a {field!r} of 2^63 or more ({shorten(value)})")
    return tuple(value)
