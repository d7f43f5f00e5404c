"""From many sources to one plan, and to one of more of them: metadata and coordinates are read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from parchunk.errors import InputError
from parchunk.metadata import Hierarchy, read_known, require_supported, skip_refused
from parchunk.metadata.document import shorten
from parchunk.planning.dated_regions import with_dated_regions
from parchunk.planning.inventory import Inventory, mark_of
from parchunk.planning.joining.equality import same_chunks
from parchunk.planning.joining.given import parse_given
from parchunk.planning.joining.growing import grown_stores
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.labels import parse_labels
from parchunk.planning.joining.members import Dataset
from parchunk.planning.joining.misfits import MisfitError, some_stores
from parchunk.planning.joining.regions import plan_stores
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.labels import Labels
from parchunk.planning.many_sources import (
    FoundStores,
    StoreLike,
    find_stores,
    join_found,
    listed_stores,
    read_one,
    sources_above,
    sources_of,
)
from parchunk.planning.no_store import NothingThereError
from parchunk.planning.plan import ArrayPlan, Plan
from parchunk.planning.reading_labels import labels_of
from parchunk.planning.wanted import as_wanted
from parchunk.stores.kept_options import options_to_open
from parchunk.stores.source import Source


def plan_many(
    found: FoundStores,
    joining: Joining,
    wishes: Wishes,
    zarr_format: int | None,
    skip_unsupported: bool,
    period: str | None = None,
    **sizes: Any,
) -> Plan:
    """Return the plan of several stores as one dataset, its regions of a ``period`` where given."""
    hierarchy, stores, source = _joined(
        found, joining, wishes, zarr_format, skip_unsupported, (*wishes.include, *wishes.exclude)
    )
    made = plan_stores(hierarchy, stores, source.location, group=wishes.group, **sizes)
    if period is not None:
        made = with_dated_regions(made, labels_of(made, source), period, sizes.get("record_size"))
    return replace(
        made,
        source=source,
        inventory=mark_of(source),
        include=wishes.include,
        exclude=wishes.exclude,
        shards=wishes.shards,
        consolidated=wishes.consolidated,
        inline_coordinates=joining.inline,
        identity=source.identity,
    )


def grown_many(
    old: Plan,
    more: Sequence[StoreLike] = (),
    labels: str | Sequence[object] = (),
    store_options: Mapping[str, str] | None = None,
    skip_unsupported: bool = False,
    inventory: Inventory | None = None,
    may_shrink: bool = False,
    to_match: Collection[str] = (),
) -> Plan:
    """Return a plan of many stores with those that came since, and what its last one has grown by.

    Patterns are looked up again; ``more`` are stores behind those that are there, and ``labels``
    theirs. One that is there already, or comes twice, counts once, and so does its label.
    Of globs those ``to_match`` that match none are refused: others did when they were given.

    Raises
    ------
    InputError, MisfitError, SourceError, MetadataError
        When stores are gone, moved or became shorter (the last one may, where it ``may_shrink``),
        or do not fit.
    """
    stores = old.stores
    assert stores is not None
    options = options_to_open(old.location, store_options)
    known = [(one.url, one.below) for one in stores.stores]
    wishes = Wishes(old.group, old.include, old.exclude, old.shards, old.consolidated)
    new, is_new, seen = [], [], set(known)
    for one in more:
        places = _places(one, options, wishes)
        came = [place not in seen for place in places]
        if any(came) or not places:  # else it is there, as when its update is run again
            new.append(one)
        is_new += came
        seen.update(places)
    own = parse_labels(labels)
    if len(own) == len(is_new):
        own = tuple(compress(own, is_new))
    else:  # of what patterns match, too; no label comes twice but where all of it is said again
        there = stores.joining.labels
        own = tuple(dict.fromkeys(label for label in own if label not in there))
    found = find_stores([*stores.given, *new], options).asked(old.identity)
    if stores.joining.dimension is None or len(stores.ranges) > 1:
        # Side by side it does not matter where one comes, and those that are there stay in place.
        found = found.behind(known, wishes.group)
    if inventory is not None:
        found = listed_stores(found, inventory, old.group, store_options)
    joining = replace(stores.joining, labels=(*stores.joining.labels, *own))
    written, skip = old.hierarchy.written_format, skip_unsupported or bool(old.hierarchy.skipped)
    try:
        hierarchy, joined, source = _joined(found, joining, wishes, written, skip, to_match)
    except MisfitError as error:
        raise _as_of_update(error, stores.given, found, set(known), seen, wishes) from None
    except NothingThereError as error:
        if error.url not in {url for url, _ in known}:
            raise
        raise InputError(
            f"{error}; if it is gone for good, build the references of the others anew "
            "(--overwrite, or another OUT)"
        ) from None
    source = replace(source, options=old.location.options)
    labelled = Labels()
    if old.period is not None:
        arrays = tuple(map(ArrayPlan, hierarchy.arrays))
        now = replace(old, hierarchy=hierarchy, arrays=arrays, stores=joined)
        labelled = labels_of(now, source)
    grown = grown_stores(old, hierarchy, joined, labelled, may_shrink)
    return replace(grown, location=source.location, source=source, inventory=mark_of(source))


def _as_of_update(
    error: MisfitError,
    given: Sequence[str],
    found: FoundStores,
    known: Collection[tuple[str, str]],
    named: Collection[tuple[str, str]],
    wishes: Wishes,
) -> MisfitError:
    """Return the error with what an update can do, which joins as OUT was built.

    Stores that are neither ``known`` nor ``named`` came by a pattern of those ``given``.
    """
    pairs = zip(found.sources, found.below, strict=True)
    places = [(wishes.root(source).url, below) for source, below in pairs]
    came = [place for place in places if place not in known]
    found_anew = [place for place in came if place not in named]
    stores = (
        f"update without {some_stores([url for url, _ in came])}" if came else "mend the stores"
    )
    if found_anew:
        patterns = [text for text in given if parse_given(text).is_pattern]
        of_them = some_stores([url for url, _ in found_anew])
        stores = f"keep {of_them} where {' and '.join(patterns)} does not find it"
    own = f": {error.remedy}" if error.remedy else ""
    return MisfitError(
        error.doing,
        error.misfits,
        f"leave out arrays that came (--exclude); or {stores}; or build with other options "
        f"(--overwrite, or another OUT){own}",
    )


def changed_coordinates(plan: Plan, now: Dataset) -> list[str]:
    """Return the arrays kept inline of which the stores have other values now.

    By their values: another version of a library compresses them to other bytes.
    """
    stores = plan.stores
    assert stores is not None
    found = {one.spec.name: one for one in now.kept}
    return [
        name
        for name, chunk in stores.kept.items()
        if name in found
        and chunk != found[name].chunk
        and not same_chunks(plan.by_name[name].spec, chunk, found[name])
    ]


def stores_that_got(plan: Plan, now: Dataset) -> dict[str, list[str]]:
    """Return the arrays that stores have now and lacked before, with those stores' URLs."""
    stores = plan.stores
    assert stores is not None
    found: dict[str, list[str]] = {}
    for name, array in now.joined.arrays.items():
        if array.axis is None or name not in plan.by_name or name in stores.kept:
            continue
        came = [one.store for one in array.stretches if not stores.has(one.store, name)]
        if came:
            found[name] = [stores.stores[at].url for at in came]
    return found


