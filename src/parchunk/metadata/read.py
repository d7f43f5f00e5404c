"""Reading a hierarchy: which documents there are, which of them count, and what they say.

v3's ``zarr.json`` is looked for before v2's ``.zmetadata``, ``.zarray`` and ``.zgroup``. With
consolidated metadata the names come from there, and each node's own document is still read, side
by side: where they disagree the node's own one counts. Without, directories are walked, level by
level. A directory is listed only when it is known to be no array, as an array's may hold millions
of chunks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeVar

from parchunk.errors import InputError, MetadataError
from parchunk.metadata.document import (
    parse_document,
    shorten,
)
from parchunk.metadata.names import name_problem
from parchunk.metadata.nodes import (
    Node,
    agreed,
    made_up_group,
    parse_array,
    parse_group,
    read_v2_node,
    read_v3_node,
    v2_node,
    v3_node,
)
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spec import (
    ArraySpec,
    GroupSpec,
    Hierarchy,
    JSONObject,
    Refusal,
)

CONCURRENCY = 16
"""Documents read side by side."""

MAX_LEVELS = 64
"""Groups within groups. More are taken for a circle of links."""

_V2_DOCUMENTS = (".zarray", ".zgroup", ".zattrs")

_T = TypeVar("_T")
_U = TypeVar("_U")


class Reader(Protocol):
    """The least that reading metadata asks of a store. Called from several threads at once.

    Keys are relative to the store's root, without a leading or trailing slash; the root itself
    is ``""``. A store that cannot be reached raises `parchunk.errors.SourceError`.
    """

    def get(self, key: str) -> bytes | None:
        """Return the whole object at ``key``, or None when there is none."""

    def list_dir(self, prefix: str) -> tuple[list[str], list[str]]:
        """Return the names (not keys) of the directories and of the objects in ``prefix``.

        ``"air"`` is the directory of ``air/x`` but not of ``air_temp/x``.
        """

    def describe(self, key: str = "") -> str:
        """Return the URL of ``key`` (of the root, when empty), for messages."""


class RootIsArrayError(InputError):
    """What was to be read as a group is an array; ``group`` is its path ("" for the root).

    Read its parent instead: `read_array` takes one array by name, whether or not the directory
    that holds it is a group.
    """

    def __init__(self, url: str, group: str) -> None:
        """Report the array at ``url``, which is ``group`` of the reader's store."""
        super().__init__(f"{url} is an array, not a group: read its parent with --include")
        self.url = url
        self.group = group

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments: an exception's default is its message."""
        return type(self), (self.url, self.group)


