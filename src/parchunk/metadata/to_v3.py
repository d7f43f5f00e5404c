"""The documents of an Icechunk repository: Zarr v3 for every array and group of the source.

A v3 source keeps its own documents, but for the chunk keys, which are Icechunk's. A v2 array is
converted so that zarr-python and xarray read the same values, or refused by name.
"""

from __future__ import annotations

import base64
import copy
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parchunk.metadata.codecs import (
    ARRAY_FILTERS,
    BYTES_CODECS,
    SERIALIZERS,
    is_sharded,
    numcodecs_name,
)
from parchunk.metadata.data_type import ZARR_ERRORS, needs_endian, object_codec, quiet, v2_name
from parchunk.metadata.document import shorten
from parchunk.metadata.filters import stored_elements
from parchunk.metadata.mask import MASK, swaps_mask
from parchunk.metadata.readable import require_readable
from parchunk.metadata.refused import UnsupportedArraysError, UnsupportedFeatureError
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy, JSONObject, Refusal
from parchunk.metadata.spelling import spell_v2
from parchunk.metadata.spelling_v3 import spell_v3
from parchunk.metadata.v2 import DIMENSIONS
from parchunk.metadata.v3 import parse_codecs, parse_extension

KEYS: JSONObject = {"name": "default", "configuration": {"separator": "/"}}
"""The chunk keys of every array in Icechunk."""

_VLEN = frozenset({"vlen-utf8", "vlen-bytes"})
_BLOSC_SHUFFLE = ("noshuffle", "shuffle", "bitshuffle")


@dataclass(frozen=True)
class V3Documents:
    """``zarr.json`` documents by node name (``""`` is the root), and lines for people."""

    groups: dict[str, JSONObject]
    arrays: dict[str, JSONObject]
    notes: tuple[str, ...] = ()


def v3_documents(hierarchy: Hierarchy, drop_non_finite: bool = False) -> V3Documents:
    """Return the documents of all nodes.

    ``drop_non_finite`` leaves out attributes with NaN or an infinity, for which JSON, and so
    Icechunk, has no word; without it they are refused.

    Raises
    ------
    UnsupportedError
        Naming every array that cannot be expressed, and why.
    """
    refused: list[Refusal] = list(hierarchy.refused)
    notes: list[str] = []
    groups, arrays = {}, {}
    for group in hierarchy.groups:
        try:
            groups[group.name] = _finite(_group(group), group.name, drop_non_finite, notes)
        except UnsupportedFeatureError as error:
            refused.append(error.of(group.name or "/"))
    for array in hierarchy.arrays:
        try:
            document = convert_to_v3(array)
            arrays[array.name] = _finite(document, array.name, drop_non_finite, notes)
            require_readable(arrays[array.name])
            if MASK in array.attributes and MASK not in document["attributes"]:
                notes.append(
                    f"{array.name}: left out the attribute {MASK}, as xarray does not read "
                    f"{shorten(array.attributes[MASK])} of {array.dtype} from Zarr v3 as from v2"
                )
            mask = document["attributes"].get(MASK)
            if mask is not None and swaps_mask(array.document.get("dtype"), array.attributes, mask):
                notes.append(
                    f"{array.name}: masks {mask}, of which xarray swaps the bytes in the source, "
                    "as its numbers are big-endian and have _Unsigned"
                )
        except UnsupportedFeatureError as error:
            refused.append(error.of(array.name))
    if refused:
        raise UnsupportedArraysError(sorted(refused, key=lambda item: item.name))
    return V3Documents(groups, arrays, tuple(notes))


def convert_to_v3(array: ArraySpec) -> JSONObject:
    """Return the ``zarr.json`` under which an array's chunks read as they do in the source.

    Raises `UnsupportedFeatureError` when there is none.
    """
    return _keep_v3(array) if array.zarr_format == 3 else _convert_v2(array)


def _group(group: GroupSpec) -> JSONObject:
    if group.zarr_format == 3:
        document = {k: v for k, v in group.document.items() if k != "consolidated_metadata"}
        return {**document, "attributes": group.attributes}
    return {"zarr_format": 3, "node_type": "group", "attributes": group.attributes}


def _keep_v3(array: ArraySpec) -> JSONObject:
    document = spell_v3(array)
    document["chunk_key_encoding"] = copy.deepcopy(KEYS)
    # As the source says it, not the plan, which may be from elsewhere.
    said = parse_extension(array.document["chunk_grid"], "chunk_grid").configuration["chunk_shape"]
    stored = [size or 1 for size in (said if isinstance(said, list) else [said])]
    # Not by the chunks' shape alone: a shard may hold a single inner chunk.
    if array.inner_chunks is not None or stored != [size or 1 for size in array.chunks]:
        # The references are of the chunks inside the shards: they are the array's chunks now.
        chunks = list(array.reference_chunks)
        codecs = parse_codecs(document["codecs"])
        inner = codecs[0].configuration if len(codecs) == 1 and is_sharded(codecs) else {}
        if inner.get("chunk_shape") != chunks:
            raise UnsupportedFeatureError("references of other chunks than its metadata says")
        document["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": chunks}}
        document["codecs"] = inner.get("codecs", [{"name": "bytes"}])
    return document


