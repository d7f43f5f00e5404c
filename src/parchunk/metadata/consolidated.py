"""Consolidated metadata: the entries of a ``zarr.json`` or ``.zmetadata``, as nodes."""

from __future__ import annotations

import sys

from parchunk.errors import InputError, MetadataError
from parchunk.metadata.document import parse_document
from parchunk.metadata.nodes import Node, v2_node, v3_node
from parchunk.metadata.spec import JSONObject

MODES = ("auto", "only", "ignore")
"""Whether its names are completed by listing directories, are all there is, or do not count."""


def inline_entries(value: object) -> JSONObject | None:
    """Return the entries of a ``zarr.json``'s ``consolidated_metadata``; None: of unknown kind."""
    if (
        isinstance(value, dict)
        and value.get("kind", "inline") == "inline"
        and isinstance(value.get("metadata"), dict)
    ):
        entries: JSONObject = value["metadata"]
        return entries
    return None


def zmetadata_entries(data: bytes, url: str) -> JSONObject:
    """Return the entries of the ``.zmetadata`` at ``url``.

    Raises
    ------
    MetadataError, InputError
        When it is broken; when it is of kerchunk references.
    """
    try:
        document = parse_document(data)
    except MetadataError as error:
        raise MetadataError(f"{url} {error}: consolidate the store again") from None
    if "record_size" in document:
        raise InputError(f"{url} is of kerchunk references, not of a Zarr store: check the path")
    entries = document.get("metadata")
    if not isinstance(entries, dict):
        raise MetadataError(f"{url} has no 'metadata' object: consolidate the store again")
    return entries


def parse_entries(entries: JSONObject, zarr_format: int) -> dict[str, Node]:
    """Return the nodes of consolidated entries by name; the root's own, if there, is ``""``."""
    if zarr_format == 3:
        return {name: v3_node(name, entry) for name, entry in entries.items()}
    found: dict[str, dict[str, object]] = {}
    for key, entry in entries.items():
        name, _, last = key.rpartition("/")
        # "/.zgroup" is of no node, ".zgroup" is of the root
        if last in {".zarray", ".zattrs", ".zgroup"} and (name or "/" not in key):
            found.setdefault(name, {})[sys.intern(last)] = entry
    nodes = {}
    for name in list(found):
        documents = found.pop(name)  # of very many arrays they take as much as the nodes
        if documents.keys() & {".zarray", ".zgroup"}:
            nodes[name] = v2_node(name, documents)
    return nodes


def entries_below(entries: JSONObject, group: str, zarr_format: int) -> JSONObject:
    """Return the entries of ``group`` and of what lies in it, named from there."""
    below = {
        key[len(group) + 1 :]: entry
        for key, entry in entries.items()
        if key.split("/")[: group.count("/") + 1] == group.split("/") and key != group
    }
    if zarr_format == 3 and group in entries:
        below[""] = entries[group]
    return below
