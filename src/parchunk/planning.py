"""From a source to its plan: reads metadata (never a listing of chunks), then plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from parchunk.metadata import (
    Hierarchy,
    RootIsArrayError,
    read_array,
    read_hierarchy,
    require_supported,
)
from parchunk.plan import Plan
from parchunk.planner import make_plan
from parchunk.source import Source


def plan(
    source: str | Source,
    *,
    split: str | int | None = None,
    region: int | None = None,
    record_size: int | None = None,
    inline_threshold: int = 0,
    group: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    store_options: Mapping[str, str] | None = None,
) -> Plan:
    """Return the plan for a Zarr store; only its metadata is read.

    Parameters
    ----------
    source
        A path, a file://, s3://, gs:// or az:// URL, or a `Source`.
    split, region, record_size, inline_threshold
        See `parchunk.planner.make_plan`; lengths in elements, sizes in rows and bytes.
    group
        The group whose arrays are referenced; names in the output are relative to it.
    include, exclude
        Globs on array names: only these, and without those.
    store_options
        Options of obstore's stores and clients, for a source given as URL.

    Raises
    ------
    InputError, SourceError, MetadataError, UnsupportedError
        In one line: what, where, and what to do.
    """
    if not isinstance(source, Source):
        source = Source.open(source, store_options)
    group = group.strip("/")
    lone_array = False
    try:
        hierarchy = read_hierarchy(source, group, include, exclude)
        source = source.child(group) if group else source
    except RootIsArrayError:
        source, name = (source.child(group) if group else source).parent()
        hierarchy = read_array(source, name)
        group, lone_array = "", True
    require_supported(hierarchy)
    made = make_plan(
        hierarchy,
        source.location,
        group=group,
        split=split,
        region=region,
        record_size=record_size,
        inline_threshold=inline_threshold,
    )
    return replace(
        made,
        source=source,
        include=tuple(include),
        exclude=tuple(exclude),
        lone_array=lone_array,
    )


def open_source(plan: Plan, store_options: Mapping[str, str] | None = None) -> Source:
    """Return the opened source of a plan; options given now come before those remembered."""
    if plan.source is not None:
        return plan.source
    options = {**dict(plan.location.options), **(store_options or {})}
    return Source.open(plan.location.url, options)


def read_again(plan: Plan, source: Source) -> Hierarchy:
    """Return the hierarchy of a plan's source as it is now, read in the way it was planned."""
    if plan.lone_array:
        return read_array(source, plan.arrays[0].spec.name)
    return read_hierarchy(source.above(plan.group), plan.group, plan.include, plan.exclude)
