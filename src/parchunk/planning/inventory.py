"""Inventories in place of listings: attached to a source, and what a plan keeps of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from parchunk.errors import InputError
from parchunk.inventories.reading import MEMORY, read_inventory
from parchunk.inventories.roots import Root
from parchunk.stores.inventory_file import open_inventory_file
from parchunk.stores.source import Source


@dataclass(frozen=True)
class Inventory:
    """An inventory as a caller gives it.

    ``files`` are paths or URLs, ``root`` the URL that its keys are relative to where that cannot
    be told; ``memory`` bounds what sorting takes, in bytes.
    """

    files: tuple[str, ...] = ()
    root: str | None = None
    memory: int = MEMORY

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
            if self.root is not None:
                raise InputError("--inventory-root is for an inventory: give --inventory FILE, too")
            source.require_listing()
            return source
        if source.objects is not None:
            raise InputError("the source has objects= already: leave inventory= out")
        opened = [open_inventory_file(file, source, store_options) for file in self.files]
        root = Root(source.url, source.prefix, self.root, example)
        return source.listed_by(read_inventory(opened, root, self.memory))


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


def require_inventory(mark: InventoryMark | None, source: Source) -> None:
    """Check that a source is listed in the way that its plan says.

    Raises
    ------
    InputError
        When the plan is of an inventory, and the source is not, or of another one.
    """
    if mark is None or mark_of(source) == mark:
        return
    now = mark_of(source)
    if now is not None and now.digest == mark.digest:
        return
    raise InputError(
        f"this plan is of {mark}, which is not at hand: plan again, with that inventory"
    )


def as_inventory(
    inventory: str | Sequence[str], root: str | None, memory: int = MEMORY
) -> Inventory:
    """Return an inventory as the Python functions take one."""
    return Inventory((inventory,) if isinstance(inventory, str) else tuple(inventory), root, memory)
