"""Nodes of hierarchies, and what is looked at of them."""

from typing import Any

GROUP3 = {"zarr_format": 3, "node_type": "group"}


GROUP2 = {"zarr_format": 2}


def names(hierarchy: Any) -> list[str]:
    return [array.name for array in hierarchy.arrays]
