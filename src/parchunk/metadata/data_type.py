"""Data types and fill values of v3 documents, by zarr-python's own reading of them.

zarr-python is imported when the first v3 data type is met, as its import takes half a second.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any, Literal

from parchunk.metadata.document import shorten
from parchunk.metadata.refused import EXCLUDE, UnsupportedFeatureError
from parchunk.metadata.spec import VARIABLE_ITEMSIZE, JSONObject, canonical
from parchunk.metadata.spelling import spell_fill_value
from parchunk.metadata.v2 import v2_itemsize

_RAW_BITS = re.compile(r"r([0-9]{1,9})")

MAX_ITEMSIZE = 2**24
"""Elements above 16 MiB are refused: reading their fill value alone could exhaust memory."""

ZARR_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
)
"""What zarr-python raises on documents that are not as it expects: it has no base class for them.

RuntimeError is the base of NotImplementedError and RecursionError.
"""


def describe_v3_dtype(data_type: object) -> tuple[str, int]:
    """Return a short NumPy-style name of a v3 data type and the bytes of one element.

    The name is that of the little-endian type, whatever the codecs make of it. An unknown type
    counts as variable: `parchunk.metadata.refusals` reports it.
    """
    try:
        zdtype = read_data_type(data_type)
    except UnsupportedFeatureError:
        name = data_type.get("name") if isinstance(data_type, dict) else data_type
        return shorten(name), VARIABLE_ITEMSIZE
    name = v2_name(zdtype)
    size = v2_itemsize(name)
    if isinstance(name, list):
        name = f"struct[{', '.join(str(field[0]) for field in name[:20])}]"
    return shorten(name), VARIABLE_ITEMSIZE if size is None else size


def read_data_type(data_type: object) -> Any:
    """Return zarr-python's value for a v3 data type, or raise `UnsupportedFeatureError`.

    The core type ``r<bits>``, which zarr-python does not read, is taken as its ``raw_bytes``.
    """
    from zarr.dtype import data_type_registry

    spec: Any = data_type
    if isinstance(data_type, dict) and not data_type.get("configuration"):
        # a name alone and one with an empty configuration are the same
        spec = data_type.get("name")
    raw = _RAW_BITS.fullmatch(spec) if isinstance(spec, str) else None
    if raw and int(raw[1]) % 8 == 0:
        spec = {"name": "raw_bytes", "configuration": {"length_bytes": int(raw[1]) // 8}}
    feature = f"data type {shorten(data_type if isinstance(data_type, str) else _spell(data_type))}"
    with quiet():
        try:
            zdtype = data_type_registry.match_json(spec, zarr_format=3)
            size = v2_itemsize(v2_name(zdtype))
        except ZARR_ERRORS:
            remedy = f"{EXCLUDE}, or try a newer zarr-python"
            raise UnsupportedFeatureError(
                f"{feature} is not known to zarr-python", remedy
            ) from None
    if size is not None and size > MAX_ITEMSIZE:
        raise UnsupportedFeatureError(f"{feature} has elements of {size:,} bytes")
    return zdtype


def v2_name(zdtype: Any) -> Any:
    """Return the v2 ``dtype`` of zarr-python's value: a type string, or a list of fields."""
    name = zdtype.to_json(zarr_format=2)["name"]
    # tuples and lists are the same JSON, but not the same to who compares them
    return _lists(name)


def object_codec(zdtype: Any) -> str | None:
    """Return the codec that v2 must list first among the filters of a variable-length type."""
    codec: str | None = zdtype.to_json(zarr_format=2)["object_codec_id"]
    return codec


def needs_endian(zdtype: Any) -> bool:
    """Whether elements have a byte order of their own. That of a struct is its fields'."""
    return any(field.name == "endianness" for field in dataclasses.fields(zdtype))


def with_endian(zdtype: Any, endian: Literal["little", "big"]) -> Any:
    """Return the data type with its elements, or the fields of its elements, so ordered."""
    if needs_endian(zdtype):
        return dataclasses.replace(zdtype, endianness=endian)
    members = getattr(zdtype, "fields", None)
    if members:
        ordered = tuple((name, with_endian(member, endian)) for name, member in members)
        return dataclasses.replace(zdtype, fields=ordered)
    return zdtype


def convert_fill_value(value: object, source: Any, target: Any) -> Any:
    """Return the v2 fill value for the v3 one, or raise `UnsupportedFeatureError`.

    ``source`` is the data type as the v3 document says it, ``target`` as the v2 document will.
    The result is read back and compared bit for bit: a NaN with a payload, say, has no
    v2 spelling.
    """
    import numpy as np

    feature = f"fill_value {shorten(value if isinstance(value, str) else _spell(value))}"
    dtype = v2_name(source)
    value = spell_fill_value(value, dtype)
    with quiet():
        try:
            scalar = source.from_json_scalar(value, zarr_format=3)
            # the byte order of v2's own base64 of a struct is its fields', so the scalar must be
            # of the type that is written
            scalar = target.cast_scalar(scalar)
            converted = target.to_json_scalar(scalar, zarr_format=2)
            again = target.cast_scalar(target.from_json_scalar(converted, zarr_format=2))
        except ZARR_ERRORS:
            raise UnsupportedFeatureError(
                f"{feature} is none for data type {shorten(dtype)}"
            ) from None
    native = target.to_native_dtype()
    if native.hasobject or native.kind == "T":
        same = type(scalar) is type(again) and scalar == again
    else:
        read = np.array([again], native)
        same = np.array([scalar], native).tobytes() == read.tobytes()
        if native.kind in "fc":
            # zarr-python turns a signalling NaN into a quiet one before it can be compared
            same = same and _has_hex_bits(read, value)
    if not same:
        raise UnsupportedFeatureError(f"{feature} has bits that Zarr v2 cannot spell")
    return converted


def read_fill_value(value: object, zdtype: Any) -> Any:
    """Return the scalar that a v3 ``fill_value`` spells; zarr-python's errors where it is none."""
    with quiet():
        return zdtype.from_json_scalar(spell_fill_value(value, v2_name(zdtype)), zarr_format=3)


def _has_hex_bits(read: Any, value: object) -> bool:
    """Whether each real or imaginary part spelled as ``"0x7fc00000"`` has just those bits."""
    width = read.dtype.itemsize // (2 if read.dtype.kind == "c" else 1)
    raw = read.astype(read.dtype.newbyteorder(">")).tobytes()
    spelled = value if isinstance(value, list) else [value]
    for at, part in enumerate(spelled):
        if isinstance(part, str) and part.lower().startswith("0x"):
            expected = part[2:].lower().zfill(2 * width)
            if raw[at * width : (at + 1) * width].hex() != expected:
                return False
    return True


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _spell(value: object) -> str:
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        configuration: JSONObject = value.get("configuration") or {}
        name: str = value["name"]
        return name + (f" {canonical(configuration)[:40]}" if configuration else "")
    return canonical(value)[:60]


class _Quiet:
    """Holders of the filter, of which the first sets it and the last takes it away.

    `warnings.catch_warnings` alone would not do: filters are the whole process's, metadata are
    read by several threads, and one that leaves after another came would leave all muted for good.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._holders = 0
        self._filters = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep to itself what zarr warns of data types that have no specification yet."""
        with self._lock:
            if not self._holders:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._filters.close()


quiet = _Quiet()
