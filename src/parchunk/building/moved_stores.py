"""Many stores in other places: all of them with the folder that they are in, or one alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike

from parchunk.errors import InputError
from parchunk.planning.joining.given import GivenStore, parse_given
from parchunk.planning.joining.patterns import is_there, split_pattern
from parchunk.planning.joining.store_set import PlannedStore, StoreSet
from parchunk.planning.many_sources import sources_above, sources_of
from parchunk.planning.plan import Plan
from parchunk.planning.source_again import open_source
from parchunk.stores.kept_options import options_to_open
from parchunk.stores.opening import Location
from parchunk.stores.source import Source


@dataclass(frozen=True)
class MovedStores:
    """A plan whose stores are elsewhere: which of them moved, and what a user should know.

    ``apart`` is to be said where one is not found: in which folders they are looked for, if these
    are several.
    """

    plan: Plan
    moved: tuple[int, ...]
    before: str
    now: str
    notes: tuple[str, ...] = ()
    apart: str = ""


Options = tuple[tuple[str, str], ...]


class AlreadyThereError(InputError):
    """The references are to ``place`` already, which was opened with ``options`` now."""

    def __init__(self, message: str, place: str, options: Options = ()) -> None:
        super().__init__(message)
        self.place, self.options = place, options


def with_folder(
    plan: Plan, url: str | PathLike[str] | Source, options: Mapping[str, str] | None
) -> MovedStores:
    """Return a plan whose stores lie below ``url`` as they did below the folder that they were in.

    Raises
    ------
    InputError
        When they were in several buckets, or are there already.
    """
    stores = _stores_of(plan)
    was = plan.location.url
    source = url if isinstance(url, Source) else Source.open(str(url), options)
    apart = [one.url for one in stores.stores if not _is_below(one.url, was)]
    if apart:
        raise InputError(
            f"the stores are in several buckets, {was} and that of {apart[0]}: relocate them one "
            "by one, with --store"
        )
    planned = tuple(replace(one, url=_moved(one.url, was, source.url)) for one in stores.stores)
    given, notes = _given_elsewhere(stores, planned, plan.group, was, source.url)
    new = _with_stores(plan, planned, given, was, source.url)
    new = replace(new, location=source.location, source=source)
    places = _places([one.url for one in stores.stores], was, source.url)
    return MovedStores(new, tuple(range(len(planned))), was, source.url, notes, places)


def one_elsewhere(
    plan: Plan, store: str, url: str | PathLike[str] | Source, options: Mapping[str, str] | None
) -> MovedStores:
    """Return a plan of which one store, called by its URL, the end of it or its group, is at a URL.

    Raises
    ------
    InputError
        When no store is called so, or several are; when it is not reached as the others are.
    """
    stores = _stores_of(plan)
    if isinstance(url, Source):
        found = url
    else:  # what is kept of another scheme means nothing, and is refused below
        same = Location(str(url)).scheme == plan.location.scheme
        found = Source.open(str(url), options_to_open(plan.location, options) if same else options)
    now = found.child(plan.group) if plan.group else found
    at = _named(stores, store, now.url)
    was = stores.stores[at].url
    _refuse_other_ways(plan, now)
    above = open_source(replace(plan, source=None), options)
    sources = sources_of(stores, above)
    sources[at] = now
    sources = [replace(one, options=plan.location.options) for one in sources]
    planned = tuple(
        replace(one, url=now.url) if number == at else one
        for number, one in enumerate(stores.stores)
    )
    given, notes = _listed(planned, plan.group, stores)
    new = _with_stores(plan, planned, given, was, now.url)
    source = replace(sources_above(sources), options=plan.location.options)
    new = replace(new, location=source.location, source=source)
    return MovedStores(new, (at,), was, now.url, notes)


def _places(urls: Sequence[str], was: str, now: str) -> str:
    """Return where stores are looked for that do not lie in one folder, as a clause.

    So it is once one of them was relocated alone.
    """
    folders: dict[str, str] = {}
    for url in urls:
        tail = url[len(was) :].lstrip("/")
        folders.setdefault(tail.rpartition("/")[0], tail)
    if len(folders) == 1:
        return ""
    first, second = list(folders.values())[:2]
    return (
        f"; the stores are in several folders below {was} ({first}, {second}), and are looked for "
        f"by the same names below {now}: give a folder that has them so, or relocate them one by "
        "one, with --store"
    )


def _stores_of(plan: Plan) -> StoreSet:
    assert plan.stores is not None
    return plan.stores


def _refuse_other_ways(plan: Plan, source: Source) -> None:
    """Refuse a store that no reader would reach together with the others of a plan."""

    def way(location: Location) -> tuple[str, dict[str, str]]:
        # Whether requests are signed is the reader's, and no part of where they go.
        return location.scheme, {**dict(location.options), "skip_signature": ""}

    if way(source.location) != way(plan.location):
        raise InputError(
            f"{source.url} is not reached as the other stores are (scheme, endpoint, account, "
            "region): references of both have no one reader; copy it to where they are, or "
            "relocate all of them"
        )


def _is_below(url: str, folder: str) -> bool:
    return url == folder or url.startswith(f"{folder}/")


def _moved(url: str, was: str, now: str) -> str:
    return now + url[len(was) :] if _is_below(url, was) else url


def _named(stores: StoreSet, name: str, place: str) -> int:
    """Return which store is called by a name, and is to be at ``place``."""
    name = name.rstrip("/")
    for is_meant in (
        lambda one: name in (one.url, one.below),
        lambda one: one.url.endswith(f"/{name}"),
    ):
        found = [at for at, one in enumerate(stores.stores) if name and is_meant(one)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"--store {name}: several are called so, {stores.stores[found[0]].url} and "
                f"{stores.stores[found[1]].url}: give more of its URL, or its group"
            )
    if any(one.url == place for one in stores.stores):  # as by the same command before
        raise AlreadyThereError(
            f"--store {name}: no store is called so any more; one is at {place} already", place
        )
    known = ", ".join(one.url for one in stores.stores[:5])
    more = ", ..." if len(stores.stores) > 5 else ""
    raise InputError(f"--store {name}: no store is called so; there are {known}{more}")


def _with_stores(
    plan: Plan, planned: tuple[PlannedStore, ...], given: StoreSet, was: str, now: str
) -> Plan:
    path = re.compile(re.escape(was) + r"(?=[/\s,;:)]|$)")
    notes = tuple(path.sub(lambda _: now, note) for note in given.notes)
    return replace(plan, stores=replace(given, stores=planned, notes=notes), identity="none")


def _given_elsewhere(
    stores: StoreSet,
    planned: Sequence[PlannedStore],
    group: str,
    was: str,
    now: str,
) -> tuple[StoreSet, tuple[str, ...]]:
    """Return the stores as they would be given in the new place, patterns as patterns."""
    given = []
    for text in stores.given:
        one = parse_given(text)
        url = _absolute(one)
        if not _is_below(url, was):
            return _listed(planned, group, stores)
        given.append(str(GivenStore(_moved(url, was, now), one.below)))
    return replace(stores, given=tuple(given)), ()


def _absolute(given: GivenStore) -> str:
    """Return the whole URL of a store or a pattern that may have been given as a relative path."""
    if not given.is_pattern or is_there(given.url):
        return Source.open(given.url).url
    above, segments = split_pattern(given.url)
    return "/".join([Source.open(above).url, *segments])


def _listed(
    planned: Sequence[PlannedStore], group: str, stores: StoreSet
) -> tuple[StoreSet, tuple[str, ...]]:
    """Return the stores given one by one, with a note where patterns are not looked up any more."""
    tail = len(group) + 1 if group else 0
    given = tuple(str(GivenStore(one.url[: len(one.url) - tail], one.below)) for one in planned)
    patterns = [text for text in stores.given if parse_given(text).is_pattern]
    found = replace(stores, given=given, joining=replace(stores.joining, by_pattern=False))
    notes = tuple(
        f"{pattern} is not looked up any more, as the stores are not all below it: name those that "
        "come to parchunk update"
        for pattern in patterns[:1]
    )
    return found, notes
