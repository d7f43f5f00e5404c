"""``parchunk build``: the main job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from parchunk.building.build import build
from parchunk.building.results import BuildResult
from parchunk.cli.many import joining_options, stores_given
from parchunk.cli.options import (
    effort_options,
    inventory_options,
    json_option,
    output_option,
    plan_options,
    run_options,
    source_options,
)
from parchunk.cli.progress import progress_shown
from parchunk.cli.tables import console
from parchunk.listing.patience import Patience
from parchunk.out.root import left_out
from parchunk.planning.from_source import plan as make_plan
from parchunk.wording import bytes_text, count, duration


@click.command("build")
@click.argument("src", nargs=-1)
@click.argument("out")
@joining_options
@plan_options
@run_options
@source_options
@inventory_options
@output_option
@effort_options
@click.option("--overwrite", is_flag=True, help="Replace a build of another plan in OUT.")
@click.option("--no-progress", is_flag=True, help="No progress bar, no log lines.")
@json_option
def command(
    src: tuple[str, ...],
    out: str,
    split: str | None,
    region: int | None,
    record_size: int | None,
    inline_threshold: int,
    memory: int,
    concurrency: int,
    workers: int,
    group: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    consolidated: str,
    listing: str | None,
    inventory: tuple[str, ...],
    inventory_root: str | None,
    shards: str,
    zarr_format: int | None,
    skip_unsupported: bool,
    store_options: Mapping[str, str],
    output_options: Mapping[str, str],
    trust_listing: bool,
    attempts: int,
    overwrite: bool,
    no_progress: bool,
    as_json: bool,
    sources: tuple[str, ...],
    **joining: Any,
) -> int:
    """Write kerchunk Parquet references for SRC into OUT; run again to resume.

    Several stores become one dataset: say how with --concat, --stack or --merge. SRC may be a
    pattern, or NAME=SRC for a store below a group.
    """
    plan = make_plan(
        stores_given(src, sources, "SRC and OUT"),
        **joining,
        split=split,
        region=region,
        record_size=record_size,
        inline_threshold=inline_threshold,
        group=group,
        include=include,
        exclude=exclude,
        shards=shards,
        zarr_format=zarr_format,
        skip_unsupported=skip_unsupported,
        consolidated=consolidated,
        listing=listing,
        inventory=inventory,
        inventory_root=inventory_root,
        memory=memory,
        store_options=store_options,
    )
    with progress_shown(no_progress or as_json) as progress:
        result = build(
            plan,
            out,
            memory=memory,
            concurrency=concurrency,
            workers=workers,
            trust_listing=trust_listing,
            overwrite=overwrite,
            patience=Patience(attempts=attempts),
            output_options=output_options,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(summary(result)))
    else:
        print_summary(result)
    return 0


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
        "zero_sized": result.zero_sized,
        "shards": result.shards,
        "shards_present": result.shards_present,
        "empty_entries": result.empty_entries,
        "strays": result.strays,
        "bytes": result.bytes,
        "list_requests": result.requests,
        "list_requests_least": result.requests_least,
        "get_requests": result.gets,
        "retries": result.retries,
        "listing": result.listing,
        "inventory": None if result.plan.inventory is None else result.plan.inventory.to_json(),
        "seconds": round(result.seconds, 3),
        "peak_memory_bytes": result.peak_memory,
        "left_out": left_out(result.plan),
        "notes": list(result.notes),
    }


def print_summary(result: BuildResult) -> None:
    """Print the closing summary, and the line of Python that opens the result."""
    out = console()
    arrays, regions = len(result.plan.arrays), len(result.plan.regions)
    out.print(
        f"{result.url}: {count(arrays)} arrays, {count(regions)} regions, "
        f"{count(len(result.receipts))} partitions ({count(result.built)} built now)"
    )
    out.print(
        f"{count(result.present)} of {count(result.expected)} chunks present "
        f"({bytes_text(result.bytes)}), {count(result.missing)} missing"
        + (f" ({count(result.zero_sized)} of them empty objects)" if result.zero_sized else "")
        + f", {count(result.strays)} strays"
    )
    if result.shards:
        out.print(
            f"{count(result.shards_present)} of {count(result.shards)} shards present, "
            f"{count(result.gets)} of their indexes read now; {count(result.empty_entries)} of "
            "the missing chunks are empty entries of shards that are there"
        )
    if result.requests:
        out.print(
            f"{count(result.requests)} LIST requests, gaps listed twice included "
            f"(least possible {count(result.requests_least)}), {count(result.retries)} retries; "
            f"listed by {result.listing}"
        )
    elif result.plan.inventory is not None:
        out.print(f"no LIST requests: listed by {result.listing}")
    out.print(f"{duration(result.seconds)}, peak memory {bytes_text(result.peak_memory)}")
    for note in result.notes:
        out.print(f"note: {note}")
    out.print(f'open it: parchunk.open_dataset("{result.url}")')
