"""The group that is read: its own document, and the consolidated metadata that is of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from parchunk.errors import InputError, MetadataError
from parchunk.metadata.consolidated import (
    entries_below,
    inline_entries,
    parse_entries,
    zmetadata_entries,
)
from parchunk.metadata.discovery import V2_DOCUMENTS
from parchunk.metadata.document import parse_document
from parchunk.metadata.names import ancestors
from parchunk.metadata.nodes import Node, made_up_group, read_v2_node, read_v3_node
from parchunk.metadata.reader import NoMetadataError, Reader, RootIsArrayError
from parchunk.metadata.spec import JSONObject
from parchunk.stores.side_by_side import in_threads


@dataclass
class RootReader:
    """Reads ``group`` of a store; ``key`` as for `Discovery`.

    ``beside`` are the entries of a ``.zmetadata`` beside the ``zarr.json`` that counts.
    """

    reader: Reader
    group: str
    mode: str
    key: Callable[..., str]
    beside: JSONObject = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def own(self) -> Node | None:
        """Return the node of the group by its own document alone; None where that says none."""
        names = ("zarr.json", *V2_DOCUMENTS)
        keys = [self.key("", name) for name in names]
        found = dict(zip(names, in_threads(self.reader.get, keys), strict=True))
        v3 = found.pop("zarr.json")
        root = read_v2_node("", found) if v3 is None else read_v3_node("", v3)
        if root is None or root.is_array or root.problem is not None:
            return None
        root.document.pop("consolidated_metadata", None)
        return root

    def read(self) -> tuple[Node, JSONObject | None]:
        """Return the node of the group and its consolidated metadata, if it has any that counts."""
        names = ("zarr.json", ".zmetadata", *V2_DOCUMENTS)
        keys = [self.key("", name) for name in names]
        found = dict(zip(names, in_threads(self.reader.get, keys), strict=True))
        v3, zmetadata = found.pop("zarr.json"), found.pop(".zmetadata")
        consolidated: JSONObject | None = None
        root: Node | None
        if v3 is not None:
            root = read_v3_node("", v3)
            self._require_group(root)
            consolidated = self._inline_consolidated(
                root.document.pop("consolidated_metadata", None)
            )
            self.beside = {} if zmetadata is None else _tolerant(zmetadata, 2)
        else:
            root = read_v2_node("", found)
            if zmetadata is not None:
                root = root or made_up_group("", 2)
                self._require_group(root)
                url = self.reader.describe(self.key("", ".zmetadata"))
                consolidated = zmetadata_entries(zmetadata, url)
        if consolidated is None and self.group:
            root, consolidated = self._consolidated_above(root)
        if root is None:
            raise NoMetadataError(self.reader.describe(self.group), self.group)
        self._require_group(root)
        if self.mode == "only" and consolidated is None:
            raise InputError(
                f"--consolidated only: {self.reader.describe(self.group)} has no consolidated "
                "metadata: consolidate the store, or leave the option out; --probe implies it, "
                "but where SRC is one array"
            )
        return root, None if self.mode == "ignore" else consolidated

    def _require_group(self, root: Node) -> None:
        if root.is_array and root.problem is None:
            raise RootIsArrayError(self.reader.describe(self.group), self.group)
        if root.problem is not None:
            raise MetadataError(f"{self._document(root)} {root.problem}: repair the store")

    def _inline_consolidated(self, value: object) -> JSONObject | None:
        entries = inline_entries(value)
        if value is not None and entries is None:
            key = self.reader.describe(self.key("", "zarr.json"))
            self.warnings.append(
                f"{key}: its consolidated_metadata is not known: walking directories"
            )
        return entries

    def _consolidated_above(self, root: Node | None) -> tuple[Node | None, JSONObject | None]:
        """Return the group and its entries in the consolidated metadata of a group above it.

        The nearest counts. One that cannot be read is not what was asked for: passed over.
        """
        if root is not None and root.is_array:
            return root, None
        for above in reversed(ancestors([self.group])):
            last = (("zarr.json", 3), (".zmetadata", 2))
            keys = ["/".join(filter(None, (above, name))) for name, _ in last]
            documents = in_threads(self.reader.get, keys)
            for data, (_, zarr_format) in zip(documents, last, strict=True):
                if data is None or (root is not None and root.zarr_format != zarr_format):
                    continue
                name = self.group[len(above) :].strip("/")
                entries = entries_below(_tolerant(data, zarr_format), name, zarr_format)
                if entries:
                    listed = parse_entries(entries, zarr_format).get("")
                    return root or listed or made_up_group("", zarr_format), entries
        return root, None

    def _document(self, root: Node) -> str:
        last = "zarr.json" if root.zarr_format == 3 else ".zgroup"
        return self.reader.describe(self.key("", last))


def _tolerant(data: bytes, zarr_format: int) -> JSONObject:
    """Return the consolidated entries of a document that is not the one asked for; none if odd."""
    try:
        if zarr_format == 2:
            return zmetadata_entries(data, "")
        return inline_entries(parse_document(data).get("consolidated_metadata")) or {}
    except (InputError, MetadataError):
        return {}
