"""Reading a hierarchy: which documents there are, which of them count, and what they say.

v3's ``zarr.json`` is looked for before v2's ``.zmetadata``, ``.zarray`` and ``.zgroup``. With
consolidated metadata the names come from there, and each node's own document is still read, side
by side: where they disagree the node's own one counts. What came since is found by listing the
groups, unless ``consolidated`` says otherwise. Without consolidated metadata, directories are
walked, level by level: see `parchunk.metadata.discovery`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from parchunk.errors import InputError, MetadataError, ShortListingError, SourceError
from parchunk.metadata.broken import Broken
from parchunk.metadata.choosing import is_named, select, some_of
from parchunk.metadata.consolidated import MODES, parse_entries
from parchunk.metadata.discovery import Discovery, LeftOut
from parchunk.metadata.document import shorten
from parchunk.metadata.names import ancestors, name_problem, path_problem, version_problem
from parchunk.metadata.nodes import Node, agree, made_up_group, parse_array, parse_group
from parchunk.metadata.oddities import oddities
from parchunk.metadata.own_documents import MANY, nodes_of_known
from parchunk.metadata.reader import NoMetadataError, Reader
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.root_node import RootReader
from parchunk.metadata.spec import (
    ArraySpec,
    GroupSpec,
    Hierarchy,
    JSONObject,
    Refusal,
)
from parchunk.metadata.stale import disagreements, without_own
from parchunk.stores.side_by_side import in_threads

TRIES = 4
"""Readings of a hierarchy whose listings lack what is there, before giving up."""


def read_hierarchy(
    reader: Reader,
    group: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    consolidated: str = "auto",
    matched: set[str] | None = None,
    refuse_broken: bool = False,
) -> Hierarchy:
    """Return the arrays below ``group`` that are wanted, and the groups above them.

    ``include`` and ``exclude`` are globs over array names relative to ``group``, told apart by
    case; ``*`` also matches ``/``. A glob that matches no array is an `InputError`, unless those
    that do are to be put into ``matched``: one that a plan remembers need not match for ever. What
    they leave out is not parsed, so that a broken array can be excluded.

    ``consolidated`` is ``auto`` (its names, and what listing the groups finds besides), ``only``
    (no directory is listed) or ``ignore`` (as though there were none). What is wanted and still
    not taken in is named in ``left_out``.

    With ``refuse_broken``, arrays whose metadata is broken are among the ``refused``.

    Raises `RootIsArrayError` when ``group`` is an array, `InputError` when there is no metadata,
    and `MetadataError` that names every broken array in one line.
    """
    for attempt in range(1, TRIES + 1):
        try:
            walk = _Walk(reader, group, consolidated, refuse_broken)
            return walk.read(tuple(include), tuple(exclude), matched)
        except ShortListingError:
            if attempt == TRIES:
                raise
    raise AssertionError("unreachable")


def read_array(reader: Reader, name: str) -> Hierarchy:
    """Return the hierarchy of one array, whose parents need not be groups.

    For a source that is a lone array: its parent directory is the root, and ``name`` the array's
    directory in it. Groups without a document of their own are made up.
    """
    return _Walk(reader, "").read_one(name)


def read_known(
    reader: Reader,
    group: str,
    names: Sequence[str],
    consolidated: str = "auto",
    refuse_broken: bool = False,
) -> Hierarchy:
    """Return the hierarchy of arrays whose names are known, as `read_hierarchy` would now.

    No directory is listed: arrays that have come since are not seen. Those that have gone are
    left out. Of very many, consolidated metadata is asked for only where some have no documents of
    their own, or it is to count for more than in ``auto``.
    """
    return _Walk(reader, group, consolidated, refuse_broken).read_known(names)


class _Walk:
    def __init__(
        self,
        reader: Reader,
        group: str,
        consolidated: str = "auto",
        refuse_broken: bool = False,
    ) -> None:
        self.reader = reader
        self.refuse_broken = refuse_broken
        self.group = group.strip("/")
        problem = self.group and (path_problem(self.group) or version_problem(self.group))
        if problem:
            raise InputError(
                f"group {shorten(self.group)} cannot be read: {problem}: check --group"
            )
        if consolidated not in MODES:
            raise InputError(f"--consolidated {consolidated}: give auto, only or ignore")
        self.mode = consolidated
        self.warnings: list[str] = []
        self.absent: list[str] = []
        self.beside: JSONObject = {}

    def read(
        self, include: tuple[str, ...], exclude: tuple[str, ...], matched: set[str] | None
    ) -> Hierarchy:
        root, consolidated = self._root()
        look = self._discovery(root)
        came: set[str] = set()
        if consolidated is None:
            nodes = {**look.below([""], ()), "": root}
            self._say_what_has_no_document(nodes)
        else:
            nodes = consolidated
            nodes[""] = root
            came = self._complete(nodes, look)
        arrays = sorted(name for name, node in nodes.items() if node.is_array)
        left_out = look.left_out + self._in_other_format(nodes, look.left_out)
        where = self.reader.describe(self.group)
        wanted = select(where, arrays, left_out, include, exclude, matched)
        self._say_what_came(came.intersection((*wanted, *ancestors(wanted))), nodes)
        inside = _arrays_inside_arrays(wanted, frozenset(arrays))
        unusable = {name: name_problem(name) or inside.get(name) for name in wanted}
        usable = [name for name in wanted if not unusable[name]]
        kept = usable + [name for name in ancestors(usable) if name]
        if consolidated is not None:
            own = self._prefer_own_documents(nodes, [n for n in kept if n not in came], look)
            self._check_listed(look, own)
        left_out = [one for one in left_out if is_named(one, include, exclude)]
        return self._parse(nodes, root, wanted, unusable, left_out)

    def read_known(self, names: Sequence[str]) -> Hierarchy:
        if self.mode == "auto" and not self.refuse_broken and len(names) >= MANY:
            root_reader = RootReader(self.reader, self.group, self.mode, self._key)
            own = nodes_of_known(root_reader, self._discovery, names)
            if own is not None:
                return self._parse(own, own[""], names, {}, [])
        root, consolidated = self._root()
        look = self._discovery(root)
        nodes = {} if consolidated is None else consolidated
        nodes[""] = root
        inside = _arrays_inside_arrays(names, frozenset(n for n in nodes if nodes[n].is_array))
        unusable = {name: name_problem(name) or inside.get(name) for name in names}
        usable = [name for name in names if not unusable[name]]
        kept = [*usable, *(name for name in ancestors(usable) if name)]
        if consolidated is None:
            found = zip(kept, in_threads(look.visit, kept), strict=True)
            nodes.update((name, node) for name, node in found if node is not None)
        else:
            self._prefer_own_documents(nodes, kept, look)
        there = [n for n in names if unusable[n] or (n in nodes and nodes[n].is_array)]
        return self._parse(nodes, root, there, unusable, [])

    def read_one(self, name: str) -> Hierarchy:
        problem = name_problem(name)
        if problem:
            raise InputError(f"array {shorten(name)} cannot be read: {problem}")
        names = [name, *ancestors([name])]
        for zarr_format in (3, 2):
            visit = Discovery(self.reader, self._key, zarr_format).visit
            found = dict(zip(names, in_threads(visit, names), strict=True))
            array = found[name]
            if array is not None and array.is_array:
                nodes = {name: node for name, node in found.items() if node is not None}
                root = nodes.get("") or made_up_group("", array.zarr_format)
                return self._parse(nodes, root, [name], {}, [])
        raise NoMetadataError(self.reader.describe(self._key(name)), self._key(name))

    # Finding nodes

    def _root(self) -> tuple[Node, dict[str, Node] | None]:
        """Return the node of the group, and those that consolidated metadata which counts names."""
        found = RootReader(self.reader, self.group, self.mode, self._key)
        root, consolidated = found.read()
        self.warnings += found.warnings
        self.beside = found.beside
        if consolidated is None:
            return root, None
        return root, parse_entries(consolidated, root.zarr_format)

    def _discovery(self, root: Node) -> Discovery:
        return Discovery(self.reader, self._key, root.zarr_format, root.documented)

    def _complete(self, nodes: dict[str, Node], look: Discovery) -> set[str]:
        """Add what consolidated metadata does not name to ``nodes``; return its names."""
        if self.mode == "only":
            self.warnings.append(
                "--consolidated only: no directory was listed, so what is newer than the "
                "consolidated metadata was not looked for"
            )
            return set()
        arrays = {name for name, node in nodes.items() if node.is_array}
        groups = {name for name, node in nodes.items() if not node.is_array}
        groups.update(ancestors(arrays))
        inside = _arrays_inside_arrays(groups, frozenset(arrays))
        groups = {
            name
            for name in groups
            if name not in arrays and name not in inside and not (name and path_problem(name))
        }
        try:
            found = look.below(sorted(groups), arrays | groups)
        except ShortListingError:
            raise
        except SourceError as error:
            raise SourceError(f"{error}; --consolidated only plans without listing") from None
        nodes.update(found)
        self._say_what_has_no_document({**nodes, **dict.fromkeys(groups, nodes[""])})
        return set(found)

    def _say_what_came(self, names: Collection[str], nodes: Mapping[str, Node]) -> None:
        """Say which nodes are taken in that consolidated metadata does not name."""
        if names:
            kinds = ", ".join(
                f"{'array' if nodes[name].is_array else 'group'} {name!r}" for name in sorted(names)
            )
            self.warnings.append(
                f"newer than the consolidated metadata, and taken in: {kinds}: consolidate the "
                "store again, as those who read by it do not see them"
            )

    def _say_what_has_no_document(self, nodes: dict[str, Node]) -> None:
        """Name the folders that v3 has no groups for, and that are taken for groups."""
        if nodes[""].zarr_format == 2:
            return
        above = ancestors(name for name, node in nodes.items() if node.is_array)
        folders = [folder for folder in above if folder not in nodes]
        if folders:
            self.warnings.append(
                f"folders without zarr.json are taken for groups, as there are arrays below: "
                f"{some_of(folders)}"
            )

    def _in_other_format(
        self, nodes: dict[str, Node], left_out: Sequence[LeftOut]
    ) -> list[LeftOut]:
        """Return the arrays that only a ``.zmetadata`` beside the ``zarr.json`` names."""
        said = {one.name for one in left_out}
        reason = (
            "it is in .zmetadata (Zarr v2) only, and there is a zarr.json, which counts: "
            "copy the v2 store to where there is none to reference it"
        )
        return [
            LeftOut(name, reason, True)
            for name, node in sorted(parse_entries(self.beside, 2).items())
            if node.is_array and name not in nodes and name not in said
        ]

    def _prefer_own_documents(
        self, nodes: dict[str, Node], names: Sequence[str], look: Discovery
    ) -> list[str]:
        """Put the nodes' own documents in place of the consolidated ones; return who has one."""
        have, other = [], []
        before = dict(nodes)
        for name, own in zip(names, in_threads(look.visit, names), strict=True):
            listed = nodes.get(name)
            if own is None:
                continue
            have.append(name)
            if listed is not None and not agree(own, listed):
                other.append(name)
            if listed is not None and listed.is_array and not own.is_array:
                own.problem = (
                    own.problem or "is a group, but the consolidated metadata has an array"
                )
                own.is_array = True
            nodes[name] = own
        self.warnings += disagreements(other, before)
        owners = set(have)
        self._say_what_has_no_own([n for n in names if n not in owners and n in nodes], nodes)
        return have

    def _say_what_has_no_own(self, names: Sequence[str], nodes: dict[str, Node]) -> None:
        """Say which nodes are in consolidated metadata only, and which of them nowhere else."""
        arrays = [name for name in names if nodes[name].is_array]
        if self.mode != "only":
            found = in_threads(lambda n: self.reader.first_keys(self._key(n))[0], arrays)
            self.absent = [name for name, keys in zip(arrays, found, strict=True) if not keys]
        self.warnings += without_own(names, nodes, self.absent)

    def _check_listed(self, look: Discovery, own: Sequence[str]) -> None:
        """Raise `ShortListingError` where a listing lacks a directory whose document was read."""
        for name in own:
            above, _, last = name.rpartition("/")
            if above in look.listed and last not in look.listed[above]:
                raise self.reader.short_listing(self._key(above), last)

    # Choosing and parsing

    def _parse(
        self,
        nodes: dict[str, Node],
        root: Node,
        wanted: Sequence[str],
        unusable: dict[str, str | None],
        left_out: Sequence[LeftOut],
    ) -> Hierarchy:
        arrays: list[ArraySpec] = []
        refused: list[Refusal] = []
        broken = Broken(self.refuse_broken)
        for name in wanted:
            problem = unusable.get(name)
            if problem:
                broken.array(name, f"array {shorten(name, 300)}", problem)
                continue
            node = nodes[name]
            try:
                arrays.append(parse_array(node))
            except UnsupportedFeatureError as error:
                refused.append(error.of(name))
            except MetadataError as error:
                reason = str(error)
                if self.refuse_broken and node.may_be_group:
                    reason += "; it may be a group, and arrays below it are left out, too"
                broken.array(name, self._describe_document(node), reason)
        groups: list[GroupSpec] = []
        used = [spec.name for spec in arrays] + [refusal.name for refusal in refused]
        for name in ancestors(used):
            node = root if not name else nodes.get(name) or made_up_group(name, root.zarr_format)
            try:
                groups.append(parse_group(node))
            except MetadataError as error:
                broken.group(self._describe_document(node), str(error))
        broken.require_none()
        return Hierarchy(
            arrays=tuple(arrays),
            groups=tuple(groups),
            refused=(*refused, *broken.refused),
            warnings=(*self.warnings, *oddities(arrays)),
            absent=tuple(self.absent),
            left_out=tuple(sorted((one.name, one.reason) for one in left_out)),
        )

    # Keys

    def _key(self, name: str, last: str = "") -> str:
        return "/".join(part for part in (self.group, name, last) if part)

    def _describe_document(self, node: Node) -> str:
        last = "zarr.json" if node.zarr_format == 3 else ".zarray" if node.is_array else ".zgroup"
        return self.reader.describe(self._key(node.name, last))


def _arrays_inside_arrays(wanted: Iterable[str], arrays: frozenset[str]) -> dict[str, str]:
    """Return the arrays that lie below another: only consolidated metadata can claim that."""
    inside = {}
    for name in wanted:
        for above in ancestors([name]):
            if above in arrays:
                inside[name] = f"it lies inside the array {shorten(above)}"
    return inside
