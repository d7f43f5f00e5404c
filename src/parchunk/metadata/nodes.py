"""Nodes: an array or a group as its documents, or a consolidated entry, say it is.

What is wrong with a document is kept with its node, so that a broken one can still be excluded by
name; `parse_array` and `parse_group` raise it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from parchunk.errors import MetadataError
from parchunk.metadata.document import (
    parse_attributes,
    parse_document,
    require_format,
    shorten,
)
from parchunk.metadata.spec import ArraySpec, GroupSpec, JSONObject, spelled_alike
from parchunk.metadata.v2 import parse_v2_array
from parchunk.metadata.v3 import parse_v3_array

#: Fields that say nothing where they are empty.
_OPTIONAL = frozenset({"attributes", "storage_transformers", "dimension_names"})


@dataclass(slots=True)
class Node:
    """An array or a group as found: its documents, or what is wrong with them."""

    name: str
    zarr_format: int
    is_array: bool
    document: JSONObject = field(default_factory=dict)
    attributes: JSONObject = field(default_factory=dict)
    problem: str | None = None
    #: Whether it has a document of its own, and is not implied by its members or listed elsewhere.
    documented: bool = False

    @property
    def may_be_group(self) -> bool:
        """Whether it is taken for an array only because its document does not say what it is."""
        return self.zarr_format == 3 and self.is_array and self.document.get("node_type") != "array"


def read_v3_node(name: str, data: bytes) -> Node:
    """Return the node of a ``zarr.json``."""
    try:
        node = v3_node(name, parse_document(data))
    except MetadataError as error:
        # it may be a group, but as an array it can be excluded by name
        node = Node(name, 3, True, problem=str(error))
    node.documented = True
    return node


def read_v2_node(name: str, found: Mapping[str, bytes | None]) -> Node | None:
    """Return the node of which ``found`` has the objects by their last segment, if there is one."""
    documents: dict[str, object] = {}
    for last, data in found.items():
        if data is None:
            continue
        if last == ".zattrs" and data.strip() == b"null":
            continue  # how some writers spell that there are none
        try:
            documents[last] = parse_document(data)
        except MetadataError as error:
            problem = f"has a .zattrs that {error}" if last == ".zattrs" else str(error)
            return Node(name, 2, found.get(".zarray") is not None, problem=problem)
    return v2_node(name, documents) if documents.keys() & {".zarray", ".zgroup"} else None


def v3_node(name: str, entry: object) -> Node:
    """Return the node of a parsed ``zarr.json``, or of what consolidated metadata has of it."""
    if not isinstance(entry, dict):
        return Node(name, 3, True, problem=f"is not a JSON object but {shorten(entry)}")
    # A copy where something is taken out of it: others may have the same.
    document = dict(entry) if "consolidated_metadata" in entry else entry
    node = Node(name, 3, entry.get("node_type") != "group", document=document)
    if entry.get("node_type") not in ("array", "group"):
        kind = shorten(entry.get("node_type"))
        node.problem = f"has a node_type that is neither 'array' nor 'group' but {kind}"
    if not node.is_array:
        if name:
            node.document.pop("consolidated_metadata", None)
        attributes = entry.get("attributes")
        # null is how some writers spell that there are none
        attributes = {} if attributes is None else attributes
        if isinstance(attributes, dict):
            node.attributes = attributes
        else:
            node.problem = f"has attributes that are not a JSON object but {shorten(attributes)}"
    return node


def v2_node(name: str, documents: dict[str, object]) -> Node:
    """Return the node of parsed documents by their last segment, one of them its own."""
    is_array = ".zarray" in documents
    document = documents[".zarray" if is_array else ".zgroup"]
    attributes = documents.get(".zattrs")
    attributes = {} if attributes is None else attributes
    node = Node(name, 2, is_array)
    if not isinstance(document, dict):
        node.problem = f"is not a JSON object but {shorten(document)}"
    elif not isinstance(attributes, dict):
        node.problem = f"has a .zattrs that is not a JSON object but {shorten(attributes)}"
    else:
        # zarr-python leaves this in the .zgroup documents that it consolidates
        if "consolidated_metadata" in document:
            document = {key: document[key] for key in document if key != "consolidated_metadata"}
        node.document, node.attributes = document, attributes
    return node


def made_up_group(name: str, zarr_format: int) -> Node:
    """Return a group that has no document: its members imply it."""
    if zarr_format == 3:
        return Node(name, 3, False, document={"zarr_format": 3, "node_type": "group"})
    return Node(name, 2, False, document={"zarr_format": 2})


def parse_array(node: Node) -> ArraySpec:
    """Return the array of a node.

    Raises
    ------
    MetadataError, UnsupportedFeatureError
        What is wrong with its document, or has no one chunk shape or no known chunk keys.
    """
    if node.problem is not None:
        raise MetadataError(node.problem)
    if node.zarr_format == 3:
        return parse_v3_array(node.name, node.document)
    return parse_v2_array(node.name, node.document, node.attributes)


def parse_group(node: Node) -> GroupSpec:
    """Return the group of a node.

    Raises
    ------
    MetadataError
        What is wrong with its document.
    """
    if node.problem is not None:
        raise MetadataError(node.problem)
    if node.is_array:
        raise MetadataError("is an array that holds other arrays")
    require_format(node.document, node.zarr_format)
    return GroupSpec(
        name=node.name,
        zarr_format=node.zarr_format,
        attributes=parse_attributes(node.attributes),
        document=node.document,
    )


def agree(one: Node, other: Node) -> bool:
    """Whether two copies of a node's documents say the same, harmless differences left out."""
    return spelled_alike(_parts(one), _parts(other)) or spelled_alike(
        _parts(one, _OPTIONAL), _parts(other, _OPTIONAL)
    )


def _parts(node: Node, optional: frozenset[str] = frozenset()) -> list[object]:
    document = node.document
    if optional:
        document = {key: value for key, value in document.items() if value or key not in optional}
    return [node.is_array, document, node.attributes, node.problem]