def read_hierarchy(
    reader: Reader,
    group: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Hierarchy:
    """Return the arrays below ``group`` that are wanted, and the groups above them.

    ``include`` and ``exclude`` are globs over array names relative to ``group``, told apart by
    case; ``*`` also matches ``/``. A glob that matches no array is an `InputError`. What they
    leave out is not parsed, so that a broken array can be excluded.

    Raises `RootIsArrayError` when ``group`` is an array, `InputError` when there is no metadata,
    and `MetadataError` that names every broken array in one line.
    """
    return _Walk(reader, group).read(tuple(include), tuple(exclude))


def read_array(reader: Reader, name: str) -> Hierarchy:
    """Return the hierarchy of one array, whose parents need not be groups.

    For a source that is a lone array: its parent directory is the root, and ``name`` the array's
    directory in it. Groups without a document of their own are made up.
    """
    return _Walk(reader, "").read_one(name)


def read_known(reader: Reader, group: str, names: Sequence[str]) -> Hierarchy:
    """Return the hierarchy of arrays whose names are known, as `read_hierarchy` would now.

    No directory is listed: arrays that have come since are not seen. Those that have gone are
    left out.
    """
    return _Walk(reader, group).read_known(names)


class _Walk:
    def __init__(self, reader: Reader, group: str) -> None:
        self.reader = reader
        self.group = group.strip("/")
        problem = name_problem(self.group) if self.group else None
        if problem:
            raise InputError(f"group {shorten(group)} cannot be read: {problem}: check --group")
        self.warnings: list[str] = []

    def read(self, include: tuple[str, ...], exclude: tuple[str, ...]) -> Hierarchy:
        root, consolidated = self._read_root()
        if consolidated is None:
            nodes = self._walk(root)
        else:
            nodes = {**self._parse_consolidated(consolidated, root.zarr_format), "": root}
        arrays = sorted(name for name, node in nodes.items() if node.is_array)
        wanted = self._select(arrays, include, exclude)
        inside = _arrays_inside_arrays(wanted, frozenset(arrays))
        unusable = {name: name_problem(name) or inside.get(name) for name in wanted}
        usable = [name for name in wanted if not unusable[name]]
        kept = usable + [name for name in _ancestors(usable) if name]
        if consolidated is not None:
            self._prefer_own_documents(nodes, kept, root.zarr_format)
        return self._parse(nodes, root, wanted, unusable)

    def read_known(self, names: Sequence[str]) -> Hierarchy:
        root, consolidated = self._read_root()
        nodes = (
            {} if consolidated is None else self._parse_consolidated(consolidated, root.zarr_format)
        )
        nodes[""] = root
        kept = [*names, *(name for name in _ancestors(names) if name)]
        if consolidated is None:
            visit = self._visit_v3 if root.zarr_format == 3 else self._visit_v2
            found = zip(kept, self._side_by_side(visit, kept), strict=True)
            nodes.update((name, node) for name, node in found if node is not None)
        else:
            self._prefer_own_documents(nodes, kept, root.zarr_format)
        there = [name for name in names if name in nodes and nodes[name].is_array]
        return self._parse(nodes, root, there, {})

    def read_one(self, name: str) -> Hierarchy:
        problem = name_problem(name)
        if problem:
            raise InputError(f"array {shorten(name)} cannot be read: {problem}")
        names = [name, *_ancestors([name])]
        for visit in (self._visit_v3, self._visit_v2):
            found = dict(zip(names, self._side_by_side(visit, names), strict=True))
            array = found[name]
            if array is not None and array.is_array:
                nodes = {name: node for name, node in found.items() if node is not None}
                root = nodes.get("") or made_up_group("", array.zarr_format)
                return self._parse(nodes, root, [name], {})
        raise InputError(self._no_metadata(name))

    # Finding nodes

    def _read_root(self) -> tuple[Node, JSONObject | None]:
        """Return the node of the group and its consolidated metadata, if it has any."""
        names = ("zarr.json", ".zmetadata", *_V2_DOCUMENTS)
        keys = [self._key("", name) for name in names]
        found = dict(zip(names, self._side_by_side(self.reader.get, keys), strict=True))
        v3, zmetadata = found.pop("zarr.json"), found.pop(".zmetadata")
        if v3 is not None:
            root = read_v3_node("", v3)
            self._require_group(root)
            return root, self._inline_consolidated(root.document.pop("consolidated_metadata", None))
        group = read_v2_node("", found)
        if group is None and zmetadata is None:
            raise InputError(self._no_metadata(""))
        group = group or made_up_group("", 2)
        self._require_group(group)
        return group, None if zmetadata is None else self._read_zmetadata(zmetadata)

    def _require_group(self, root: Node) -> None:
        if root.is_array and root.problem is None:
            raise RootIsArrayError(self.reader.describe(self.group), self.group)
        if root.problem is not None:
            raise MetadataError(f"{self._describe_document(root)} {root.problem}: repair the store")

    def _no_metadata(self, name: str) -> str:
        where = self.reader.describe(self._key(name))
        return (
            f"no Zarr metadata (zarr.json, .zgroup, .zarray or .zmetadata) at {where}: "
            "check the path, --group, and the permission to read it"
        )

    def _inline_consolidated(self, value: object) -> JSONObject | None:
        if value is None:
            return None
        if (
            isinstance(value, dict)
            and value.get("kind", "inline") == "inline"
            and isinstance(value.get("metadata"), dict)
        ):
            entries: JSONObject = value["metadata"]
            return entries
        key = self.reader.describe(self._key("", "zarr.json"))
        self.warnings.append(f"{key}: its consolidated_metadata is not known: walking directories")
        return None

    def _read_zmetadata(self, data: bytes) -> JSONObject:
        key = self.reader.describe(self._key("", ".zmetadata"))
        try:
            document = parse_document(data)
        except MetadataError as error:
            raise MetadataError(f"{key} {error}: consolidate the store again") from None
        if "record_size" in document:
            raise InputError(
                f"{key} is of kerchunk references, not of a Zarr store: check the path"
            )
        entries = document.get("metadata")
        if not isinstance(entries, dict):
            raise MetadataError(f"{key} has no 'metadata' object: consolidate the store again")
        return entries

    def _parse_consolidated(self, entries: JSONObject, zarr_format: int) -> dict[str, Node]:
        if zarr_format == 3:
            return {name: v3_node(name, entry) for name, entry in entries.items()}
        found: dict[str, dict[str, object]] = {}
        for key, entry in entries.items():
            name, _, last = key.rpartition("/")
            # "/.zgroup" is of no node, ".zgroup" is of the root
            if last in {".zarray", ".zattrs", ".zgroup"} and (name or "/" not in key):
                found.setdefault(name, {})[last] = entry
        return {
            name: v2_node(name, documents)
            for name, documents in found.items()
            if documents.keys() & {".zarray", ".zgroup"}
        }

    def _walk(self, root: Node) -> dict[str, Node]:
        visit = self._visit_v3 if root.zarr_format == 3 else self._visit_v2
        nodes = {"": root}
        level = self._children("")
        for _ in range(MAX_LEVELS):
            found = self._side_by_side(functools.partial(self._visit_below, visit), level)
            nodes.update((node.name, node) for node in found if node is not None)
            level = [child for node in found if node is not None for child in node.children]
            if not level:
                return nodes
        where = self.reader.describe(self._key(level[0]))
        raise MetadataError(f"{where} lies more than {MAX_LEVELS} groups deep: check for links")

    def _visit_below(self, visit: Callable[[str], Node | None], name: str) -> Node | None:
        node = visit(name)
        if node is None:
            # v2 lets members imply a group; v3 does not. Hidden directories are not of Zarr.
            hidden = name.rpartition("/")[2].startswith(".")
            if visit == self._visit_v3 or hidden:
                return None
            node = made_up_group(name, 2)
        if not node.is_array:
            # of a broken group too: it counts as soon as an array below it does
            node.children = self._children(name)
        return node

    def _children(self, name: str) -> list[str]:
        directories, _ = self.reader.list_dir(self._key(name))
        return [f"{name}/{child}" if name else child for child in sorted(directories)]

    def _visit_v3(self, name: str) -> Node | None:
        data = self.reader.get(self._key(name, "zarr.json"))
        if data is None:
            return None
        node = read_v3_node(name, data)
        node.document.pop("consolidated_metadata", None)
        return node

    def _visit_v2(self, name: str) -> Node | None:
        found: dict[str, bytes | None] = {}
        for last in _V2_DOCUMENTS:
            found[last] = self.reader.get(self._key(name, last))
            if last == ".zarray" and found[last] is not None:
                found[".zattrs"] = self.reader.get(self._key(name, ".zattrs"))
                break
        return read_v2_node(name, found)

    def _prefer_own_documents(
        self, nodes: dict[str, Node], names: Sequence[str], zarr_format: int
    ) -> None:
        visit = self._visit_v3 if zarr_format == 3 else self._visit_v2
        for name, own in zip(names, self._side_by_side(visit, names), strict=True):
            listed = nodes.get(name)
            kind = "array" if listed is not None and listed.is_array else "group"
            if own is None:
                if listed is not None:
                    self.warnings.append(
                        f"{kind} {name!r} is in the consolidated metadata only: used as it is there"
                    )
                continue
            if listed is not None and agreed(own) != agreed(listed):
                self.warnings.append(
                    f"{kind} {name!r}: the consolidated metadata disagrees with its own, "
                    "which counts: consolidate the store again"
                )
            if listed is not None and listed.is_array and not own.is_array:
                own.problem = (
                    own.problem or "is a group, but the consolidated metadata has an array"
                )
                own.is_array = True
            nodes[name] = own

    # Choosing and parsing

    def _select(
        self, arrays: Sequence[str], include: tuple[str, ...], exclude: tuple[str, ...]
    ) -> list[str]:
        where = self.reader.describe(self.group)
        if not arrays:
            raise InputError(f"no arrays in the Zarr group {where}: check the path and --group")
        for option, globs in (("--include", include), ("--exclude", exclude)):
            for glob in globs:
                if not any(fnmatchcase(name, glob) for name in arrays):
                    raise InputError(
                        f"{option} {shorten(glob)} matches no array of {where}: "
                        f"there are {_some(arrays)}"
                    )
        wanted = [
            name
            for name in arrays
            if (not include or any(fnmatchcase(name, glob) for glob in include))
            and not any(fnmatchcase(name, glob) for glob in exclude)
        ]
        if not wanted:
            raise InputError(f"--include and --exclude leave no array of {where}: widen them")
        return wanted

    def _parse(
        self,
        nodes: dict[str, Node],
        root: Node,
        wanted: Sequence[str],
        unusable: dict[str, str | None],
    ) -> Hierarchy:
        problems: list[tuple[str, str]] = []
        arrays: list[ArraySpec] = []
        refused: list[Refusal] = []
        for name in wanted:
            problem = unusable.get(name)
            if problem:
                problems.append((f"array {shorten(name, 300)}", problem))
                continue
            node = nodes[name]
            try:
                arrays.append(parse_array(node))
            except UnsupportedFeatureError as error:
                refused.append(error.of(name))
            except MetadataError as error:
                problems.append((self._describe_document(node), str(error)))
        groups: list[GroupSpec] = []
        used = [spec.name for spec in arrays] + [refusal.name for refusal in refused]
        for name in _ancestors(used):
            node = root if not name else nodes.get(name) or made_up_group(name, root.zarr_format)
            try:
                groups.append(parse_group(node))
            except MetadataError as error:
                problems.append((self._describe_document(node), str(error)))
        if problems:
            raise MetadataError(_broken_message(problems))
        return Hierarchy(
            arrays=tuple(arrays),
            groups=tuple(groups),
            refused=tuple(refused),
            warnings=tuple(self.warnings),
        )

    # Keys

    def _key(self, name: str, last: str = "") -> str:
        return "/".join(part for part in (self.group, name, last) if part)

    def _describe_document(self, node: Node) -> str:
        last = "zarr.json" if node.zarr_format == 3 else ".zarray" if node.is_array else ".zgroup"
        return self.reader.describe(self._key(node.name, last))

    def _side_by_side(self, function: Callable[[_T], _U], items: Iterable[_T]) -> list[_U]:
        todo = list(items)
        if len(todo) < 2:
            return [function(item) for item in todo]
        with ThreadPoolExecutor(min(CONCURRENCY, len(todo))) as pool:
            return list(pool.map(function, todo))


def _ancestors(names: Iterable[str]) -> list[str]:
    """Return the root and every group above ``names``, in order."""
    found = {""}
    for name in names:
        segments = name.split("/")
        found.update("/".join(segments[:length]) for length in range(1, len(segments)))
    return sorted(found)


def _arrays_inside_arrays(wanted: Iterable[str], arrays: frozenset[str]) -> dict[str, str]:
    """Return the arrays that lie below another: only consolidated metadata can claim that."""
    inside = {}
    for name in wanted:
        for above in _ancestors([name]):
            if above in arrays:
                inside[name] = f"it lies inside the array {shorten(above)}"
    return inside


def _broken_message(problems: Sequence[tuple[str, str]]) -> str:
    if len(problems) == 1:
        where, reason = problems[0]
        return f"{where}: {reason}: repair the store, or leave it out with --exclude"
    listed = "; ".join(f"{where}: {reason}" for where, reason in problems)
    return (
        f"{len(problems)} nodes cannot be read: {listed}: repair the store, or leave them out with "
        "--exclude"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(shorten(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8:,} more"
