"""The metadata of the kerchunk store: Zarr v2 documents for every array and group of the source.

v3 arrays are converted exactly or refused by name; v2 arrays keep their documents. Kerchunk's
readers know one spelling of chunk keys, so every array written here has the separator ``.``,
whatever the source's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from parchunk.errors import InputError
from parchunk.metadata.codecs import convert_pipeline, is_sharded
from parchunk.metadata.data_type import convert_fill_value, read_data_type, v2_name
from parchunk.metadata.document import shorten
from parchunk.metadata.dual import dual_metadata, keep_v3
from parchunk.metadata.mask import keep_mask
from parchunk.metadata.readable import require_readable
from parchunk.metadata.refused import UnsupportedArraysError, UnsupportedFeatureError
from parchunk.metadata.shards import shard_layout
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy, JSONObject, Refusal
from parchunk.metadata.spelling import spell_v2
from parchunk.metadata.v2 import DIMENSIONS, v2_itemsize
from parchunk.metadata.v3 import Part, extension_problem, parse_codecs


def refusals(hierarchy: Hierarchy) -> tuple[Refusal, ...]:
    """Return every array that cannot be referenced, with its feature and the remedy, by name."""
    found = list(hierarchy.refused)
    for array in hierarchy.arrays:
        try:
            if hierarchy.written_format == 3:
                keep_v3(array)
            else:
                convert_array(array)
        except UnsupportedFeatureError as refused:
            found.append(_with_remedy(refused, array, hierarchy.written_format))
    return tuple(sorted(found, key=lambda refusal: refusal.name))


def _with_remedy(
    refused: UnsupportedFeatureError, array: ArraySpec, written_format: int
) -> Refusal:
    """Return the refusal of an array; where v3 references would do, the remedy says so first."""
    refusal = refused.of(array.name)
    if array.zarr_format != 3:
        return refusal
    if is_sharded(parse_codecs(array.document["codecs"])):
        better = "keep its shards whole with --shards whole"
    elif written_format == 2:
        better = "keep it in Zarr v3 with --format v3 if zarr-python can read it"
    else:
        return refusal
    return replace(refusal, remedy=f"{better}, or {refusal.remedy}")


def require_supported(hierarchy: Hierarchy) -> None:
    """Raise one `parchunk.errors.UnsupportedError` that names all refused arrays, if any."""
    found = refusals(hierarchy)
    if found:
        raise UnsupportedArraysError(found)


def skip_refused(hierarchy: Hierarchy) -> Hierarchy:
    """Return the hierarchy without its refused arrays, which ``skipped`` names instead.

    Raises `InputError` when no array would be left.
    """
    found = refusals(hierarchy)
    names = {refusal.name for refusal in found}
    arrays = tuple(array for array in hierarchy.arrays if array.name not in names)
    if found and not arrays:
        raise InputError(
            f"--skip-unsupported leaves no array: {'; '.join(map(str, found[:8]))}"
            + (f"; and {len(found) - 8:,} more" if len(found) > 8 else "")
        )
    skipped = tuple((refusal.name, refusal.feature) for refusal in found)
    return replace(hierarchy, arrays=arrays, refused=(), skipped=hierarchy.skipped + skipped)


def convert_array(array: ArraySpec) -> JSONObject:
    """Return the v2 ``.zarray`` under which the array's references read back bit for bit.

    Raises `UnsupportedFeatureError` when there is none, or zarr-python cannot read it.
    """
    document = _keep_v2(array) if array.zarr_format == 2 else _convert_v3(array)
    require_readable(document)
    return document


def convert_attributes(array: ArraySpec) -> JSONObject:
    """Return the ``.zattrs``: the array's attributes and, when all are named, its dimensions.

    Names that the source does not give are not made up.
    """
    names = array.dimension_names
    if array.zarr_format == 2 or None in names:
        return array.attributes
    return {**array.attributes, DIMENSIONS: list(names)}


def kerchunk_metadata(
    hierarchy: Hierarchy, null_fill: Collection[str] = (), *, masks: bool = True
) -> dict[str, JSONObject]:
    """Return the ``metadata`` of ``OUT/.zmetadata``: one JSON object for every key.

    Every level has its ``.zgroup``, without which nested arrays cannot be opened. Empty
    attributes have no key. Raises `parchunk.errors.UnsupportedError` naming all refused arrays.

    ``null_fill`` names arrays whose fill value no reader needs, as none of their chunks is
    missing: where xarray would take it for a mask that the source has not, null stands for it
    (see `parchunk.metadata.mask`). Without ``masks`` fill values and attributes are the source's,
    for readers that can be told not to mask by fill value.
    """
    require_supported(hierarchy)
    if hierarchy.written_format == 3:
        return dual_metadata(hierarchy)
    metadata: dict[str, JSONObject] = {}
    for group in hierarchy.groups:
        _put_group(metadata, group)
    for array in hierarchy.arrays:
        document, attributes = convert_array(array), convert_attributes(array)
        if masks:
            whole = array.name in null_fill
            document, attributes = keep_mask(array, document, attributes, whole)
        metadata[f"{array.name}/.zarray"] = document
        if attributes:
            metadata[f"{array.name}/.zattrs"] = attributes
    return metadata


def _put_group(metadata: dict[str, JSONObject], group: GroupSpec) -> None:
    head = f"{group.name}/" if group.name else ""
    metadata[f"{head}.zgroup"] = {"zarr_format": 2}
    if group.attributes:
        metadata[f"{head}.zattrs"] = group.attributes


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
    array: ArraySpec, chunks: tuple[int, ...], codecs: tuple[Part, ...]
) -> JSONObject:
    """Return the ``.zarray`` of a v3 array whose references are of ``chunks`` stored by ``codecs``.

    For a plain array these are its own; for one whose shards are looked into they are the inner
    chunk shape and the inner codecs.
    """
    source = read_data_type(array.document["data_type"])
    pipeline = convert_pipeline(codecs, chunks, source)
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
