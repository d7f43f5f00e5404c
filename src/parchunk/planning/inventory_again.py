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

#: What this process has read last, of what source, and as what is kept of each object.
_READ: dict[tuple[str, str, Inventory], SortedObjects] = {}
_LOCK = threading.Lock()


def inventory_of(source: Source, memory: int) -> Inventory | None:
    """Return what stands for a source's listing; None for a listing, or rows that are in no file.

    ``memory`` bounds what sorting may take elsewhere, in bytes.
    """
    if source.manner.probed:
        return Inventory(memory=memory, probed=source.most_probed)
    origin = None if source.objects is None else source.objects.origin
    return None if origin is None else Inventory(origin.files, origin.root, memory)


def listed_again(
    plan: Plan,
    source: Source,
    given: Inventory,
    digest: str,
    store_options: Mapping[str, str] | None = None,
) -> Source:
    """Return a source with an inventory in place of its listing, read once by each process.

    It should have the ``digest``: one that has not is read again by the next who asks, as a file
    may be another one by then.

    Raises
    ------
    InputError, SourceError
        Naming the file that cannot be read here.
    """
    if given.probed is not None:
        return source.asked_by_key(given.probed)
    key = (source.url, plan.identity, given)
    with _LOCK:  # tasks side by side wait for one of them
        found = _READ.get(key)
        if found is None or found.digest != digest:
            opened = open_source(plan, store_options, source.listing, given).objects
            assert isinstance(opened, SortedObjects)
            _READ.clear()
            _READ[key] = found = opened
        return source.listed_by(found)


def at_hand(plan: Plan, source: Source, memory: int) -> Source:
    """Return a source that another process may have sent, its inventory read again if need be.

    Raises
    ------
    InputError, SourceError
        Naming the file that cannot be read here, or is another one by now.
    """
    given = None if source.objects is None else inventory_of(source, memory)
    if given is None or source.objects.is_here:
        return source  # rows that are in no file are said to be missing when they are asked for
    found = listed_again(plan, source, given, source.objects.digest)
    if found.objects.digest != source.objects.digest:
        raise InputError(
            f"{given.files[0]} is not the inventory of {source.objects.date} any more: run again "
            "with the one that is there now"
        )
    return found
