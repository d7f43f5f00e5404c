"""From a source to its plan: reads metadata (never a listing of chunks), then plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from parchunk.arguments.idle import refuse_idle
from parchunk.arguments.lenient import lenient
from parchunk.inventories.reading import MEMORY
from parchunk.metadata import (
    Hierarchy,
    NoMetadataError,
    RootIsArrayError,
    read_array,
    read_hierarchy,
    require_supported,
    skip_refused,
)
from parchunk.planning.choice import make_plan
from parchunk.planning.dated_regions import as_period, with_dated_regions
from parchunk.planning.from_stores import Wishes, plan_many
from parchunk.planning.inventory import (
    MOST_PROBED,
    as_inventory,
    consolidated_for,
    mark_of,
    refuse_encoded,
)
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.labels import parse_labels
from parchunk.planning.many_sources import (
    Stores,
    find_stores,
    is_many,
    listed_stores,
)
from parchunk.planning.no_store import explained
from parchunk.planning.plan import Plan
from parchunk.planning.reading_labels import labels_of
from parchunk.planning.wanted import as_wanted
from parchunk.stores.identity import check_identity
from parchunk.stores.source import Source


@lenient
def plan(
    source: Stores,
    *,
    concat: str | None = None,
    stack: str | None = None,
    merge: bool = False,
    labels: str | Sequence[object] = (),
    join: str = "exact",
    static: str = "equal",
    inline_coordinates: bool = True,
    split: str | int | None = None,
    region: int | str | None = None,
    record_size: int | None = None,
    inline_threshold: int | str = 0,
    group: str = "",
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    shards: str = "expand",
    zarr_format: int | None = None,
    skip_unsupported: bool = False,
    consolidated: str = "auto",
    listing: str | None = None,
    identity: str = "none",
    inventory: str | Sequence[str] = (),
    inventory_root: str | None = None,
    probe: bool = False,
    probe_limit: int = MOST_PROBED,
    memory: int | str = MEMORY,
    store_options: Mapping[str, str] | None = None,
) -> Plan:
    """Return the plan for a Zarr store, or for several as one dataset; only metadata is read.

    Parameters
    ----------
    source
        A path, a file://, s3://, gs:// or az:// URL, or a `Source`. Several as a list, or by a
        pattern (``"s3://bucket/era5/*.zarr"``); below groups as a dict, of one or several each, or
        as ``"NAME=SRC"``.
    concat, stack, merge
        How several stores go together: one after another along a dimension, side by side along a
        new one, or with different arrays side by side. ``merge`` beside another: stores of the same
        arrays are joined, and then merged with the others.
    labels
        The coordinate of a new dimension: dates, whole numbers or names, one a store.
    join, static
        What becomes of arrays that only some stores have (``"exact"`` refuses, ``"inner"`` leaves
        out, ``"outer"`` takes for missing); whether those without the dimension are compared
        (``"equal"``) or believed (``"first"``).
    inline_coordinates
        Whether coordinates of dimensions are read, and kept in the references: a producer who
        writes them anew breaks no reader. Of stores that are joined, those along the dimension.
    split, region, record_size, inline_threshold
        See `parchunk.planning.choice.make_plan`; lengths in elements, sizes in rows and bytes (a
        number, or text such as ``"4KiB"``). A region may be a period of the dimension's dates, too:
        ``"year"``, ``"month"``, ``"day"``, or days such as ``"31D"`` from the first one on.
    group
        The group whose arrays are referenced; names in the output are relative to it.
    include, exclude
        A glob on array names, or several: only these, and without those.
    shards
        ``"expand"``: one reference an inner chunk of a sharded array. ``"whole"``: one reference
        a shard, which makes the references Zarr v3.
    zarr_format
        Format of the references. 2 (the default) is what every kerchunk reader opens; 3 keeps v3
        arrays as they are, and only zarr-python 3 opens them.
    skip_unsupported
        Leave out arrays that cannot be referenced, or whose metadata is broken, instead of refusing
        the store.
    consolidated
        ``"auto"``: arrays that are newer than consolidated metadata are found by listing each
        group, and taken in. ``"only"``: those that it names; nothing is listed. ``"ignore"``: as
        though there were none. Updates, audits and publishing read in the same way.
    listing
        Who lists the source: ``"obstore"``, ``"wire"`` (pages are read as they come, at a fraction
        of the cost, where the store is one of S3), or ``"auto"``, the default: ``"wire"`` where it
        is proven to be the same.
    identity
        What is kept of each object beside the references: ``"time"``, when it was written, or
        ``"etag"``, its entity tag. So audits name chunks that were written anew in the same size,
        and `parchunk.to_icechunk` pins each reference.
    inventory, inventory_root, memory
        Paths or URLs of an inventory that stands for the listing (docs/inventories.md), what its
        keys are relative to where that cannot be told, and the bound on what sorting it takes.
    probe, probe_limit
        Ask the server for each chunk by itself, up to so many, in place of a listing: for small
        stores that have neither. Arrays are those of consolidated metadata.
    store_options
        Options of obstore's stores and clients, for a source given as URL.

    Raises
    ------
    InputError, SourceError, MetadataError, UnsupportedError
        In one line: what, where, and what to do.
    """
    joining = Joining(
        concat=concat,
        stack=stack,
        merge=merge,
        labels=parse_labels(labels),
        join=join,
        static=static,
        inline=inline_coordinates,
    )
    if joining.dimension is None:
        refuse_idle("--concat or --stack", {"--join": join != "exact"})
    period = as_period(region)
    length = None if isinstance(region, str) else region
    given = as_inventory(inventory, inventory_root, cast(int, memory), probe, probe_limit)
    check_identity(identity)
    group = group.strip("/")
    wishes = Wishes(group, tuple(include), tuple(exclude), shards, consolidated)
    if is_many(source, joining):
        found = find_stores(source, store_options).asked(identity, listing)
        found = listed_stores(found, given, group, store_options)
        return plan_many(
            found,
            replace(joining, by_pattern=found.by_pattern),
            wishes,
            zarr_format,
            skip_unsupported,
            period,
            split=split,
            region=length,
            record_size=record_size,
            inline_threshold=cast(int, inline_threshold),
        )
    refuse_idle("--concat, --stack or --merge", {"--static": static != "equal"})
    source = given.of(_opened(source, store_options, listing, identity), store_options, group)
    wishes = replace(wishes, consolidated=consolidated_for(source, consolidated))
    hierarchy, source, lone_array = _read(source, wishes, zarr_format, skip_unsupported)
    made = make_plan(
        hierarchy,
        source.location,
        group="" if lone_array else group,
        split=split,
        region=length,
        record_size=record_size,
        inline_threshold=cast(int, inline_threshold),
    )
    if period is not None:
        made = with_dated_regions(made, labels_of(made, source), period, record_size)
    return replace(
        made,
        source=source,
        inventory=mark_of(source),
        include=wishes.include,
        exclude=wishes.exclude,
        lone_array=lone_array,
        shards=shards,
        consolidated=wishes.consolidated,
        inline_coordinates=inline_coordinates,
        identity=identity,
    )


def _opened(
    source: Stores,
    store_options: Mapping[str, str] | None,
    listing: str | None,
    identity: str,
) -> Source:
    """Return the source that is named, as it is to be listed and what is to be kept of objects."""
    if not isinstance(source, Source):
        source = Source.open(str(source), store_options)
    if listing is not None:
        source = replace(source, listing=listing)
    return replace(source, identity=identity)


def _read(
    source: Source, wishes: Wishes, zarr_format: int | None, skip_unsupported: bool
) -> tuple[Hierarchy, Source, bool]:
    """Return a group's hierarchy as it is wanted, the source with its root there, and if it is a
    lone array.

    Of an array that is the root itself, the source's root is one level up.
    """
    root, lone_array = wishes.root(source), False
    named = (wishes.group, wishes.include, wishes.exclude, wishes.consolidated)
    try:
        hierarchy = read_hierarchy(source, *named, refuse_broken=skip_unsupported)
    except RootIsArrayError:
        root, name = root.parent()
        hierarchy, lone_array = read_array(root, name), True
    except NoMetadataError as error:
        raise explained(source, error) from None
    refuse_encoded(root, hierarchy)
    hierarchy = as_wanted(hierarchy, wishes.shards, zarr_format)
    if skip_unsupported:
        hierarchy = skip_refused(hierarchy)
    require_supported(hierarchy)
    return hierarchy, root, lone_array
