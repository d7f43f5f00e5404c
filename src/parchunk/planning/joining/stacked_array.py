"""One store's array as one index of a new leading dimension, its chunks as they are.

A chunk of shape (a, b) and one of shape (1, a, b) are the same bytes in C order and in F order: a
leading axis of length 1 moves no element. What permutes axes must know of the new one, and inside
a shard everything has one more dimension; the index of a shard stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parchunk.keys.encoding import KeyEncoding
from parchunk.metadata.codecs import ARRAY_FILTERS, BYTES_CODECS, numcodecs_name
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spec import ArraySpec, JSONObject
from parchunk.metadata.v2 import DIMENSIONS
from parchunk.metadata.v3 import SHARDING, Extension, parse_codecs

#: Codecs for which the bytes are what they are whatever the shape.
_SHAPELESS = (
    ARRAY_FILTERS
    | BYTES_CODECS
    | {"bytes", "endian", "vlen-utf8", "vlen-bytes", "vlen-array", "pcodec", "categorize"}
)


def stacked_spec(spec: ArraySpec, dimension: str, length: int) -> ArraySpec:
    """Return the array of ``length`` stores' arrays of the same name, one an index of axis 0.

    Raises
    ------
    UnsupportedFeatureError
        Naming the codec whose bytes depend on the shape of a chunk.
    """
    attributes, document = spec.attributes, spec.document
    names = (dimension, *spec.dimension_names)
    shape, chunks = (length, *spec.shape), (1, *spec.chunks)
    if spec.zarr_format == 2:
        if None not in spec.dimension_names:
            attributes = {**attributes, DIMENSIONS: list(names)}
        for codec in (*(document.get("filters") or ()), document.get("compressor")):
            if codec is not None:
                _require_shapeless(codec.get("id"))
        document = {**document, "shape": list(shape), "chunks": list(chunks)}
    else:
        document = {
            **document,
            "shape": list(shape),
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
            "dimension_names": list(names),
            "codecs": [_codec(codec, spec.rank) for codec in parse_codecs(document["codecs"])],
        }
        if DIMENSIONS in attributes:
            attributes = {k: v for k, v in attributes.items() if k != DIMENSIONS}
        document["attributes"] = attributes
    return replace(
        spec,
        shape=shape,
        chunks=chunks,
        dimension_names=names,
        keys=KeyEncoding(spec.keys.marker, spec.keys.separator, spec.rank + 1),
        attributes=attributes,
        document=document,
        inner_chunks=None if spec.inner_chunks is None else (1, *spec.inner_chunks),
    )


def _codec(codec: Extension, rank: int) -> JSONObject:
    configuration: dict[str, Any] = dict(codec.configuration)
    if codec.name == "transpose":
        order = configuration.get("order")
        order = {"C": list(range(rank)), "F": list(range(rank))[::-1]}.get(str(order), order)
        if not isinstance(order, list):
            raise UnsupportedFeatureError(f"transpose with the order {order!r:.40}")
        configuration["order"] = [0, *(axis + 1 for axis in order)]
    elif codec.name == SHARDING:
        inner = configuration["chunk_shape"]
        configuration["chunk_shape"] = [1, *(inner if isinstance(inner, list) else [inner])]
        if "codecs" in configuration:
            codecs = parse_codecs(configuration["codecs"])
            configuration["codecs"] = [_codec(one, rank) for one in codecs]
    else:
        _require_shapeless(codec.name)
    return {"name": codec.name, "configuration": configuration}


def _require_shapeless(name: Any) -> None:
    known = name in _SHAPELESS or name == "crc32c" or numcodecs_name(str(name)) in _SHAPELESS
    if not known and name not in ("blosc", "gzip", "zstd"):
        raise UnsupportedFeatureError(
            f"the codec {name!r:.40}, of which it is not known whether its bytes depend on the "
            "shape of a chunk"
        )


def unstacked_spec(spec: ArraySpec) -> ArraySpec:
    """Return the array as each store has it, of which `stacked_spec` made ``spec``."""
    document = spec.document
    shape, chunks = spec.shape[1:], spec.chunks[1:]
    if spec.zarr_format == 2:
        document = {**document, "shape": list(shape), "chunks": list(chunks)}
    else:
        document = {
            **document,
            "shape": list(shape),
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
            "dimension_names": list(spec.dimension_names[1:]),
            "codecs": [_own_codec(codec) for codec in parse_codecs(document["codecs"])],
        }
    return replace(
        spec,
        shape=shape,
        chunks=chunks,
        dimension_names=spec.dimension_names[1:],
        keys=KeyEncoding(spec.keys.marker, spec.keys.separator, spec.rank - 1),
        document=document,
        inner_chunks=None if spec.inner_chunks is None else spec.inner_chunks[1:],
    )


def _own_codec(codec: Extension) -> JSONObject:
    configuration: dict[str, Any] = dict(codec.configuration)
    if codec.name == "transpose":
        configuration["order"] = [axis - 1 for axis in configuration["order"][1:]]
    elif codec.name == SHARDING:
        configuration["chunk_shape"] = configuration["chunk_shape"][1:]
        if "codecs" in configuration:
            codecs = parse_codecs(configuration["codecs"])
            configuration["codecs"] = [_own_codec(one) for one in codecs]
    return {"name": codec.name, "configuration": configuration}