def stores_that_came(plan: Plan, store_options: Mapping[str, str] | None = None) -> list[str]:
    """Return the URLs of stores that the patterns of a plan match now, and that it does not have.

    Raises
    ------
    SourceError
        When a pattern's folder cannot be listed.
    """
    stores = plan.stores
    assert stores is not None
    options = options_to_open(plan.location, store_options)
    wishes = Wishes(plan.group, plan.include, plan.exclude, plan.shards, plan.consolidated)
    known = {(one.url, one.below) for one in stores.stores}
    patterns = [text for text in stores.given if parse_given(text).is_pattern]
    found = {place for text in patterns for place in _places(text, options, wishes)}
    return sorted(url for url, _ in found - known)


def _places(store: StoreLike, options: Mapping[str, str], wishes: Wishes) -> list[tuple[str, str]]:
    """Return the URL and the group of each store that one is given as."""
    try:
        found = find_stores(store, options)
    except InputError:
        return []  # said where it is read
    pairs = zip(found.sources, found.below, strict=True)
    return [(wishes.root(source).url, below) for source, below in pairs]


def _joined(
    found: FoundStores,
    joining: Joining,
    wishes: Wishes,
    zarr_format: int | None,
    skip_unsupported: bool,
    to_match: Collection[str],
) -> tuple[Hierarchy, StoreSet, Source]:
    """Return the hierarchy of all stores, what each holds, and the folder that they are in."""
    matched: set[str] = set()
    try:
        dataset = join_found(found, joining, lambda one: wishes.read(one, zarr_format, matched))
    except MisfitError:
        wishes.refuse_unmatched(matched, to_match)  # it may have been meant for what does not fit
        raise
    wishes.refuse_unmatched(matched, to_match)
    hierarchy = dataset.hierarchy
    if skip_unsupported:
        hierarchy = skip_refused(hierarchy)
    require_supported(hierarchy)
    names = {spec.name for spec in hierarchy.arrays}
    sources = [wishes.root(found.sources[at]) for at in dataset.joined.order]
    stores = StoreSet.of(
        dataset.joined,
        tuple(one for one in dataset.kept if one.spec.name in names),
        replace(joining, labels=tuple(joining.labels[at] for at in dataset.joined.order))
        if joining.labels
        else joining,
        found.given,
        tuple(
            (source.url, found.below[at])
            for source, at in zip(sources, dataset.joined.order, strict=True)
        ),
    )
    return hierarchy, stores, sources_above(sources)


