"""The documents of ``.zmetadata``, as kerchunk's readers need them."""

from __future__ import annotations

from collections.abc import Collection

from parchunk.metadata.dual import dual_metadata
from parchunk.metadata.mask import keep_mask
from parchunk.metadata.refusals import require_supported
from parchunk.metadata.spec import GroupSpec, Hierarchy, JSONObject
from parchunk.metadata.to_v2 import convert_array, convert_attributes


def kerchunk_metadata(
    hierarchy: Hierarchy, null_fill: Collection[str] = (), *, masks: bool = True
) -> dict[str, JSONObject]:
    """Return the ``metadata`` of ``OUT/.zmetadata``: one JSON object for every key, by node.

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
    # zarr-python loses a group whose members do not follow each other among those of its depth.
    return {key: metadata[key] for key in sorted(metadata, key=_node)}


def _node(key: str) -> str:
    return key.rpartition("/")[0]


def _put_group(metadata: dict[str, JSONObject], group: GroupSpec) -> None:
    head = f"{group.name}/" if group.name else ""
    metadata[f"{head}.zgroup"] = {"zarr_format": 2}
    if group.attributes:
        metadata[f"{head}.zattrs"] = group.attributes
