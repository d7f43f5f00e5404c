"""The source of a plan that was made: opened again, read again, and planned for as it is now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from parchunk.errors import InputError
from parchunk.metadata import (
    Hierarchy,
    NoMetadataError,
    read_array,
    read_hierarchy,
    read_known,
    require_supported,
    skip_refused,
)
from parchunk.metadata.document import shorten
from parchunk.metadata.names import ancestors
from parchunk.planning.changes import changes_of
from parchunk.planning.dated_regions import with_more_dates
from parchunk.planning.from_stores import rejoined
from parchunk.planning.growth import grown_plan
from parchunk.planning.inventory import (
    Inventory,
    consolidated_for,
    refuse_encoded,
)
from parchunk.planning.many_sources import (
    refuse_buckets,
    with_places,
)
from parchunk.planning.plan import ArrayPlan, Plan
from parchunk.planning.reading_labels import labels_of
from parchunk.planning.wanted import as_wanted
from parchunk.stores.kept_options import options_to_open, unsigned_note
from parchunk.stores.source import Source
from parchunk.stores.urls import key_below


def open_source(
    plan: Plan,
    store_options: Mapping[str, str] | None = None,
    listing: str | None = None,
    inventory: Inventory | None = None,
) -> Source:
    """Return the opened source of a plan; options given now come before those remembered.

    A server that a plan from OUT names, and the user does not, gets no credentials. An
    ``inventory`` stands for the listing from now on.
    """
    if inventory is not None:
        source = open_source(plan, store_options, listing)
        if inventory.files:
            refuse_buckets(source)
        listed = _as_named(plan, source)
        example = plan.group
        if plan.stores is not None:
            example = key_below(plan.stores.stores[0].url, plan.location.url)
        return _as_planned(plan, inventory.of(listed, store_options, example))
    if plan.source is not None:
        made = plan.source if listing is None else replace(plan.source, listing=listing)
        return made if made.identity == plan.identity else replace(made, identity=plan.identity)
    options = options_to_open(plan.location, store_options)
    opened = Source.open(plan.location.url, options)
    # As it was remembered: what was done without a signature here may be done with one elsewhere.
    opened = replace(
        opened,
        options=plan.location.options,
        unsigned=unsigned_note(plan.location, store_options) or "",
        listing=listing or "auto",
        identity=plan.identity,
    )
    return opened if plan.stores is None else with_places(opened, plan.stores, options)


def _as_named(plan: Plan, source: Source) -> Source:
    """Return the source that the user named, of which the plan's is a group or a parent."""
    if plan.lone_array:
        return source.child(plan.arrays[0].spec.name)
    return source.above(plan.group) if plan.stores is None else source


def _as_planned(plan: Plan, source: Source) -> Source:
    """Undo `_as_named`."""
    if plan.lone_array:
        return source.parent()[0]
    return source.child(plan.group) if plan.group and plan.stores is None else source


def read_again(
    plan: Plan,
    source: Source,
    arrays_to_come: bool = True,
    consolidated: str | None = None,
    refuse_broken: bool = False,
    to_match: Collection[str] = (),
) -> Hierarchy:
    """Return the hierarchy of a plan's source as it is now, read in the way it was planned.

    Without ``arrays_to_come``, arrays that the plan does not know are not looked for, which saves
    listing every group. ``consolidated`` is another way of taking consolidated metadata. Broken
    arrays are refused by name, as those are that the plan has left out for it, where that is asked.
    Those globs ``to_match`` that leave out none are refused: the plan need not remember them.

    An array that lost its document and all its objects is not there any more, even though stale
    consolidated metadata still names it.
    """
    if plan.stores is not None:
        joined = rejoined(plan, source, consolidated, arrays_to_come).hierarchy
        return skip_refused(joined) if plan.hierarchy.skipped else joined
    if plan.lone_array:
        return read_array(source, plan.arrays[0].spec.name)
    root = source.above(plan.group)
    how = consolidated_for(source, consolidated or plan.consolidated)
    refuse_broken = refuse_broken or bool(plan.hierarchy.skipped)
    matched: set[str] = set()
    if arrays_to_come:
        read = read_hierarchy(
            root,
            plan.group,
            plan.include,
            plan.exclude,
            how,
            matched=matched,
            refuse_broken=refuse_broken,
        )
        refuse_encoded(source, read)
        for glob in to_match:
            if glob not in matched:
                raise InputError(
                    f"--exclude {shorten(glob)} matches no array of {root.url}: check how it is "
                    "spelled, or leave it out"
                )
    else:
        skipped = [name for name, _ in plan.hierarchy.skipped]
        names = [array.spec.name for array in plan.arrays]
        read = read_known(root, plan.group, sorted(names + skipped), how, refuse_broken)
    read = _without_lost(read, set(read.absent) - set(plan.hierarchy.absent))
    if not plan.hierarchy.skipped:
        return read
    return skip_refused(as_wanted(read, plan.shards, plan.hierarchy.written_format))


def _without_lost(read: Hierarchy, went: Collection[str]) -> Hierarchy:
    """Return a hierarchy without arrays of which nothing is left, and groups of nothing else."""
    if not went:
        return read
    arrays = tuple(array for array in read.arrays if array.name not in went)
    refused = [refusal.name for refusal in read.refused]
    groups = set(ancestors([*(array.name for array in arrays), *refused]))
    return replace(
        read,
        arrays=arrays,
        groups=tuple(group for group in read.groups if group.name in groups),
        absent=tuple(name for name in read.absent if name not in went),
    )


@contextmanager
def told_of_moves() -> Iterator[None]:
    """Say of a store that is no more where it was what takes in that it moved."""
    try:
        yield
    except NoMetadataError as error:
        raise InputError(f"{error}; if it moved, parchunk relocate OUT URL says where to") from None


def read_as_planned(
    plan: Plan, source: Source, skip_unsupported: bool = False, to_match: Collection[str] = ()
) -> Hierarchy:
    """Return the hierarchy of a plan's source as it is now, as one that can be planned with.

    With ``skip_unsupported``, what cannot be referenced is left out, as it is where the plan has
    left out an array for that.

    Raises
    ------
    SourceError, MetadataError, UnsupportedError
        As for `parchunk.plan`.
    """
    with told_of_moves():
        read = read_again(plan, source, refuse_broken=skip_unsupported, to_match=to_match)
    hierarchy = as_wanted(read, plan.shards, plan.hierarchy.written_format)
    if skip_unsupported:
        hierarchy = skip_refused(hierarchy)
    require_supported(hierarchy)
    return hierarchy


def grown(plan: Plan, hierarchy: Hierarchy, source: Source) -> Plan:
    """Return a plan of one store for its source as it is now, ``hierarchy``.

    Raises
    ------
    InputError, SourceError
        As `parchunk.planning.growth.grown_plan`; where regions are periods, also when dates are
        wanted and cannot be read.
    """
    if plan.period is None:
        return grown_plan(plan, hierarchy)
    problems = [f"{name} {what}" for name, what in changes_of(plan, hierarchy).other.items()]
    if problems:
        raise InputError(
            f"{plan.location.url} has chunks of another kind ({'; '.join(problems[:3])}), and "
            f"regions that are periods ({plan.period}) begin where those before do: build anew "
            "(--overwrite, or another OUT)"
        )
    now = replace(plan, hierarchy=hierarchy, arrays=tuple(map(ArrayPlan, hierarchy.arrays)))
    return with_more_dates(plan, hierarchy, labels_of(now, source))
