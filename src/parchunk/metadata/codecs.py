"""v3 codec pipelines as the ``order``, ``filters`` and ``compressor`` of a v2 array.

v2 decodes ``compressor``, then ``filters`` from last to first, then views the bytes as the data
type and reshapes them in ``order``. So a v3 pipeline has a v2 spelling when its transposes come
first and are none or a full reversal, and each codec after them is one that numcodecs has by
itself. The pipeline inside a shard is converted by the same function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from parchunk.metadata.data_type import needs_endian, object_codec, v2_name, with_endian
from parchunk.metadata.document import shorten
from parchunk.metadata.filters import stored_elements
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spec import JSONObject
from parchunk.metadata.v2 import v2_itemsize
from parchunk.metadata.v3 import Extension

_PREFIX = "numcodecs."

# What zarr-python writes as "numcodecs.<name>". Some writers leave the prefix out: that is taken
# where no registered v3 codec of the same name means something else, as "packbits" does.
ARRAY_FILTERS = frozenset(
    {"astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize"}
)
SERIALIZERS = frozenset({"pcodec", "zfpy"})
BYTES_CODECS = frozenset(
    {
        "adler32",
        "blosc",
        "bz2",
        "crc32",
        "crc32c",
        "fletcher32",
        "gzip",
        "jenkins_lookup3",
        "lz4",
        "lzma",
        "shuffle",
        "zlib",
        "zstd",
    }
)
_BARE = (ARRAY_FILTERS | BYTES_CODECS) - {"packbits", "blosc", "crc32c", "gzip", "zstd"}

# What zarr-python fills in from the array's data type when the document leaves it out.
_DEFAULTS = {
    "fixedscaleoffset": "dtype",
    "quantize": "dtype",
    "astype": "decode_dtype",
    "shuffle": "elementsize",
}

_BLOSC_SHUFFLE = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
_BLOSC_NAMES = frozenset({"lz4", "lz4hc", "blosclz", "snappy", "zlib", "zstd"})


@dataclass(frozen=True)
class V2Pipeline:
    """What v2 metadata says where v3 has codecs; ``zdtype`` is the data type as stored."""

    zdtype: Any
    order: Literal["C", "F"]
    filters: tuple[JSONObject, ...]
    compressor: JSONObject | None


def is_sharded(codecs: Sequence[Extension]) -> bool:
    """Whether stored objects are shards of inner chunks."""
    return any(codec.name == "sharding_indexed" for codec in codecs)


def convert_pipeline(
    codecs: Sequence[Extension], chunks: tuple[int, ...], zdtype: Any
) -> V2Pipeline:
    """Return the v2 spelling of ``codecs``, which store chunks of shape ``chunks``.

    ``zdtype`` is zarr-python's value for the v3 data type. Raises `UnsupportedFeatureError` for
    what v2 cannot express exactly.
    """
    before, serializer, after = _split(codecs)
    order, filters, elements = _convert_array_codecs(before, chunks, zdtype)
    stored, first = _convert_serializer(serializer, filters, zdtype, elements)
    chain = first + [_convert_bytes_codec(codec, zdtype, elements) for codec in after]
    # v2 has any number of filters and one compressor, which is decoded first. The codec of a
    # variable-length type must be a filter: readers look for it there.
    compressor = chain.pop() if len(chain) > (object_codec(zdtype) is not None) else None
    return V2Pipeline(stored, order, tuple(filters + chain), compressor)


def _split(codecs: Sequence[Extension]) -> tuple[list[Extension], Extension, list[Extension]]:
    """Return the codecs before the one that makes bytes of the array, that one, and the rest."""
    kinds = [_kind(codec) for codec in codecs]
    if kinds.count(1) != 1 or kinds != sorted(kinds):
        names = ", ".join(shorten(codec.name) for codec in codecs[:8])
        raise UnsupportedFeatureError(f"codecs [{names}] are no valid pipeline")
    at = kinds.index(1)
    return list(codecs[:at]), codecs[at], list(codecs[at + 1 :])


def _kind(codec: Extension) -> int:
    """0 for array to array, 1 for array to bytes, 2 for bytes to bytes."""
    name = numcodecs_name(codec.name)
    if codec.name == "transpose" or name in ARRAY_FILTERS:
        return 0
    if codec.name in {"bytes", "endian", "vlen-utf8", "vlen-bytes"} or name in SERIALIZERS:
        return 1
    if codec.name in _CORE_BYTES_CODECS or name in BYTES_CODECS:
        return 2
    if codec.name == "sharding_indexed":
        raise UnsupportedFeatureError("codec 'sharding_indexed' within other codecs")
    raise UnsupportedFeatureError(f"codec {shorten(ascii(codec.name))} has no Zarr v2 spelling")


def numcodecs_name(name: str) -> str | None:
    """Return the numcodecs id of a v3 codec that is one of numcodecs' own, or None."""
    if name.startswith(_PREFIX):
        return name[len(_PREFIX) :]
    return name if name in _BARE else None


