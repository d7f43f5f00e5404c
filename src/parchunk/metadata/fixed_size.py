"""Chunks of one possible size: stored without compression, by codecs of fixed size only.

A chunk is stored whole, also where it reaches beyond the array's edge. So what has another number
of bytes cannot be read: a write was cut off, or it is of another array.
"""

from __future__ import annotations

import math

from parchunk.metadata.codecs import convert_pipeline, is_sharded
from parchunk.metadata.data_type import read_data_type, v2_name
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.shards import shard_layout
from parchunk.metadata.spec import ArraySpec, JSONObject
from parchunk.metadata.spelling import spell_v2_dtype
from parchunk.metadata.v2 import v2_itemsize
from parchunk.metadata.v3 import parse_codecs

#: Codecs that add this many bytes to what they are given, whatever it is.
_ADDED = {
    "adler32": 4,
    "bitround": 0,
    "crc32": 4,
    "crc32c": 4,
    "delta": 0,
    "fletcher32": 4,
    "jenkins_lookup3": 4,
    "quantize": 0,
    "shuffle": 0,
}
#: Those of them that may be told to write another data type.
_RETYPING = frozenset({"delta", "quantize"})


def fixed_chunk_bytes(array: ArraySpec) -> int | None:
    """Return the bytes of every chunk that a reference of ``array`` points at.

    None where chunks may have any number: compressed, of variable length, whole shards, or stored
    by codecs that are not known here.
    """
    try:
        if array.zarr_format == 2:
            document = array.document
            dtype = spell_v2_dtype(document["dtype"])
            compressor = document.get("compressor")
            codecs = [*(document.get("filters") or ()), *([compressor] if compressor else [])]
        else:
            own = parse_codecs(array.document["codecs"])
            if is_sharded(own):
                if array.inner_chunks is None:
                    return None
                own = shard_layout(array).codecs
            zdtype = read_data_type(array.document["data_type"])
            # a transpose moves bytes only, whether v2 could spell it or not
            own = tuple(codec for codec in own if codec.name != "transpose")
            pipeline = convert_pipeline(own, array.reference_chunks, zdtype)
            dtype = v2_name(pipeline.zdtype)
            codecs = [*pipeline.filters, *([pipeline.compressor] if pipeline.compressor else [])]
    except UnsupportedFeatureError:
        return None
    return _bytes(dtype, codecs, math.prod(array.reference_chunks))


def _bytes(dtype: object, codecs: list[JSONObject], elements: int) -> int | None:
    itemsize = v2_itemsize(dtype)
    if itemsize is None or _is_variable(dtype):
        return None
    size = itemsize * elements
    for codec in codecs:
        name = codec.get("id")
        added = _ADDED.get(name) if isinstance(name, str) else None
        if added is None:
            return None
        if name in _RETYPING:
            stored = codec.get("astype", codec.get("dtype"))
            if stored is not None and v2_itemsize(spell_v2_dtype(stored)) != itemsize:
                return None
        size += added
    return size


def _is_variable(dtype: object) -> bool:
    if isinstance(dtype, list):
        return any(_is_variable(field[1]) for field in dtype)
    return dtype == "|O"