def _convert_v2(array: ArraySpec) -> JSONObject:
    source = spell_v2(array)
    filters: list[JSONObject] = list(source.get("filters") or ())
    zdtype = _data_type(source["dtype"], filters)
    named = any(name is not None for name in array.dimension_names)
    attributes = {k: v for k, v in array.attributes.items() if k != DIMENSIONS}
    document: JSONObject = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(array.shape),
        "data_type": _v3_name(zdtype),
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [size or 1 for size in array.chunks]},
        },
        "chunk_key_encoding": copy.deepcopy(KEYS),
        "fill_value": _fill_value(source["fill_value"], zdtype),
        "codecs": _codecs(array, zdtype, filters, source["compressor"]),
        "attributes": _with_mask(source["fill_value"], attributes, zdtype),
        "storage_transformers": [],
    }
    if named:
        document["dimension_names"] = list(array.dimension_names)
    return document


def _data_type(dtype: Any, filters: Sequence[JSONObject]) -> Any:
    """Return zarr-python's value of a v2 data type."""
    from zarr.dtype import data_type_registry

    codec = next((item["id"] for item in filters if item["id"] in _VLEN), None)
    with quiet():
        try:
            return data_type_registry.match_json(
                {"name": dtype, "object_codec_id": codec}, zarr_format=2
            )
        except ZARR_ERRORS:
            pass
    kinds = ", ".join(str(item["id"]) for item in filters) or "no filter"
    raise UnsupportedFeatureError(f"dtype {shorten(dtype)} with {kinds} has no Zarr v3 spelling")


def _v3_name(zdtype: Any) -> Any:
    with quiet():
        try:
            name = zdtype.to_json(zarr_format=3)
        except ZARR_ERRORS:
            raise UnsupportedFeatureError(
                f"dtype {shorten(v2_name(zdtype))} has no Zarr v3 spelling"
            ) from None
    fields = getattr(zdtype, "fields", None)
    if fields and any(getattr(kind, "endianness", "little") != "little" for _, kind in fields):
        raise UnsupportedFeatureError(
            "a structured dtype with big-endian fields has no Zarr v3 spelling"
        )
    return json.loads(json.dumps(name))


def _fill_value(value: Any, zdtype: Any) -> Any:
    """Return the v3 fill value: zarr-python fills missing chunks of null with the default."""
    with quiet():
        try:
            scalar = (
                zdtype.default_scalar()
                if value is None
                else zdtype.from_json_scalar(value, zarr_format=2)
            )
            return zdtype.to_json_scalar(scalar, zarr_format=3)
        except ZARR_ERRORS:
            raise UnsupportedFeatureError(
                f"fill_value {shorten(value)} is none for dtype {shorten(v2_name(zdtype))}"
            ) from None


def _with_mask(value: Any, attributes: JSONObject, zdtype: Any) -> JSONObject:
    """Return the attributes with the ``_FillValue`` that keeps what xarray masks, or without one.

    Of a v2 array xarray masks the fill value, of a v3 array only ``_FillValue``, which it spells
    in its own way: a float as the base64 of a double. Of text, bytes and times it cannot read the
    attribute, and fails on the whole group; of whole numbers it would mask 2 for 2.5.
    """
    others = {key: one for key, one in attributes.items() if key != MASK}
    with quiet():
        if value is not None:
            scalar = zdtype.from_json_scalar(value, zarr_format=2)
        elif MASK in attributes:
            scalar = _number(attributes[MASK])
        else:
            return others
    dtype = zdtype.to_native_dtype()
    kind = dtype.kind
    try:
        if kind in "iub" and (scalar != int(scalar) or (kind == "b" and scalar not in (0, 1))):
            return others
        if (kind, attributes.get("_Unsigned")) in (("u", "false"), ("i", "true")):
            return others | {MASK: _signed(int(scalar), 8 * dtype.itemsize)}
        if kind == "f":
            return others | {MASK: _double(float(scalar))}
        if kind == "c":
            return others | {MASK: [_double(scalar.real), _double(scalar.imag)]}
        if kind in "iub":
            return others | {MASK: bool(scalar) if kind == "b" else int(scalar)}
    except (TypeError, ValueError, AttributeError, OverflowError):
        pass
    return others


def _number(value: Any) -> Any:
    """Return the number that an attribute says, alone or in a list, or None where it says none.

    Of several xarray masks each, for which v3 has no spelling; NaN may be text, as in fill values.
    """
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, (int, float)) else math.nan if value == "NaN" else None


def _signed(number: int, bits: int) -> int:
    """Return the number with a sign that has the same bits, as xarray takes masks of `_Unsigned`.

    Raises `OverflowError` for one that fits neither with a sign nor without.
    """
    if not -(1 << bits - 1) <= number < 1 << bits:
        raise OverflowError(number)
    return number - (1 << bits) if number >> bits - 1 > 0 else number


def _double(value: float) -> str:
    return base64.standard_b64encode(struct.pack("<d", value)).decode()


