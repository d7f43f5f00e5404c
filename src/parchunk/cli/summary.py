"""The closing summary of a build, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from parchunk.auditing.changes import Comparison
from parchunk.building.results import BuildResult, TaskResult
from parchunk.cli.tables import console, say
from parchunk.metadata.choosing import some_of
from parchunk.out.root import left_out
from parchunk.reading.opening_code import opening_code
from parchunk.stores.told_options import told_options
from parchunk.wording import bytes_text, changes_text, count, counted, duration, part_of


def summary(result: BuildResult) -> dict[str, Any]:
    """Return the closing summary as JSON values."""
    return {
        "out": result.url,
        "source": result.plan.location.url,
        "arrays": len(result.plan.arrays),
        "regions": len(result.plan.regions),
        "partitions": len(result.receipts),
        "partitions_built": result.built,
        "expected": result.expected,
        "present": result.present,
        "missing": result.missing,
        "lacking": result.lacking,
        "zero_sized": result.zero_sized,
        "shards": result.shards,
        "shards_present": result.shards_present,
        "empty_entries": result.empty_entries,
        "strays": result.strays,
        "bytes": result.bytes,
        "list_requests": result.requests,
        "list_requests_least": result.requests_least,
        "get_requests": result.gets,
        "head_requests": result.heads,
        "retries": result.retries,
        "too_busy": result.busy,
        "listing": result.listing,
        "inventory": None if result.plan.inventory is None else result.plan.inventory.to_json(),
        "changes": (
            None if result.changes is None else {**result.changes, **result.arrays_changed}
        ),
        "seconds": round(result.seconds, 3),
        "peak_memory_bytes": result.peak_memory,
        "left_out": left_out(result.plan),
        "notes": list(result.notes),
    }


def show_summary(
    result: BuildResult,
    as_json: bool,
    store_options: Mapping[str, str],
    output_options: Mapping[str, str],
) -> None:
    """Print the closing summary, as JSON where that was asked for."""
    if as_json:
        click.echo(json.dumps(summary(result)))
    else:
        print_summary(result, store_options, output_options)


def print_summary(
    result: BuildResult,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
) -> None:
    """Print the closing summary, and the line of Python that opens the result with the options."""
    out = console()
    arrays, regions = len(result.plan.arrays), len(result.plan.regions)
    say(
        out,
        f"{result.url}: {counted(arrays, 'array')}, {counted(regions, 'region')}, "
        f"{counted(len(result.receipts), 'partition')} ({count(result.built)} built now)",
    )
    say(
        out,
        f"{part_of(result.present, result.expected, 'chunk')} present "
        f"({bytes_text(result.bytes)}), {count(result.missing)} missing"
        + _missing_apart(result)
        + f", {counted(result.strays, 'stray')}",
    )
    if result.changes is not None:
        said = changes_text(result.changes) or "counts are as they were"
        for how, names in result.arrays_changed.items():
            if names:
                said += f"; {how.replace('_', ' that ').replace('gone', 'are gone')}: "
                said += some_of(names)
        say(out, f"since before: {said}")
    if result.shards:
        say(
            out,
            f"{part_of(result.shards_present, result.shards, 'shard')} present, "
            f"{counted(result.gets, 'GET')} for their indexes now"
            + (
                f"; {count(result.empty_entries)} of the missing chunks are empty entries of "
                "shards that are there"
                if result.missing
                else ""
            ),
        )
    if result.requests:
        say(
            out,
            f"{counted(result.requests, 'LIST request')}, gaps listed twice included "
            f"(least possible {count(result.requests_least)}), "
            f"{retried(result)}; listed by {result.listing}",
        )
    elif result.heads:
        say(out, f"no LIST requests: {count(result.heads)} questions for single chunks")
    elif result.plan.inventory is not None:
        say(out, f"no LIST requests: listed by {result.listing}")
    say(out, f"{duration(result.seconds)}, peak memory {bytes_text(result.peak_memory)}")
    for note in result.notes:
        say(out, f"note: {note}")
    options = told_options("store_options", result.plan.location.url, store_options)
    options += told_options("output_options", result.url, output_options)
    out.print(f"open it: {opening_code(result.plan, result.url, options)}")


def _missing_apart(result: BuildResult) -> str:
    """Return how many of the missing chunks are not just absent, for those that there are."""
    found = {
        "lacking, as their stores have no such array": result.lacking,
        "empty objects": result.zero_sized,
    }
    said = [f"{count(number)} of them {what}" for what, number in found.items() if number]
    return f" ({'; '.join(said)})" if said else ""


def retried(result: BuildResult | TaskResult | Comparison) -> str:
    """Return how many requests were tried again, and how many of them as the store was busy."""
    busy = f" ({count(result.busy)} as the store was too busy)" if result.busy else ""
    return counted(result.retries, "retry", "retries") + busy