def _convert_array_codecs(
    codecs: Sequence[Extension], chunks: tuple[int, ...], zdtype: Any
) -> tuple[Literal["C", "F"], list[JSONObject], Any]:
    """Return the order, the filters, and NumPy's type of the elements that the last one stores."""
    axes = list(range(len(chunks)))
    filters: list[JSONObject] = []
    elements = zdtype.to_native_dtype()
    for codec in codecs:
        if codec.name != "transpose":
            filters.append(_numcodec(codec, zdtype, elements))
            elements = stored_elements(filters[-1], elements)
            continue
        permutation = _permutation(codec, len(chunks))
        if filters and _memory_order(permutation, chunks) != "C":
            raise UnsupportedFeatureError("a transpose after a filter has no Zarr v2 spelling")
        axes = [axes[axis] for axis in permutation]
    order = _memory_order(axes, chunks)
    if order is None:
        raise UnsupportedFeatureError(f"transpose {axes} is neither C nor F order")
    return order, filters, elements


def _permutation(codec: Extension, rank: int) -> list[int]:
    order = codec.configuration.get("order")
    if order == "C":
        return list(range(rank))
    if order == "F":
        return list(range(rank))[::-1]
    if (
        not isinstance(order, list)
        or any(isinstance(axis, bool) or not isinstance(axis, int) for axis in order)
        or sorted(order) != list(range(rank))
    ):
        raise UnsupportedFeatureError(
            f"transpose {shorten(order)} is no order of {rank} dimensions"
        )
    return order


def _memory_order(axes: Sequence[int], chunks: tuple[int, ...]) -> Literal["C", "F"] | None:
    """Return the order of the elements of a chunk stored with its axes permuted, if v2 has it.

    An axis along which chunks have one element may stand anywhere: moving it moves no element.
    """
    longer = [axis for axis in axes if chunks[axis] != 1]
    if longer == sorted(longer):
        return "C"
    return "F" if longer == sorted(longer, reverse=True) else None


def _convert_serializer(
    codec: Extension, filters: Sequence[JSONObject], zdtype: Any, elements: Any
) -> tuple[Any, list[JSONObject]]:
    """Return the data type as stored, and what the serializer adds before the bytes codecs."""
    wanted = object_codec(zdtype)
    if codec.name in {"vlen-utf8", "vlen-bytes"}:
        if wanted != codec.name:
            raise UnsupportedFeatureError(
                f"codec {codec.name!r} with data type {shorten(v2_name(zdtype))}"
            )
        if filters:
            raise UnsupportedFeatureError(f"filters before the codec {codec.name!r}")
        return zdtype, [{"id": codec.name}]
    if wanted is not None:
        raise UnsupportedFeatureError(f"codec {codec.name!r} with a variable-length data type")
    if numcodecs_name(codec.name) is not None:
        if filters:
            raise UnsupportedFeatureError(f"filters before the codec {codec.name!r}")
        return zdtype, [_numcodec(codec, zdtype, elements)]
    endian = codec.configuration.get("endian")
    if endian is None:
        if needs_endian(zdtype):
            raise UnsupportedFeatureError(
                "codec 'bytes' without the byte order that the data type needs"
            )
        # a struct without one is little-endian, as zarr-python takes it
        return zdtype, []
    if endian not in ("little", "big"):
        raise UnsupportedFeatureError(f"codec 'bytes' with the byte order {shorten(endian)}")
    stored = with_endian(zdtype, endian)
    if filters and endian == "big" and elements.newbyteorder() != elements:
        # v2 readers would apply the filter to elements of the wrong byte order, in silence
        raise UnsupportedFeatureError(
            "an array filter with big-endian elements has no Zarr v2 spelling"
        )
    return stored, []


