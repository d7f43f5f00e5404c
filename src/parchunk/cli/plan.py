"""``parchunk plan``: what a build would do and cost, from metadata alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from parchunk.cli.many import joining_options, stores_given
from parchunk.cli.options import (
    inventory_options,
    json_option,
    plan_options,
    run_options,
    source_options,
)
from parchunk.cli.parts_forecast import describe_parts, parts_text
from parchunk.cli.prices import GET_PRICE, GET_SECONDS, LIST_PRICE, LIST_SECONDS, costs_text
from parchunk.cli.tables import console, say, table
from parchunk.cover.forecast import Forecast, forecast_jobs
from parchunk.cover.memory import (
    DEFAULT_MEMORY,
    chunk_bytes,
    kept_beyond,
    kept_bytes,
)
from parchunk.cover.room import room_for
from parchunk.cover.store_work import store_works
from parchunk.cover.walks import width_of
from parchunk.listing.choosing import choose
from parchunk.metadata import ArraySpec
from parchunk.metadata.choosing import some_of
from parchunk.out.root import V3_COSTS, left_out
from parchunk.planning.alike import alike, names_text
from parchunk.planning.from_source import plan as make_plan
from parchunk.planning.joining.regions import record_file_notes
from parchunk.planning.plan import Plan
from parchunk.planning.stretches import partition_count
from parchunk.stores.identity import HELD_BYTES
from parchunk.wording import bytes_text, count, counted, grid_text


@click.command("plan")
@click.argument("src", nargs=-1)
@joining_options
@plan_options
@run_options
@source_options
@inventory_options
@click.option(
    "--parts",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Show what a build in N parts would take, too.",
)
@json_option
def command(
    src: tuple[str, ...],
    memory: int,
    concurrency: int,
    workers: int,
    parts: int | None,
    store_options: Mapping[str, str],
    as_json: bool,
    sources: tuple[str, ...],
    **planning: Any,
) -> int:
    """Show what a build of SRC would write and cost. Reads metadata only.

    Several stores become one dataset: say how with --concat, --stack or --merge. SRC may be a
    pattern, or NAME=SRC for a store below a group.
    """
    plan = make_plan(
        stores_given(src, sources),
        **planning,
        memory=memory,
        store_options=store_options,
    )
    shown = describe(plan, memory, concurrency, workers)
    shared = None if parts is None else describe_parts(plan, parts, memory, concurrency)
    if as_json:
        document = {**plan.to_json(), "left_out": left_out(plan), "forecast": shown}
        click.echo(json.dumps(document | ({} if shared is None else {"in_parts": shared})))
    else:
        print_plan(plan, shown)
        if shared is not None:
            say(console(), parts_text(shared))
    return 0


def describe(
    plan: Plan, memory: int = DEFAULT_MEMORY, concurrency: int = 8, workers: int = 1
) -> dict[str, object]:
    """Return the forecast of a build, were every chunk there."""
    assert plan.source is not None
    workers = min(workers, concurrency)  # each lists
    share = max(concurrency // workers, 1)
    width = width_of(plan.source.manner, share)
    most_held = room_for(plan, plan.partitions(), memory, share, workers)
    costs, most = [], 0
    for work in store_works(plan, plan.source, list(plan.partitions()), workers):
        jobs = work.jobs(most_held, width)
        most = max((most, *(job.held for job in jobs)))
        costs.append(forecast_jobs(work.plan, jobs, work.beside))
    cost = Forecast.total(costs)
    remote = plan.source.manner.remote
    probed = plan.source.manner.probed
    heads = sum(array.spec.total for array in plan.arrays) if probed else 0
    files = sum(-(-array.spec.reference_total // plan.record_size) for array in plan.arrays)
    return {
        "chunks": plan.chunks,
        "partitions": partition_count(plan),
        "record_files": files,
        "jobs": cost.jobs,
        "walks": cost.walks,
        "list_requests": cost.requests if remote else 0,
        "list_requests_least": cost.least if remote else 0,
        "list_price_usd": round(cost.requests * LIST_PRICE / 1000, 4) if remote else 0,
        "list_seconds": round(cost.requests * LIST_SECONDS / concurrency, 1) if remote else 0,
        "shards": cost.shards,
        "get_requests": cost.gets if remote else 0,
        "get_requests_least": cost.gets_least if remote else 0,
        "get_price_usd": round(cost.gets * GET_PRICE / 1000, 4) if remote else 0,
        "get_seconds": round(cost.gets * GET_SECONDS / concurrency, 1) if remote else 0,
        "head_requests": heads,
        "head_price_usd": round(heads * GET_PRICE / 1000, 4),
        "head_seconds": round(heads * GET_SECONDS / concurrency, 1),
        "vector_bytes": most * chunk_bytes(plan.identity),
        "kept_bytes": kept_bytes(plan),
        **_identity_bytes(plan),
        "memory_bytes": memory,
        "listing": str(choose(plan.source)),
    }


def print_plan(plan: Plan, shown: dict[str, object]) -> None:
    """Print a plan and its forecast for people."""
    out = console()
    where = f"{plan.location.url}" + (f" (group {plan.group})" if plan.group else "")
    say(out, f"plan for {where}")
    if plan.stores is not None:
        joined = some_of([*plan.stores.kept])
        say(
            out,
            f"{counted(len(plan.stores.stores), 'store')}, {plan.stores.joining}"
            + (f"; joined and kept inline: {joined}" if joined else ""),
        )
    if plan.split is not None:
        # A region that others may follow can be longer than what there is by now.
        most = plan.cuts or any(one.stop < plan.region_length for one in plan.regions[-1:])
        say(
            out,
            f"split along {plan.split}: {counted(len(plan.regions), 'region')} of "
            f"{'up to ' if most else ''}{counted(plan.region_length, 'element')}, "
            f"{counted(plan.record_size, 'row')} a record file",
        )
    rows = [
        (
            names_text(group),
            group[0].spec.dtype,
            grid_text(group[0].spec.shape),
            _chunks_text(group[0].spec),
            sum(array.spec.reference_total for array in group),
            group[0].regions if group[0].axis is not None else "whole",
        )
        for group in alike(plan)
    ]
    columns = ("arrays", "dtype", "shape", "chunk shape", "chunks >", "regions >")
    out.print(table("", columns, rows))
    formats = sorted({f"v{array.spec.zarr_format}" for array in plan.arrays})
    say(
        out,
        f"{counted(len(plan.arrays), 'array')} of Zarr {' and '.join(formats)}, "
        f"{counted(plan.chunks, 'chunk')} in {counted(_int(shown, 'partitions'), 'partition')}, "
        f"{counted(_int(shown, 'record_files'), 'record file')}",
    )
    for line in _requests(plan, shown):
        say(out, line)
    for line in _memory(plan, shown):
        say(out, line)
    for line in _notes(plan):
        say(out, line)


def _identity_bytes(plan: Plan) -> dict[str, object]:
    """Return what it takes to keep what tells versions of objects apart; nothing where none is."""
    each = HELD_BYTES[plan.identity]
    if not each:
        return {}
    return {"identity_bytes_held_a_chunk": each, "identity_bytes_on_disk_most": each * plan.chunks}


def _memory(plan: Plan, shown: dict[str, object]) -> Iterator[str]:
    """Yield what is held at once, and what keeping identities takes, a line each."""
    kept = ""
    if kept_beyond(plan):
        kept = f"{bytes_text(_int(shown, 'kept_bytes'))} of very many arrays and partitions, "
    held = {"none": "sizes", "time": "sizes and times", "etag": "sizes and entity tags"}
    yield (
        f"memory: {bytes_text(_int(shown, 'vector_bytes'))} of {held[plan.identity]}, {kept}"
        f"bound {bytes_text(_int(shown, 'memory_bytes'))} above the imports"
    )
    if plan.identity != "none":
        yield (
            f"identity: {plan.identity}, {shown['identity_bytes_held_a_chunk']} bytes a chunk in "
            f"memory; at most {bytes_text(_int(shown, 'identity_bytes_on_disk_most'))} on disk "
            "before it is packed"
        )


def _requests(plan: Plan, shown: dict[str, object]) -> Iterator[str]:
    """Yield what is asked of the source, and what that costs, a line each."""
    if shown["list_requests"]:
        yield (
            f"LIST requests if every chunk is there: {count(_int(shown, 'list_requests'))} "
            f"(least possible {count(_int(shown, 'list_requests_least'))}), "
            f"{_costs(shown, 'list')} at {LIST_SECONDS} s a request; listed by {shown['listing']}"
        )
    elif shown["head_requests"]:
        asked = counted(_int(shown, "head_requests"), "object is", "objects are")
        yield (f"no LIST requests: {asked} asked for by HEAD, {_costs(shown, 'head')}")
    elif plan.inventory is not None:
        objects = count(plan.inventory.objects)
        yield f"no LIST requests: {plan.inventory} has {objects} objects of it"
    else:
        yield "the source is local: directories are walked, no requests are made"
    if shown["shards"]:
        yield f"sharded arrays are expanded: {count(_int(shown, 'shards'))} shard indexes" + (
            f", at most {count(_int(shown, 'get_requests'))} GET requests (least possible "
            f"{count(_int(shown, 'get_requests_least'))}), "
            f"{_costs(shown, 'get')} at {GET_SECONDS} s a request"
            if shown["get_requests"]
            else ""
        )


def _costs(shown: dict[str, object], of: str) -> str:
    return costs_text(float(str(shown[f"{of}_price_usd"])), float(str(shown[f"{of}_seconds"])))


def _notes(plan: Plan) -> Iterator[str]:
    """Yield what a reader of the plan should know, a line each."""
    if plan.hierarchy.written_format == 3:
        yield f"note: {V3_COSTS}"
    joined = () if plan.stores is None else plan.stores.kept
    kept = [name for name in plan.inlined_coordinates if name not in joined]
    if kept:
        gets = sum(plan.by_name[name].spec.reference_total for name in kept)
        remote = plan.source is not None and plan.source.manner.remote
        cost = ", a GET request each" if remote else ""
        yield f"kept inline: {some_of(kept)} ({counted(gets, 'chunk')}{cost})"
    for name, feature in plan.hierarchy.skipped:
        yield f"skipped: {name}: {feature}"
    for name, reason in plan.hierarchy.left_out:
        yield f"left out: {name}: {reason}"
    for warning in plan.hierarchy.warnings:
        yield f"note: {warning}"
    for note in (*plan.notes, *record_file_notes(plan)):
        yield f"note: {note}"


def _chunks_text(spec: ArraySpec) -> str:
    text = grid_text(spec.reference_chunks)
    return text if spec.inner_chunks is None else f"{text} in shards of {grid_text(spec.chunks)}"


def _int(shown: dict[str, object], key: str) -> int:
    value = shown[key]
    assert isinstance(value, int)
    return value
