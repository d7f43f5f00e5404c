"""v3 documents in the one spelling that every version of zarr-python reads.

The format lets writers leave out a ``configuration`` that is empty and fields that have a
default, and write an extension as its bare name. zarr-python reads some of these in some versions;
all of them read what is spelled here.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from parchunk.metadata.codecs import ARRAY_FILTERS, BYTES_CODECS, SERIALIZERS, numcodecs_name
from parchunk.metadata.data_type import (
    ZARR_ERRORS,
    needs_endian,
    quiet,
    read_data_type,
    v2_name,
)
from parchunk.metadata.document import shorten
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spec import ArraySpec, JSONObject
from parchunk.metadata.spelling import spell_fill_value
from parchunk.metadata.v2 import v2_itemsize
from parchunk.metadata.v3 import SHARDING, Extension, extension_problem, parse_codecs

#: What zarr-python and the specification take when a sharded array leaves them out.
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_INNER_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}]
_LEVELS = {"gzip": 5, "zstd": 0}


def spell_v3(array: ArraySpec) -> JSONObject:
    """Return the ``zarr.json`` of a v3 array in plain spelling, its shards and chunk keys kept.

    Raises
    ------
    UnsupportedFeatureError
        For a data type that zarr-python does not know, a codec without the byte order that it
        needs, and extensions that must be understood.
    """
    document = array.document
    problem = extension_problem(document)
    if problem:
        raise UnsupportedFeatureError(problem)
    zdtype = read_data_type(document["data_type"])
    with quiet():
        try:
            # tuples are lists in JSON
            data_type = json.loads(json.dumps(zdtype.to_json(zarr_format=3)))
        except ZARR_ERRORS:
            data_type = document["data_type"]
    spelled = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(array.shape),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(array.chunks)}},
        "chunk_key_encoding": {
            "name": "default" if array.keys.marker else "v2",
            "configuration": {"separator": array.keys.separator},
        },
        "fill_value": spell_fill_value(document["fill_value"], v2_name(zdtype)),
        "codecs": spell_codecs(parse_codecs(document["codecs"]), zdtype, array.rank),
        "attributes": array.attributes,
        "storage_transformers": [],
    }
    if document.get("dimension_names") is not None:
        spelled["dimension_names"] = document["dimension_names"]
    # only what need not be understood is left: see `extension_problem`
    spelled |= {
        key: value
        for key, value in document.items()
        if key not in spelled and key not in ("consolidated_metadata", "dimension_names")
    }
    return copy.deepcopy(spelled)


def spell_codecs(codecs: tuple[Extension, ...], zdtype: Any, rank: int) -> list[JSONObject]:
    """Return codecs, each with a name and all of its configuration that has a default."""
    return [_codec(codec, zdtype, rank) for codec in codecs]


def _codec(codec: Extension, zdtype: Any, rank: int) -> JSONObject:
    name = "bytes" if codec.name == "endian" else codec.name
    if name == SHARDING:
        return _sharding(codec, zdtype, rank)
    if name == "bytes":
        return _bytes(codec, zdtype)
    configuration: JSONObject = dict(codec.configuration)
    numcodec = numcodecs_name(name)
    if name in _LEVELS:
        configuration.setdefault("level", _LEVELS[name])
        if name == "zstd":
            configuration["checksum"] = bool(configuration.get("checksum", False))
    elif name == "blosc":
        configuration = _blosc(configuration, zdtype)
    elif name == "transpose":
        order = {"C": list(range(rank)), "F": list(range(rank))[::-1]}
        wanted = configuration.get("order")
        if isinstance(wanted, str) and wanted in order:
            configuration["order"] = order[wanted]
    elif name == "crc32c" or name in {"vlen-utf8", "vlen-bytes"}:
        return {"name": name}
    elif numcodec is not None and numcodec in ARRAY_FILTERS | SERIALIZERS | BYTES_CODECS:
        configuration.pop("id", None)
        return {"name": f"numcodecs.{numcodec}", "configuration": configuration}
    return {"name": name, "configuration": configuration} if configuration else {"name": name}


def _bytes(codec: Extension, zdtype: Any) -> JSONObject:
    endian = codec.configuration.get("endian")
    if endian is not None:
        return {"name": "bytes", "configuration": {"endian": endian}}
    if needs_endian(zdtype):
        # older zarr-python took it for little, newer refuses it
        raise UnsupportedFeatureError(
            "codec 'bytes' without the byte order that the data type needs"
        )
    return {"name": "bytes"}


def _blosc(configuration: JSONObject, zdtype: Any) -> JSONObject:
    """Return the configuration with all fields: zarr-python wants them, decoding does not."""
    size = v2_itemsize(v2_name(zdtype)) or 1
    defaults = {"cname": "zstd", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0}
    spelled = defaults | {key: configuration[key] for key in defaults if key in configuration}
    typesize = configuration.get("typesize")
    return {**configuration, **spelled, "typesize": typesize or min(size, 255)}


def _sharding(codec: Extension, zdtype: Any, rank: int) -> JSONObject:
    configuration = codec.configuration
    inner = configuration["chunk_shape"]
    index = _index_codecs(parse_codecs(configuration.get("index_codecs", _INDEX_CODECS)))
    codecs = parse_codecs(configuration.get("codecs", _INNER_CODECS))
    return {
        "name": SHARDING,
        "configuration": {
            **configuration,
            "chunk_shape": inner if isinstance(inner, list) else [inner],
            "codecs": spell_codecs(codecs, zdtype, rank),
            "index_codecs": index,
            "index_location": configuration.get("index_location", "end"),
        },
    }


def _index_codecs(codecs: tuple[Extension, ...]) -> list[JSONObject]:
    spelled: list[JSONObject] = []
    for codec in codecs:
        if codec.name == "bytes" and codec.configuration.get("endian") is None:
            raise UnsupportedFeatureError(
                f"a shard index with the byte order {shorten(codec.configuration.get('endian'))}"
            )
        spelled.append(
            {"name": codec.name, "configuration": codec.configuration}
            if codec.configuration
            else {"name": codec.name}
        )
    return spelled