def _convert_bytes_codec(codec: Extension, zdtype: Any, elements: Any) -> JSONObject:
    convert = _CORE_BYTES_CODECS.get(codec.name)
    if convert is None:
        return _numcodec(codec, zdtype, elements)
    return convert(codec.configuration)


def _numcodec(codec: Extension, zdtype: Any, elements: Any) -> JSONObject:
    """Return numcodecs' configuration; ``elements`` is the type of what the codec is given."""
    name = numcodecs_name(codec.name)
    config = {key: value for key, value in codec.configuration.items() if key != "id"}
    default = _DEFAULTS.get(name or "")
    if default and config.get(default) is None:
        if elements != zdtype.to_native_dtype():
            # zarr-python 3.1 takes the array's type for it, 3.4 that of what the codec is given
            raise UnsupportedFeatureError(
                f"codec {name!r} without its {default}, after a filter that changes the data type"
            )
        dtype = v2_name(zdtype)
        config[default] = v2_itemsize(dtype) if default == "elementsize" else dtype
    return {"id": name, **config}


def _level(configuration: JSONObject, codec: str) -> int:
    # decoding needs no level: zarr-python's default stands for one that is left out
    level = configuration.get("level", 0 if codec == "zstd" else 5)
    if isinstance(level, bool) or not isinstance(level, int) or abs(level) > 2**31:
        raise UnsupportedFeatureError(f"codec {codec!r} with the level {shorten(level)}")
    return level


def _convert_gzip(configuration: JSONObject) -> JSONObject:
    return {"id": "gzip", "level": _level(configuration, "gzip")}


def _convert_zstd(configuration: JSONObject) -> JSONObject:
    converted: JSONObject = {"id": "zstd", "level": _level(configuration, "zstd")}
    if configuration.get("checksum") is True:
        # left out otherwise: older numcodecs does not know it
        converted["checksum"] = True
    return converted


def _convert_blosc(configuration: JSONObject) -> JSONObject:
    shuffle = configuration.get("shuffle", "noshuffle")
    cname = configuration.get("cname", "zstd")
    numbers = {
        "clevel": configuration.get("clevel", 5),
        "blocksize": configuration.get("blocksize", 0),
    }
    if not isinstance(shuffle, str) or shuffle not in _BLOSC_SHUFFLE:
        raise UnsupportedFeatureError(f"codec 'blosc' with the shuffle {shorten(shuffle)}")
    if not isinstance(cname, str) or cname not in _BLOSC_NAMES:
        raise UnsupportedFeatureError(f"codec 'blosc' with the cname {shorten(cname)}")
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise UnsupportedFeatureError(f"codec 'blosc' with the {key} {shorten(value)}")
    # typesize is left out: decoding reads it from the data, and older numcodecs does not know it
    return {"id": "blosc", "cname": cname, "shuffle": _BLOSC_SHUFFLE[shuffle], **numbers}


def _convert_crc32c(_: JSONObject) -> JSONObject:
    return {"id": "crc32c", "location": "end"}


_CORE_BYTES_CODECS: dict[str, Callable[[JSONObject], JSONObject]] = {
    "blosc": _convert_blosc,
    "crc32c": _convert_crc32c,
    "gzip": _convert_gzip,
    "zstd": _convert_zstd,
}