def _codecs(
    array: ArraySpec, zdtype: Any, filters: Sequence[JSONObject], compressor: JSONObject | None
) -> list[JSONObject]:
    """Return the v3 pipeline of a v2 array: transpose, array filters, bytes, bytes codecs."""
    before: list[JSONObject] = []
    serializer: JSONObject | None = None
    after: list[JSONObject] = []
    endian = getattr(zdtype, "endianness", "little") if needs_endian(zdtype) else None
    elements = zdtype.to_native_dtype()
    if array.document["order"] == "F" and array.rank > 1:
        axes = list(range(array.rank))[::-1]
        before.append({"name": "transpose", "configuration": {"order": axes}})
    for codec in [*filters, *([compressor] if compressor is not None else [])]:
        name = codec["id"]
        if name in ARRAY_FILTERS:
            if serializer is not None or after:
                raise UnsupportedFeatureError(
                    f"filter {name!r} after one that makes bytes has no Zarr v3 spelling"
                )
            if endian == "big":
                raise UnsupportedFeatureError(
                    f"filter {name!r} with big-endian elements has no Zarr v3 spelling"
                )
            elements = stored_elements(codec, elements)
            before.append(_numcodec(codec))
        elif name in _VLEN or name in SERIALIZERS:
            if serializer is not None or after:
                raise UnsupportedFeatureError(
                    f"codec {name!r} after one that makes bytes has no Zarr v3 spelling"
                )
            serializer = {"name": name} if name in _VLEN else _numcodec(codec)
        elif name in BYTES_CODECS:
            after.append(_bytes_codec(codec, zdtype))
        else:
            raise UnsupportedFeatureError(f"codec {shorten(name)} has no Zarr v3 spelling")
    if serializer is None:
        if object_codec(zdtype) is not None:
            raise UnsupportedFeatureError("variable-length elements without their codec")
        serializer = {"name": "bytes"}
        if endian is not None:
            serializer["configuration"] = {"endian": endian}
        elif getattr(zdtype, "fields", None):
            serializer["configuration"] = {"endian": "little"}
        elif elements.newbyteorder() != elements:
            # zarr-python 3.1 forgets the byte order of what a filter makes of single bytes
            raise UnsupportedFeatureError(
                f"a filter that makes {elements.str} of single bytes has no Zarr v3 spelling"
            )
    return [*before, serializer, *after]


def _numcodec(codec: JSONObject) -> JSONObject:
    assert numcodecs_name(f"numcodecs.{codec['id']}") is not None
    configuration = {key: value for key, value in codec.items() if key != "id"}
    return {"name": f"numcodecs.{codec['id']}", "configuration": configuration}


def _bytes_codec(codec: JSONObject, zdtype: Any) -> JSONObject:
    name = codec["id"]
    if name == "zstd":
        checksum = bool(codec.get("checksum", False))
        return {
            "name": "zstd",
            "configuration": {"level": codec.get("level", 0), "checksum": checksum},
        }
    if name == "gzip":
        return {"name": "gzip", "configuration": {"level": codec.get("level", 5)}}
    if name == "blosc":
        size = zdtype.to_native_dtype().itemsize if object_codec(zdtype) is None else 1
        shuffle = codec.get("shuffle", 1)
        if shuffle == -1:  # numcodecs' automatic choice; decoding reads it from the data
            shuffle = 2 if size == 1 else 1
        if shuffle not in (0, 1, 2):
            raise UnsupportedFeatureError(f"codec 'blosc' with the shuffle {shorten(shuffle)}")
        return {
            "name": "blosc",
            "configuration": {
                "typesize": max(size, 1),
                "cname": codec.get("cname", "lz4"),
                "clevel": codec.get("clevel", 5),
                "shuffle": _BLOSC_SHUFFLE[shuffle],
                "blocksize": codec.get("blocksize", 0),
            },
        }
    if name == "shuffle":
        codec = {**codec, "elementsize": codec.get("elementsize", 4)}
    return _numcodec(codec)


def _finite(document: JSONObject, name: str, drop_non_finite: bool, notes: list[str]) -> JSONObject:
    """Return the document without attributes that JSON has no word for, or refuse them."""
    if not _is_unicode(document):
        raise UnsupportedFeatureError(
            "half a surrogate pair in its attributes, which is no text that Icechunk can hold"
        )
    found = (
        [key for key, value in document["attributes"].items() if not _is_json(value)]
        if ("attributes" in document)
        else []
    )
    if not found:
        if not _is_json(document):
            raise UnsupportedFeatureError("NaN or an infinity as a bare word in its metadata")
        return document
    listed = ", ".join(map(shorten, found))
    if not drop_non_finite:
        raise UnsupportedFeatureError(
            f"NaN or an infinity in the attributes {listed}, which Icechunk cannot hold",
            "give --drop-non-finite to leave these attributes out, or leave it out of the build "
            "with --exclude",
        )
    notes.append(f"{name or '/'}: left out the attributes {listed}: NaN and infinities")
    kept = {key: value for key, value in document["attributes"].items() if key not in found}
    return {**document, "attributes": kept}


def _is_unicode(document: JSONObject) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_json(value: Any) -> bool:
    level = [value]
    while level:
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            return False
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return True
