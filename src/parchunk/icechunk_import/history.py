"""What a branch already has, from the metadata of its commits: nothing else is remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from parchunk.metadata.spec import canonical

#: The key of a commit's metadata under which parchunk's lies.
KEY = "parchunk"
VERSION = 1


@dataclass(frozen=True)
class Append:
    """Where an import was put behind what was there: of each group, by its path.

    Along ``dimension`` element 0 of the references is element ``offsets[group]``, and they were
    ``lengths[group]`` long. ``origin`` names them: the URL of their first store. ``by_values`` are
    arrays whose values were written, as their chunks did not fit.
    """

    dimension: str
    origin: str
    offsets: dict[str, int] = field(hash=False)
    lengths: dict[str, int] = field(hash=False)
    by_values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One commit of an import.

    ``kind`` is ``hierarchy`` (groups, arrays, whole arrays) or ``region``. ``content`` names what
    was imported: equal content needs no second import. ``fingerprint`` is the plan's, ``source``
    a URL without credentials. ``start`` and ``stop`` are in elements of ``dimension``, and
    ``length`` is the plan's region length. ``references`` are virtual chunks, ``inlined`` native.

    ``layout`` names which arrays are split, and how: under one layout, ranges that do not overlap
    have no chunk in common. A hierarchy knows two lengths of the split dimension from the arrays
    that it found: chunks from ``reach`` on had none before it (None where that was not looked
    for), and from ``kept`` on it took chunks away (None when it took none). ``left_out`` are the
    arrays of the references that were not to be imported, ``arrays`` names those that were, in a
    digest. ``append`` says where they were put, and
    all elements here are counted from there.
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
    layout: str | None = None
    reach: int | None = None
    kept: int | None = None
    left_out: tuple[str, ...] = ()
    append: Append | None = None
    arrays: str | None = None

    def to_metadata(self) -> dict[str, Any]:
        """Return the commit's metadata."""
        values = asdict(self)
        for name in ("append", "arrays"):
            if values[name] is None:
                del values[name]  # as an import of before said it, which others read
        return {KEY: {"version": VERSION, **values}}

    @classmethod
    def from_metadata(cls, metadata: Any) -> Entry | None:
        """Return the entry in a commit's metadata, or None when the commit is not parchunk's."""
        try:
            values = dict(metadata[KEY])
            values["left_out"] = tuple(values.get("left_out", ()))
            if values.get("append") is not None:
                values["append"] = _append(values["append"])
            return cls(**values) if values.pop("version") == VERSION else None
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def range(self) -> tuple[int, int]:
        """The elements of the split dimension that a region is of."""
        return self.start or 0, self.stop or 0


@dataclass(frozen=True)
class History:
    """What an import committed to a branch, newest first, and what of it still holds.

    ``hierarchy`` and ``regions`` (by their starts) are the commits over whose chunks no later one
    went: of a region that was imported again in other bounds, neither the old chunks nor the old
    gaps are what they were. ``every`` has the commits of other imports, too. From ``lost`` on
    others took chunks away with their arrays, None where they did not. ``bereft`` says whether
    they took any, of arrays that are not split, too.
    """

    entries: tuple[Entry, ...]
    hierarchy: Entry | None
    regions: dict[int, Entry]
    every: tuple[Entry, ...] = ()
    lost: int | None = None
    bereft: bool = False

    @property
    def begun(self) -> bool:
        """Whether an import has set nodes."""
        return any(entry.kind == "hierarchy" for entry in self.entries)

    @property
    def array_digests(self) -> set[str | None]:
        """What names the arrays of each hierarchy; None where one of before does not say it."""
        return {entry.arrays for entry in self.entries if entry.kind == "hierarchy"}

    def is_of(self, arrays: str | None) -> bool:
        """Whether the newest hierarchy is of these arrays."""
        newest = next((entry for entry in self.entries if entry.kind == "hierarchy"), None)
        return newest is not None and newest.arrays is not None and newest.arrays == arrays

    def has(self, wanted: Entry) -> bool:
        """Whether the branch has just this content."""
        if wanted.kind == "hierarchy":
            return self.hierarchy is not None and self.hierarchy.content == wanted.content
        found = self.regions.get(wanted.range[0])
        return (
            found is not None
            and found.content == wanted.content
            and found.layout == wanted.layout
            and found.stop == wanted.stop
        )

    def may_hold(self, wanted: Entry) -> bool:
        """Whether the branch may have chunks in a region: then it has to be asked for them.

        Commits that expired say nothing any more. The first one of all found no array.
        """
        start, stop = wanted.range
        reach: int | None = None
        for entry in self.entries:
            if entry.layout is None or entry.layout != wanted.layout:
                return True
            if entry.kind == "region" and entry.range[0] < stop and start < entry.range[1]:
                return True
            if entry.kind == "hierarchy":
                reach = entry.reach
                if reach is not None and reach <= start:
                    return False
        return bool(self.entries) and reach != 0


def digest_of(arrays: Iterable[str]) -> str:
    """Return what names some arrays in a hierarchy."""
    return hashlib.sha256(canonical(sorted(arrays)).encode()).hexdigest()


def _append(said: Any) -> Append:
    offsets, lengths = (
        {str(k): int(v) for k, v in said[n].items()} for n in ("offsets", "lengths")
    )
    by_values = tuple(map(str, said["by_values"]))
    return Append(str(said["dimension"]), str(said["origin"]), offsets, lengths, by_values)


def read_history(commits: Iterable[Any], origin: str | None = None) -> History:
    """Return what a branch has from its commits, newest first (`Repository.ancestry`).

    With an ``origin`` what was appended from there, without one what was imported otherwise.
    """
    found = (Entry.from_metadata(commit.metadata) for commit in commits)
    every = tuple(entry for entry in found if entry is not None)
    entries = tuple(
        entry for entry in every if origin == (entry.append.origin if entry.append else None)
    )
    hierarchy: Entry | None = None
    regions: dict[int, Entry] = {}
    touched = _Ranges()
    kept: int | None = None
    for entry in entries:
        if entry.layout != entries[0].layout:
            # A chunk may since have been another commit's: an array's that is no longer whole, say.
            break
        if entry.kind == "hierarchy":
            hierarchy = hierarchy or entry
            kept = min((at for at in (kept, entry.kept) if at is not None), default=None)
            continue
        start, stop = entry.range
        if not touched.meet(start, stop) and (kept is None or stop <= kept):
            regions[start] = entry
        touched.add(start, stop)
    return History(entries, hierarchy, regions, every)


class _Ranges:
    """Half-open ranges of integers; those that touch are one, so that there are few."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def meet(self, start: int, stop: int) -> bool:
        """Whether one of them overlaps a range."""
        return any(low < stop and start < high for low, high in self._ranges)

    def add(self, start: int, stop: int) -> None:
        """Take a range more."""
        apart = []
        for low, high in self._ranges:
            if low <= stop and start <= high:
                start, stop = min(low, start), max(high, stop)
            else:
                apart.append((low, high))
        self._ranges = [*apart, (start, stop)]
