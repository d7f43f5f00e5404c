"""An inventory that was read on one machine, where tasks run that reach its files: read again."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from parchunk.errors import InputError
from parchunk.inventories.sorted_objects import SortedObjects
from parchunk.planning.inventory import Inventory
from parchunk.planning.plan import Plan
from parchunk.planning.source_again import open_source
from parchunk.stores.source import Source

#: What this process has read last, and of what source.
_READ: dict[tuple[str, str, Inventory], SortedObjects] = {}
_LOCK = threading.Lock()


def inventory_of(source: Source, memory: int) -> Inventory | None:
    """Return what a source's inventory was read from; None without one, or where it is no file.

    ``memory`` bounds what sorting may take elsewhere, in bytes.
    """
    origin = None if source.objects is None else source.objects.origin
    return None if origin is None else Inventory(origin.files, origin.root, memory)


def listed_again(
    plan: Plan,
    source: Source,
    given: Inventory,
    store_options: Mapping[str, str] | None = None,
) -> Source:
    """Return a source with an inventory in place of its listing, read once by each process.

    Raises
    ------
    InputError, SourceError
        Naming the file that cannot be read here.
    """
    key = (source.url, plan.identity, given)
    with _LOCK:  # tasks side by side wait for one of them
        if key not in _READ:
            found = open_source(plan, store_options, source.listing, given).objects
            assert isinstance(found, SortedObjects)
            _READ.clear()
            _READ[key] = found
        return source.listed_by(_READ[key])


def at_hand(plan: Plan, source: Source, memory: int) -> Source:
    """Return a source that another process may have sent, its inventory read again if need be.

    Raises
    ------
    InputError, SourceError
        Naming the file that cannot be read here, or is another one by now.
    """
    given = inventory_of(source, memory)
    if given is None or source.objects.is_here:
        return source  # rows that are in no file are said to be missing when they are asked for
    found = listed_again(plan, source, given)
    if found.objects.digest != source.objects.digest:
        raise InputError(
            f"{given.files[0]} is not the inventory of {source.objects.date} any more: run again "
            "with the one that is there now"
        )
    return found
