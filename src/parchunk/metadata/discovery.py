"""Looking for arrays and groups by listing directories, level by level.

A directory is listed whole only when it is known to be a group, or when arrays were seen below it:
an array's may hold millions of chunks. One without a document of this hierarchy's format is looked
at by one page of keys first. Whatever is not taken in is named, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from parchunk.errors import MetadataError, UnreadableFolderError
from parchunk.metadata.folder_keys import (
    ARRAY_DOCUMENTS,
    example_chunk,
    folders_of,
    holds_documents,
)
from parchunk.metadata.nodes import Node, read_v2_node, read_v3_node
from parchunk.metadata.reader import Reader
from parchunk.stores.side_by_side import in_threads

MAX_LEVELS = 64
"""Groups within groups. More are taken for a circle of links."""

MOST_FOLDERS = 1000
"""Folders looked into below such as show no metadata."""

V2_DOCUMENTS = (".zarray", ".zgroup", ".zattrs")


@dataclass(frozen=True)
class LeftOut:
    """What is not taken in, and why. ``is_array``: that is known; else arrays may lie below it."""

    name: str
    reason: str
    is_array: bool


@dataclass
class _Seen:
    """One directory as it was looked at; ``barren``: neither it nor its first keys are of Zarr."""

    name: str
    node: Node | None = None
    left_out: LeftOut | None = None
    children: list[str] = field(default_factory=list)
    barren: bool = False


@dataclass
class Discovery:
    """Looks for the nodes of one hierarchy.

    ``key`` returns the store's key of a node's document (or of its directory), by its name and
    the document's; ``root_documented``: the root has its own document.
    ``left_out`` grows with each search.
    """

    reader: Reader
    key: Callable[..., str]
    zarr_format: int
    root_documented: bool = True
    left_out: list[LeftOut] = field(default_factory=list)
    #: The directories in each group that was listed.
    listed: dict[str, frozenset[str]] = field(default_factory=dict)
    _barren: int = 0

    def below(self, groups: Sequence[str], known: Collection[str]) -> dict[str, Node]:
        """Return the nodes in and below ``groups`` by name, but for those that are ``known``.

        What is known is not entered: groups among it are to be in ``groups`` themselves.

        Raises
        ------
        ShortListingError
            When a listing lacks what is there.
        MetadataError
            When there is no end of groups within groups.
        """
        nodes: dict[str, Node] = {}
        found = in_threads(self._children_of_known, groups)
        level = [child for children in found for child in children if child not in known]
        for _ in range(MAX_LEVELS):
            if not level:
                return nodes
            seen: list[_Seen] = in_threads(self._look_at, level)
            level = []
            for one in seen:
                if one.node is not None:
                    nodes[one.name] = one.node
                if one.left_out is not None:
                    self.left_out.append(one.left_out)
                level += [child for child in self._allowed(one) if child not in known]
        if not level:
            return nodes
        where = self.reader.describe(self.key(level[0]))
        raise MetadataError(f"{where} lies more than {MAX_LEVELS} groups deep: check for links")

    def visit(self, name: str) -> Node | None:
        """Return the node that ``name``'s own documents say it is, in the hierarchy's format."""
        return self._visit(name, self.zarr_format)

    def _visit(self, name: str, zarr_format: int) -> Node | None:
        if zarr_format == 3:
            data = self.reader.get(self.key(name, "zarr.json"))
            if data is None:
                return None
            node = read_v3_node(name, data)
            node.document.pop("consolidated_metadata", None)
            return node
        found: dict[str, bytes | None] = {}
        for last in V2_DOCUMENTS:
            found[last] = self.reader.get(self.key(name, last))
            if last == ".zarray" and found[last] is not None:
                found[".zattrs"] = self.reader.get(self.key(name, ".zattrs"))
                break
        return read_v2_node(name, found)

    def _look_at(self, name: str) -> _Seen:
        node = self.visit(name)
        if node is not None:
            # into a broken group too: it counts as soon as an array below it does
            children = [] if node.is_array else self._children(name, documented=True)
            return _Seen(name, node, children=children)
        other = 5 - self.zarr_format
        foreign = self._visit(name, other)
        if foreign is None:
            return self._look_into(name)
        if not foreign.is_array:
            # as a folder: what is of this hierarchy's format below it still counts
            return _Seen(name, children=self._children(name))
        reason = (
            f"it is a Zarr v{other} array in a Zarr v{self.zarr_format} group, which readers of "
            f"the group do not see: give {self.reader.describe(self.key(name))} as SRC to "
            "reference it"
        )
        return _Seen(name, left_out=LeftOut(name, reason, True))

    def _look_into(self, name: str) -> _Seen:
        """Look at a folder without a document by its first keys; enter it if that may pay."""
        try:
            keys, whole = self.reader.first_keys(self.key(name))
        except UnreadableFolderError as error:
            return self._not_entered(name, f"it has no metadata, and {error}")
        own = sorted(ARRAY_DOCUMENTS & {*keys})
        if own:
            why = (
                f"its {own[0]} is listed, and is not there to be read: it was deleted since, or "
                "its name is another"
            )
            if own == [".zarray"]:
                return _Seen(name, left_out=LeftOut(name, why, True))
            return self._not_entered(name, why)
        documents = holds_documents(keys)
        if name.rpartition("/")[2].startswith("."):
            if whole and not documents:
                return _Seen(name)
            return self._not_entered(name, "folders whose name begins with a dot are not entered")
        if documents:
            return _Seen(name, children=self._children(name))
        if not whole and self._is_above_a_node(name, keys):
            return _Seen(name, children=self._children(name))
        example = example_chunk(keys)
        if example is not None:
            document = "zarr.json" if self.zarr_format == 3 else ".zarray"
            reason = (
                f"it has no {document}, though it holds what looks like chunks of an array "
                f"({self.reader.describe(self.key(name, example))}), so it was not walked: "
                f"restore the {document}"
            )
            return _Seen(name, left_out=LeftOut(name, reason, True))
        if whole:
            return _Seen(name)
        if not any("/" in key for key in keys):
            return self._not_entered(
                name, f"none of the first {len(keys):,} objects in it is Zarr metadata"
            )
        return _Seen(name, children=self._children(name), barren=True)

    def _is_above_a_node(self, name: str, keys: Sequence[str]) -> bool:
        """Whether a folder of those above the first and the last of ``keys`` is a node.

        A v3 array's document comes after its chunks, so a page of keys may not reach it.
        """
        return any(
            self._visit(f"{name}/{folder}", zarr_format) is not None
            for folder in folders_of(keys)
            for zarr_format in (self.zarr_format, 5 - self.zarr_format)
        )

    def _not_entered(self, name: str, why: str) -> _Seen:
        reason = f"{why}: arrays below it, if any, are not looked for"
        return _Seen(name, left_out=LeftOut(name, reason, False))

    def _allowed(self, seen: _Seen) -> list[str]:
        """Return the children that are looked at: a bound on what shows no metadata."""
        if not seen.barren:
            return seen.children
        if self._barren + len(seen.children) > MOST_FOLDERS:
            why = f"no more than {MOST_FOLDERS:,} folders are looked into that show no metadata"
            self.left_out += filter(None, [self._not_entered(seen.name, why).left_out])
            return []
        self._barren += len(seen.children)
        return seen.children

    def _children_of_known(self, name: str) -> list[str]:
        return self._children(name, documented=not name and self.root_documented)

    def _children(self, name: str, documented: bool = False) -> list[str]:
        directories, objects = self.reader.list_dir(self.key(name))
        if documented and self.zarr_format == 3 and "zarr.json" not in objects:
            # Near the end of any listing, so that its absence tells of one that was cut.
            raise self.reader.short_listing(self.key(name), "zarr.json")
        self.listed[name] = frozenset(directories)
        return [f"{name}/{child}" if name else child for child in sorted(directories)]
