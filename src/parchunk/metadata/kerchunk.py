"""The documents of ``.zmetadata``, as kerchunk's readers need them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from parchunk.metadata.dual import dual_metadata
from parchunk.metadata.mask import keep_mask
from parchunk.metadata.refusals import require_supported
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy, JSONObject
from parchunk.metadata.to_v2 import convert_array, convert_attributes


def kerchunk_metadata(
    hierarchy: Hierarchy, null_fill: Collection[str] = (), *, masks: bool = True
) -> dict[str, JSONObject]:
    """Return the ``metadata`` of ``OUT/.zmetadata``, as `kerchunk_entries` yields it."""
    return dict(kerchunk_entries(hierarchy, null_fill, masks=masks))


def kerchunk_entries(
    hierarchy: Hierarchy, null_fill: Collection[str] = (), *, masks: bool = True
) -> Iterator[tuple[str, JSONObject]]:
    """Yield the ``metadata`` of ``OUT/.zmetadata``: a JSON object for every key, by node.

    Every level has its ``.zgroup``, without which nested arrays cannot be opened. Empty
    attributes have no key. Raises `parchunk.errors.UnsupportedError` naming all refused arrays.

    ``null_fill`` names arrays whose fill value no reader needs, as none of their chunks is
    missing: where xarray would take it for a mask that the source has not, null stands for it
    (see `parchunk.metadata.mask`). Without ``masks`` fill values and attributes are the source's,
    for readers that can be told not to mask by fill value.
    """
    require_supported(hierarchy)
    if hierarchy.written_format == 3:
        yield from dual_metadata(hierarchy).items()
        return
    # zarr-python loses a group whose members do not follow each other among those of its depth.
    nodes: list[GroupSpec | ArraySpec] = [*hierarchy.groups, *hierarchy.arrays]
    for node in sorted(nodes, key=lambda node: node.name):
        head = f"{node.name}/" if node.name else ""
        if isinstance(node, GroupSpec):
            attributes = node.attributes
            yield f"{head}.zgroup", {"zarr_format": 2}
        else:
            document, attributes = convert_array(node), convert_attributes(node)
            if masks:
                whole = node.name in null_fill
                document, attributes = keep_mask(node, document, attributes, whole)
            yield f"{head}.zarray", document
        if attributes:
            yield f"{head}.zattrs", attributes