@dataclass(frozen=True)
class Wishes:
    """How the hierarchies of many stores are read, each in the same way."""

    group: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    shards: str
    consolidated: str

    def root(self, source: Source) -> Source:
        """Return the source whose root is the group that is read."""
        return source.child(self.group) if self.group else source

    def read(self, source: Source, zarr_format: int | None, matched: set[str]) -> Hierarchy:
        """Return the hierarchy of one store as it is wanted; see `read_one`."""
        read = read_one(source, self.group, self.include, self.exclude, self.consolidated, matched)
        return as_wanted(read, self.shards, zarr_format)

    def refuse_unmatched(self, matched: set[str], to_match: Collection[str]) -> None:
        """Refuse one of the globs ``to_match`` that no store has an array for: it is misspelled."""
        for option, globs in (("--include", self.include), ("--exclude", self.exclude)):
            for glob in globs:
                if glob in to_match and glob not in matched:
                    raise InputError(
                        f"{option} {shorten(glob)} matches no array of any of the stores: "
                        "check how it is spelled"
                    )


def rejoined(
    plan: Plan, source: Source, consolidated: str | None = None, arrays_to_come: bool = True
) -> Dataset:
    """Return the stores of a plan joined as they are now, arrays without the dimension believed.

    Without ``arrays_to_come``, arrays that the plan does not know are not looked for.

    Raises
    ------
    MisfitError, InputError, SourceError, MetadataError
        When they do not fit any more, or cannot be read.
    """
    stores = plan.stores
    assert stores is not None
    how = consolidated or plan.consolidated
    # The URLs are those of the groups that are read.
    wishes = Wishes("", plan.include, plan.exclude, plan.shards, how)
    sources = sources_of(stores, source)
    found = FoundStores(
        tuple(sources),
        tuple(one.below for one in stores.stores),
        stores.given,
        False,
    )
    joining = replace(stores.joining, by_pattern=False, static="first")
    written = plan.hierarchy.written_format
    if arrays_to_come:
        return join_found(found, joining, lambda one: wishes.read(one, written, set()))
    names: dict[str, set[str]] = {}  # one may be put below two groups
    for at, one in enumerate(sources):
        names.setdefault(one.url, set()).update(_known_in(stores, at, plan))

    def known(one: Source) -> Hierarchy:
        return as_wanted(read_known(one, "", sorted(names[one.url]), how), plan.shards, written)

    return join_found(found, joining, known)


def _known_in(stores: StoreSet, store: int, plan: Plan) -> Iterator[str]:
    """Yield the arrays that a store may have, by its own names: what it has not is not read."""
    below = stores.stores[store].below
    head = f"{below}/" if below else ""
    names = [array.spec.name for array in plan.arrays]
    names += [name for name, _ in plan.hierarchy.skipped]
    empty = stores.stores[store].start == stores.stores[store].stop
    for name in names:
        place = stores.place(name)
        if place.axis is not None:
            here = empty or stores.has(store, name)
        else:  # it is in one store, and may be in others, unless all is side by side
            here = stores.joining.dimension is not None or store in (place.stores or (store,))
        if here and name.startswith(head):
            yield name[len(head) :]
