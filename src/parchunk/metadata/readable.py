"""What zarr-python makes of a document: it is the judge of whether an array can be opened.

zarr-python parses every array when it opens consolidated metadata, so that one document which it
cannot read makes the whole store unopenable. Nothing is written that has not passed here.
"""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from typing import Any

from parchunk.metadata.data_type import MAX_ITEMSIZE, ZARR_ERRORS, quiet
from parchunk.metadata.document import shorten
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spec import JSONObject, canonical
from parchunk.metadata.spelling import unordered_dtype
from parchunk.metadata.v2 import v2_itemsize

#: Characters of a document that is remembered, at most.
_KEPT = 4_000

_ERRORS = (*ZARR_ERRORS, ImportError)


def read_document(document: JSONObject) -> Any:
    """Return zarr-python's value for an array document of either format.

    Raises what zarr-python raises: any of `parchunk.metadata.data_type.ZARR_ERRORS`, and
    ImportError for a codec whose library is not installed.
    """
    from zarr.core.metadata.v2 import ArrayV2Metadata
    from zarr.core.metadata.v3 import ArrayV3Metadata

    # zarr-python keeps, and may change, parts of what it is given
    document = copy.deepcopy(document)
    with quiet():
        if document["zarr_format"] == 3:
            return ArrayV3Metadata.from_dict(document)
        size = v2_itemsize(document["dtype"])
        if size is not None and size > MAX_ITEMSIZE:
            # reading a fill value alone could exhaust memory
            raise ValueError(f"elements of {size:,} bytes")
        return ArrayV2Metadata.from_dict(document)


def require_readable(document: JSONObject) -> None:
    """Refuse an array document that zarr-python could not read, naming the field at fault.

    Raises
    ------
    UnsupportedFeatureError
        With what zarr-python says.
    """
    try:
        text = canonical(document)
        if len(text) <= _KEPT:
            _read_text(text)
        else:
            read_document(document)
    except _ERRORS as error:
        said = shorten(" ".join(str(error).split()), 120) or type(error).__name__
    else:
        return
    raise UnsupportedFeatureError(f"{_blame(document)} ({said})")


@lru_cache(1_000)
def _read_text(text: str) -> None:
    """Read the spelling of a document, unless it was read before: arrays are often alike.

    What cannot be read is not remembered: a codec may be registered later.
    """
    read_document(json.loads(text))


def _blame(document: JSONObject) -> str:
    """Return the field that zarr-python stumbles over: the one without which it reads the rest."""
    if document["zarr_format"] == 3:
        # its fields were judged one by one before: see `parchunk.metadata.codecs`
        return "a document that zarr-python cannot read"
    dtype = document["dtype"]
    filters = [str(item["id"]) for item in document.get("filters") or ()]
    compressor = document.get("compressor")
    orderless = unordered_dtype(dtype)
    if orderless is not None:
        return f"dtype {shorten(orderless)}, which does not say its byte order"
    if _passes({**document, "fill_value": None}):
        fill = shorten(document["fill_value"])
        return f"fill_value {fill!r}, which is none for dtype {shorten(dtype)}"
    # a codec of objects goes with no other type
    kept = None if dtype == "|O" else document.get("filters")
    if _passes({**document, "dtype": "|u1", "fill_value": None, "filters": kept}):
        among = f" with {shorten(', '.join(filters)) or 'no filter'}" if dtype == "|O" else ""
        return f"dtype {shorten(dtype)}{among}, which zarr-python does not read"
    if _passes({**document, "compressor": None, "filters": None, "fill_value": None}):
        codecs = [*filters, *([str(compressor["id"])] if compressor else [])]
        return f"codec {shorten(' or '.join(codecs))}, which zarr-python cannot make"
    return "a document that zarr-python cannot read"


def _passes(document: JSONObject) -> bool:
    try:
        read_document(document)
    except _ERRORS:
        return False
    return True
