"""Dual metadata: v3 arrays kept as v3 in a kerchunk store, for what v2 cannot express.

fsspec finds the record file of a chunk by the ``.zarray`` beside it and by v2 keys with ``.``;
zarr-python opens what the ``zarr.json`` says. So each array has both: its own ``zarr.json`` with
only the chunk key encoding replaced, and a ``.zarray`` that counts chunks. A ``.zgroup`` at the
root would make readers take the store for v2, so there is none: zarr-python 3 is the only reader.
"""

from __future__ import annotations

from parchunk.metadata.readable import require_readable
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.shards import shard_layout
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy, JSONObject
from parchunk.metadata.spelling_v3 import spell_v3


def keep_v3(array: ArraySpec) -> JSONObject:
    """Return the ``zarr.json`` under which the array's references read back bit for bit.

    Raises `UnsupportedFeatureError` for a v2 array, for shards that cannot be expanded, and for
    what zarr-python cannot read.
    """
    if array.zarr_format != 3:
        raise UnsupportedFeatureError(
            "a Zarr v2 array among references in Zarr v3",
            "leave out --format v3 and --shards whole",
        )
    document = spell_v3(array)
    document["chunk_key_encoding"] = {"name": "v2", "configuration": {"separator": "."}}
    if array.inner_chunks is not None:
        document["codecs"] = document["codecs"][0]["configuration"]["codecs"]
        document["chunk_grid"] = {
            "name": "regular",
            "configuration": {"chunk_shape": list(shard_layout(array).inner_chunks)},
        }
    require_readable(document)
    return document


def dual_metadata(hierarchy: Hierarchy) -> dict[str, JSONObject]:
    """Return the ``metadata`` of ``OUT/.zmetadata`` for references in Zarr v3."""
    members: dict[str, JSONObject] = {}
    metadata: dict[str, JSONObject] = {}
    root, *groups = hierarchy.groups
    for group in groups:
        members[group.name] = _group_document(group)
    for array in hierarchy.arrays:
        members[array.name] = keep_v3(array)
        metadata[f"{array.name}/.zarray"] = _counting(array)
    # zarr-python loses a group whose members do not follow each other among those of its depth.
    members = dict(sorted(members.items()))
    for name, document in members.items():
        metadata[f"{name}/zarr.json"] = document
    # Inline, because fsspec does not list what lies below a group that has no .zgroup.
    consolidated = {"kind": "inline", "must_understand": False, "metadata": members}
    metadata["zarr.json"] = {**_group_document(root), "consolidated_metadata": consolidated}
    return metadata


def _group_document(group: GroupSpec) -> JSONObject:
    return {"zarr_format": 3, "node_type": "group", "attributes": group.attributes}


def _counting(array: ArraySpec) -> JSONObject:
    """Return the ``.zarray`` by which fsspec counts chunks; nothing is decoded by it."""
    return {
        "zarr_format": 2,
        "shape": list(array.shape),
        "chunks": list(array.reference_chunks),
        "dtype": "|u1",
        "order": "C",
        "fill_value": None,
        "filters": None,
        "compressor": None,
        "dimension_separator": ".",
    }
