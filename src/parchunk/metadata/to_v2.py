"""The metadata of the kerchunk store: Zarr v2 documents for every array and group of the source.

v3 arrays are converted exactly or refused by name; v2 arrays keep their documents. Kerchunk's
readers know one spelling of chunk keys, so every array written here has the separator ``.``,
whatever the source's.
"""

from __future__ import annotations

from dataclasses import replace

from parchunk.metadata.codecs import V2Pipeline, convert_pipeline, is_sharded
from parchunk.metadata.data_type import convert_fill_value, read_data_type, v2_name, with_endian
from parchunk.metadata.document import shorten
from parchunk.metadata.mask import swaps_mask
from parchunk.metadata.readable import require_readable
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.shards import shard_layout
from parchunk.metadata.spec import ArraySpec, JSONObject
from parchunk.metadata.spelling import spell_v2
from parchunk.metadata.v2 import DIMENSIONS, v2_itemsize
from parchunk.metadata.v3 import Extension, extension_problem, parse_codecs


def convert_array(array: ArraySpec) -> JSONObject:
    """Return the v2 ``.zarray`` under which the array's references read back bit for bit.

    Raises `UnsupportedFeatureError` when there is none, or zarr-python cannot read it.
    """
    document = _keep_v2(array) if array.zarr_format == 2 else _convert_v3(array)
    require_readable(document)
    return document


def convert_attributes(array: ArraySpec) -> JSONObject:
    """Return the ``.zattrs``: the array's attributes and its dimensions, null where unnamed.

    Names that the source does not give are not made up: where it gives none at all, nor are nulls.
    """
    unsaid = array.rank > 0 and array.document.get("dimension_names") is None
    if array.zarr_format == 2 or unsaid:
        return array.attributes
    return {**array.attributes, DIMENSIONS: list(array.dimension_names)}


def _keep_v2(array: ArraySpec) -> JSONObject:
    dtype = array.document["dtype"]
    if v2_itemsize(dtype) is None:
        raise UnsupportedFeatureError(f"dtype {shorten(dtype)} is not one of Zarr v2")
    return {**spell_v2(array), "dimension_separator": "."}


def _convert_v3(array: ArraySpec) -> JSONObject:
    problem = extension_problem(array.document)
    if problem:
        raise UnsupportedFeatureError(problem)
    codecs = parse_codecs(array.document["codecs"])
    if is_sharded(codecs):
        layout = shard_layout(array)
        return express_in_v2(array, layout.inner_chunks, layout.codecs)
    return express_in_v2(array, array.chunks, codecs)


def express_in_v2(
    array: ArraySpec, chunks: tuple[int, ...], codecs: tuple[Extension, ...]
) -> JSONObject:
    """Return the ``.zarray`` of a v3 array whose references are of ``chunks`` stored by ``codecs``.

    For a plain array these are its own; for one whose shards are looked into they are the inner
    chunk shape and the inner codecs.
    """
    source = read_data_type(array.document["data_type"])
    pipeline = _with_own_mask(convert_pipeline(codecs, chunks, source), array)
    return {
        "zarr_format": 2,
        "shape": list(array.shape),
        "chunks": list(chunks),
        "dtype": v2_name(pipeline.zdtype),
        "order": pipeline.order,
        "fill_value": convert_fill_value(array.document["fill_value"], source, pipeline.zdtype),
        "filters": [dict(item) for item in pipeline.filters] or None,
        "compressor": pipeline.compressor,
        "dimension_separator": ".",
    }


def _with_own_mask(pipeline: V2Pipeline, array: ArraySpec) -> V2Pipeline:
    """Return a pipeline whose numbers xarray masks as in v3, which has no big-endian types.

    Where it would swap the mask's bytes, a filter swaps those of the elements.
    """
    stored = v2_name(pipeline.zdtype)
    if not swaps_mask(stored, array.attributes):
        return pipeline
    little = with_endian(pipeline.zdtype, "little")
    swap = {"id": "astype", "encode_dtype": stored, "decode_dtype": v2_name(little)}
    return replace(pipeline, zdtype=little, filters=(swap, *pipeline.filters))
