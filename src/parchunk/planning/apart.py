"""What is written lies apart from what is read: among a store's files, it would be listed, too."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from parchunk.errors import InputError
from parchunk.planning.plan import Plan
from parchunk.stores.opening import Location
from parchunk.stores.urls import below


def require_apart(what: str, written: Location, read: Iterable[tuple[str, Location]]) -> None:
    """Refuse to write ``what`` in a place that is in one of those that are ``read``, or around it.

    Raises
    ------
    InputError
        Naming both.
    """
    inside = _place(written)
    for name, location in read:
        outside = _place(location)
        if inside.startswith(outside) or outside.startswith(inside):
            where = "inside" if inside.startswith(outside) else "around"
            raise InputError(
                f"{what} {written.url} is {where} {name} {location.url}: name a folder apart"
            )


def stores_of(plan: Plan, source: Location) -> Iterator[tuple[str, Location]]:
    """Yield what the user named: one array and not its parent, stores and not what is in them."""
    if plan.stores is not None:
        urls = [store.url for store in plan.stores.stores]
    elif plan.lone_array:
        urls = [below(source.url, plan.arrays[0].spec.name)]
    else:
        groups = plan.group.count("/") + 1 if plan.group else 0
        urls = [source.url.rsplit("/", groups)[0] if groups else source.url]
    yield from (("SRC", Location(url)) for url in urls)


def _place(location: Location) -> str:
    """Return where a location is, with a slash at its end; local links are followed."""
    url = location.url if location.scheme != "file" else os.path.realpath(location.url)
    return url.rstrip("/") + "/"
