"""Inventories in place of listings: attached to a source, and what a plan keeps of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from parchunk.arguments.idle import refuse_idle
from parchunk.errors import InputError
from parchunk.inventories.reading import MEMORY, InventoryFile, read_inventory
from parchunk.inventories.roots import Root
from parchunk.inventories.sorted_objects import Origin
from parchunk.metadata import Hierarchy
from parchunk.stores.inventory_file import open_inventory_file
from parchunk.stores.source import Source

#: Chunks that are asked for one by one, at most, unless a user says otherwise.
MOST_PROBED = 100_000


@dataclass(frozen=True)
class Inventory:
    """What stands for a listing, as a caller gives it: an inventory, or questions for each chunk.

    ``files`` are paths or URLs, ``root`` the URL that its keys are relative to where that cannot
    be told; ``memory`` bounds what sorting takes, in bytes. ``probed``: instead
    each chunk is asked for by itself, so many at most.
    """

    files: tuple[str, ...] = ()
    root: str | None = None
    memory: int = MEMORY
    probed: int | None = None

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return bool(self.files) or self.probed is not None

    def of(
        self,
        source: Source,
        store_options: Mapping[str, str] | None = None,
        example: str = "",
    ) -> Source:
        """Return the source with the inventory in place of its listing; as it is without files.

        ``example`` is a folder below it where a Zarr document lies.

        Raises
        ------
        InputError, SourceError
            Naming the file that cannot be read, or is of another place; without files, the source
            that cannot be listed.
        """
        if not self.files:
            if self.probed is not None:
                return source.asked_by_key(self.probed)
            source.require_listing()
            return source
        if source.objects is not None:
            raise InputError("the source has objects= already: leave inventory= out")
        if source.identity == "etag" and source.url.startswith("gs://"):
            raise InputError(
                "inventories of Google have other entity tags than its listings: give --identity "
                "time, or no inventory"
            )
        opened = self._opened(source, store_options)
        origin = self._origin(source, opened)  # before they are read: they may be written anew
        root = Root(source.url, source.prefix, self.root, example)
        found = read_inventory(opened, root, self.memory, source.identity)
        return source.listed_by(replace(found, origin=origin))

    def origin(self, source: Source, store_options: Mapping[str, str] | None = None) -> Origin:
        """Return what it is read from for a source; nothing is read.

        Raises
        ------
        InputError, SourceError
            Naming the file that is not there.
        """
        return self._origin(source, self._opened(source, store_options))

    def _opened(
        self, source: Source, store_options: Mapping[str, str] | None
    ) -> list[InventoryFile]:
        return [open_inventory_file(file, source, store_options) for file in self.files]

    def _origin(self, source: Source, opened: Sequence[InventoryFile]) -> Origin:
        return Origin(
            tuple(file.name for file in opened),
            self.root,
            tuple(file.mark() for file in opened),
            (source.url, source.prefix),
        )


@dataclass(frozen=True)
class InventoryMark:
    """What a plan keeps of an inventory: when it was ``taken`` (UTC), how many ``objects`` of it
    are the source's, and the ``digest`` of these.
    """

    taken: str
    objects: int
    digest: str

    def to_json(self) -> dict[str, Any]:
        """Return what plan.json holds."""
        return asdict(self)

    def __str__(self) -> str:
        """Return what messages call it."""
        return f"the inventory of {self.taken}"


def mark_of(source: Source) -> InventoryMark | None:
    """Return what a plan keeps of a source's inventory; None where it is listed."""
    objects = source.objects
    return None if objects is None else InventoryMark(objects.date, objects.count, objects.digest)


def require_inventory(mark: InventoryMark | None, source: Source) -> Source:
    """Return a source that is listed in the way that its plan says.

    Rows that the plan is of are as old as it says, though a copy of their file is younger: chunks
    without a time of their own count as written by then, and what was written since has changed.

    Raises
    ------
    InputError
        When the plan is of an inventory, and the source is not, or of another one.
    """
    now = mark_of(source)
    if mark is None or now == mark:
        return source
    if now is not None and now.digest == mark.digest:
        taken = min(source.objects.taken, datetime.fromisoformat(mark.taken))
        return source.listed_by(replace(source.objects, taken=taken))
    raise InputError(
        f"this plan is of {mark}, which is not at hand: plan again, with that inventory"
    )


def refuse_encoded(source: Source, hierarchy: Hierarchy) -> None:
    """Refuse an inventory whose keys are spelled as in a URL, where its maker says nothing of it.

    Of most names nobody would notice; arrays with others would lack all of their chunks, or be
    left out.

    Raises
    ------
    InputError
        Naming an array, and how the inventory spells it.
    """
    if source.objects is None:
        return
    there = [(spec.name, spelled) for spec in hierarchy.arrays for spelled in _encoded(spec.name)]
    left_out = {name for name, _ in hierarchy.left_out}
    # Of an array it is the folder of its chunks that shows no document.
    for spelled in sorted({*left_out, *(name.rpartition("/")[0] for name in left_out)} - {""}):
        for name in {unquote(spelled), unquote_plus(spelled)} - {spelled}:
            if any(source.get(f"{name}/{last}") is not None for last in ("zarr.json", ".zarray")):
                there.append((name, spelled))
    for name, spelled in there:
        has_name, has_spelled = (source.first_keys(each)[0] for each in (name, spelled))
        if has_spelled and not has_name:
            raise InputError(
                f"the inventory of {source.objects.date} has no object of {name}, and some below "
                f"{spelled}: its keys are spelled as in a URL; give it with keys as the store has "
                "them, or a manifest.json of CSV files, which says so"
            )


def _encoded(name: str) -> set[str]:
    """Return how a URL may spell a name, other than it is."""
    return {quote(name), quote_plus(name, safe="/")} - {name}


def consolidated_for(source: Source, consolidated: str) -> str:
    """Return what consolidated metadata counts for: alone it tells arrays that are not listed."""
    return "only" if source.manner.probed and consolidated == "auto" else consolidated


def require_few(source: Source, chunks: int) -> None:
    """Check that no more chunks are asked for one by one than may be.

    Raises
    ------
    InputError
        When there are more.
    """
    if source.manner.probed and chunks > source.most_probed:
        raise InputError(
            f"{chunks:,} objects would be asked for one by one, and --probe-limit is "
            f"{source.most_probed:,}: give a higher one, or an inventory (--inventory FILE)"
        )


def as_inventory(
    inventory: str | Sequence[str],
    root: str | None,
    memory: int = MEMORY,
    probe: bool = False,
    probe_limit: int = MOST_PROBED,
) -> Inventory:
    """Return what stands for a listing as the Python functions take it.

    Raises
    ------
    InputError
        When it is both, or something is said of what is not given.
    """
    files = (inventory,) if isinstance(inventory, str) else tuple(inventory)
    if files and probe:
        raise InputError("--probe and --inventory: either says what is there; give one of them")
    if not files:
        refuse_idle("--inventory FILE", {"--inventory-root": root is not None})
    if not probe:
        refuse_idle("--probe", {"--probe-limit": probe_limit != MOST_PROBED})
    return Inventory(files, root, memory, probe_limit if probe else None)
