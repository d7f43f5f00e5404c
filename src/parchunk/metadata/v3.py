"""A Zarr v3 array: its ``zarr.json`` to an `ArraySpec`, and the extensions it names.

An extension of a v3 document (data type, codec, chunk grid, key encoding) is a name with a
configuration: ``{"name": "gzip", "configuration": {"level": 5}}``, or a bare string where the
configuration is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from parchunk.errors import MetadataError
from parchunk.keys.encoding import KeyEncoding
from parchunk.metadata.data_type import describe_v3_dtype
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
from parchunk.metadata.spec import ArraySpec, JSONObject
from parchunk.metadata.v2 import attribute_names

_FIELDS = frozenset(
    {
        "zarr_format",
        "node_type",
        "shape",
        "data_type",
        "chunk_grid",
        "chunk_key_encoding",
        "fill_value",
        "codecs",
        "attributes",
        "storage_transformers",
        "dimension_names",
        # not of arrays, but harmless where a careless writer left it
        "consolidated_metadata",
    }
)


#: The codec that makes shards.
SHARDING = "sharding_indexed"


@dataclass(frozen=True)
class Extension:
    """What a v3 document names, a codec, say: its name and configuration (empty without one)."""

    name: str
    configuration: JSONObject = field(hash=False)


def parse_extension(value: object, what: str) -> Extension:
    """Return the extension that ``value`` spells; ``what`` says in messages which one it is."""
    if isinstance(value, str):
        return Extension(value, {})
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise MetadataError(f"has a {what} without a name: {shorten(value)}")
    configuration = value.get("configuration")
    if configuration is None:
        configuration = {}
    if not isinstance(configuration, dict):
        raise MetadataError(
            f"has a {what} {value['name']!r} whose configuration is not an object "
            f"but {shorten(configuration)}"
        )
    return Extension(value["name"], configuration)


#: What configures a codec of the format, but for crc32c, of which zarr-python takes anything.
CODEC_FIELDS = {
    "blosc": ("blocksize", "clevel", "cname", "shuffle", "typesize"),
    "bytes": ("endian",),
    "endian": ("endian",),
    "gzip": ("level",),
    "transpose": ("order",),
    "vlen-bytes": (),
    "vlen-utf8": (),
    "zstd": ("checksum", "level"),
}


def require_known(extension: Extension, what: str, *fields: str) -> None:
    """Refuse an extension whose configuration has other than ``fields``.

    The format says that who does not know a field must not read on: it may mean anything.
    """
    unknown = sorted(extension.configuration.keys() - set(fields))
    if unknown:
        raise UnsupportedFeatureError(
            f"{what} {shorten(extension.name)!r} with a configuration of its own kind "
            f"({shorten(unknown[0])!a})"
        )


def parse_codecs(value: object) -> tuple[Extension, ...]:
    """Return the codecs of an array or of the inside of a shard."""
    if not isinstance(value, list) or not value:
        raise MetadataError(f"has codecs that are not a list of one or more: {shorten(value)}")
    codecs = tuple(parse_extension(item, "codec") for item in value)
    for codec in codecs:
        if codec.name in CODEC_FIELDS:
            require_known(codec, "codec", *CODEC_FIELDS[codec.name])
    return codecs


def parse_inner_chunks(
    codecs: Sequence[Extension], chunks: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Return the shape of a sharded array's inner chunks; None where objects are no plain shards.

    ``chunks`` is the shape of a shard, which inner chunks must fill.
    """
    if len(codecs) != 1 or codecs[0].name != SHARDING:
        return None
    configuration = codecs[0].configuration
    require(configuration, "chunk_shape")
    for key in ("codecs", "index_codecs"):
        if key in configuration:
            parse_codecs(configuration[key])
    inner = parse_chunks(configuration["chunk_shape"], chunks, "chunk_shape of a shard")
    if any(size % chunk for size, chunk in zip(chunks, inner, strict=True)):
        raise MetadataError(
            f"has shards of {shorten(list(chunks))} that inner chunks of {shorten(list(inner))} "
            "do not fill"
        )
    return inner


def parse_v3_array(name: str, document: JSONObject) -> ArraySpec:
    """Return the array that a ``zarr.json`` describes.

    Of a sharded one, ``chunks`` is the shard and ``inner_chunks`` what its references point at.

    Raises `MetadataError` for a broken document, its text being the bare reason, and
    `UnsupportedFeatureError` where the document is valid but chunks have no one shape or no known
    keys. Codecs and data types are not judged here, except that each must have a name.
    """
    require_format(document, 3)
    if document.get("node_type") != "array":
        raise MetadataError(f"has node_type {shorten(document.get('node_type'))}, not 'array'")
    require(
        document, "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs"
    )
    shape = parse_shape(document["shape"])
    grid = parse_extension(document["chunk_grid"], "chunk_grid")
    if grid.name != "regular":
        raise UnsupportedFeatureError(f"chunk grid {shorten(grid.name)} is not regular")
    require(grid.configuration, "chunk_shape")
    require_known(grid, "chunk grid", "chunk_shape")
    chunks = parse_chunks(grid.configuration["chunk_shape"], shape, "chunk_shape")
    codecs = parse_codecs(document["codecs"])
    # null is how some writers spell that there are none
    document = shared(document)
    found = document.get("attributes")
    attributes = parse_attributes({} if found is None else found)
    dtype, itemsize = describe_v3_dtype(document["data_type"])
    return ArraySpec(
        name=name,
        zarr_format=3,
        shape=shared_value(shape),
        chunks=shared_value(chunks),
        dtype=shared_value(dtype),
        itemsize=itemsize,
        dimension_names=shared_value(_dimension_names(document, attributes, len(shape))),
        keys=shared_value(
            _keys(parse_extension(document["chunk_key_encoding"], "chunk_key_encoding"), len(shape))
        ),
        attributes=attributes,
        document=document,
        inner_chunks=shared_value(parse_inner_chunks(codecs, chunks)),
    )


def extension_problem(document: JSONObject) -> str | None:
    """Return the feature that makes a whole document unreadable to who does not know it, or None.

    The format says so of storage transformers, and of every unknown field that is not marked
    ``"must_understand": false``.
    """
    transformers = document.get("storage_transformers")
    if transformers:
        return f"storage transformers {shorten(transformers)}"
    for key in sorted(document.keys() - _FIELDS):
        value = document[key]
        if not (isinstance(value, dict) and value.get("must_understand") is False):
            return f"the extension field {shorten(key)}, which must be understood"
    return None


def _dimension_names(
    document: JSONObject, attributes: JSONObject, rank: int
) -> tuple[str | None, ...]:
    names = document.get("dimension_names")
    if names is not None:
        return parse_dimension_names(names, rank, "dimension_names")
    # a v3 array that was migrated from v2 may still have its names in the attribute
    return attribute_names(attributes, rank)


def _keys(encoding: Extension, rank: int) -> KeyEncoding:
    if encoding.name not in ("default", "v2"):
        raise UnsupportedFeatureError(f"chunk key encoding {shorten(encoding.name)} is not known")
    require_known(encoding, "chunk key encoding", "separator")
    default = encoding.name == "default"
    separator = encoding.configuration.get("separator", "/" if default else ".")
    if separator not in ("/", "."):
        raise UnsupportedFeatureError(
            f"chunk key encoding {encoding.name!r} has the separator {shorten(separator)}, "
            "which is neither '.' nor '/'"
        )
    return KeyEncoding("c" if default else "", separator, rank)
