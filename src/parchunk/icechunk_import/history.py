"""What a branch already has, from the metadata of its commits: nothing else is remembered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

#: The key of a commit's metadata under which parchunk's lies.
KEY = "parchunk"
VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One commit of an import.

    ``kind`` is ``hierarchy`` (groups, arrays, whole arrays) or ``region``. ``content`` names what
    was imported: equal content needs no second import. ``fingerprint`` is the plan's, ``source``
    a URL without credentials. ``start`` and ``stop`` are in elements of ``dimension``, and
    ``length`` is the plan's region length. ``references`` are virtual chunks, ``inlined`` native.
    """

    kind: str
    content: str
    fingerprint: str
    source: str
    references: int
    inlined: int
    missing: int
    dimension: str | None = None
    region: int | None = None
    start: int | None = None
    stop: int | None = None
    length: int | None = None

    def to_metadata(self) -> dict[str, Any]:
        """Return the commit's metadata."""
        return {KEY: {"version": VERSION, **asdict(self)}}

    @classmethod
    def from_metadata(cls, metadata: Any) -> Entry | None:
        """Return the entry in a commit's metadata, or None when the commit is not parchunk's."""
        try:
            values = dict(metadata[KEY])
            return cls(**values) if values.pop("version") == VERSION else None
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class History:
    """The last commit of the hierarchy and of each region (by its start), and all of them."""

    hierarchy: Entry | None
    regions: dict[int, Entry]

    def has(self, wanted: Entry) -> bool:
        """Whether the branch has just this content."""
        found = (
            self.hierarchy
            if wanted.kind == "hierarchy"
            else self.regions.get(-1 if wanted.start is None else wanted.start)
        )
        return (
            found is not None
            and found.content == wanted.content
            and found.dimension == wanted.dimension
            and found.stop == wanted.stop
        )

    def after(self, entry: Entry) -> History:
        """Return the history with one commit more."""
        if entry.kind == "hierarchy":
            return History(entry, self.regions)
        assert entry.start is not None
        return History(self.hierarchy, {**self.regions, entry.start: entry})

    def may_hold(self, wanted: Entry) -> bool:
        """Whether the branch may have references in a region that were imported before.

        Regions of another length or dimension overlap it in ways not worth working out.
        """
        return any(
            entry.start == wanted.start
            or entry.length != wanted.length
            or entry.dimension != wanted.dimension
            for entry in self.regions.values()
        )


def read_history(commits: Iterable[Any]) -> History:
    """Return what a branch has from its commits, newest first (`Repository.ancestry`)."""
    hierarchy: Entry | None = None
    regions: dict[int, Entry] = {}
    for commit in commits:
        entry = Entry.from_metadata(commit.metadata)
        if entry is None:
            continue
        if entry.kind == "hierarchy":
            hierarchy = hierarchy or entry
        elif entry.start is not None:
            regions.setdefault(entry.start, entry)
    return History(hierarchy, regions)
