"""``parchunk to-icechunk``: import finished references, one commit a region."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from parchunk.cli.dask import dask_client, dask_option
from parchunk.cli.options import (
    Size,
    json_option,
    output_option,
    parse_regions,
    repo_option,
    workers_option,
)
from parchunk.cli.progress import progress_shown
from parchunk.cli.tables import console, say
from parchunk.icechunk_import import ImportResult, adapter, to_icechunk
from parchunk.icechunk_import.importing import MAX_REFERENCES
from parchunk.wording import count, counted, duration, part_of


@click.command(
    "to-icechunk", short_help="Import the references in OUT into an Icechunk repository."
)
@click.argument("out")
@click.argument("repo")
@click.option(
    "--branch", metavar="NAME", default="main", show_default=True, help="Where to commit."
)
@click.option(
    "--append",
    metavar="DIM",
    help="Put OUT behind what REPO holds along this dimension, whoever wrote that; implies "
    "--publish.",
)
@click.option(
    "--publish",
    is_flag=True,
    help="Commit on a branch aside; move --branch only when all regions are in.",
)
@click.option(
    "--regions",
    metavar="N,N-N",
    help="Only these regions, by their numbers: 0-9,15. Default: all.",
)
@click.option(
    "--anew",
    is_flag=True,
    help="Import them also where the branch's history says that they are in: others changed it.",
)
@click.option(
    "--no-checksum",
    is_flag=True,
    help="Do not let Icechunk refuse objects that change after the listing.",
)
@click.option(
    "--max-references",
    type=click.IntRange(1),
    default=MAX_REFERENCES,
    show_default=True,
    metavar="N",
    help="Refuse regions with more.",
)
@click.option(
    "--memory",
    type=Size(),
    default="4GiB",
    show_default=True,
    metavar="SIZE",
    help="Bound on the peak above the imports; refuse regions that one commit cannot hold in it.",
)
@workers_option(
    "Processes that read and set references of regions to come while one is committed; with --dask "
    "how many of its tasks do."
)
@dask_option("Set references", "")
@click.option(
    "--drop-non-finite",
    is_flag=True,
    help="Leave out attributes with NaN or an infinity, which Icechunk cannot hold.",
)
@click.option("--include", multiple=True, metavar="GLOB", help="Only these arrays.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Not these arrays.")
@click.option(
    "--skip-unsupported",
    is_flag=True,
    help="Leave out arrays that have no form in Icechunk, and say so.",
)
@repo_option
@output_option
@click.option("--no-progress", is_flag=True, help="No progress bar, no log lines.")
@json_option
def command(
    out: str,
    repo: str,
    branch: str,
    append: str | None,
    publish: bool,
    regions: str | None,
    anew: bool,
    no_checksum: bool,
    max_references: int,
    memory: int,
    workers: int,
    dask: str | None,
    drop_non_finite: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    skip_unsupported: bool,
    repo_options: Mapping[str, str],
    output_options: Mapping[str, str],
    no_progress: bool,
    as_json: bool,
) -> int:
    """Import the references in OUT into the Icechunk repository REPO; run again to resume.

    One commit holds one region of all arrays; the hierarchy and the whole arrays are the first.
    What the branch's history says is in is not imported again, but with --anew. Exits 1 while
    regions are out.
    """
    chosen = None if regions is None else parse_regions(regions)
    adapter.load()
    adapter.quiet_logs()
    # A line a region in a log: each is a commit.
    with (
        progress_shown(no_progress or as_json, "importing", every=0.0) as progress,
        dask_client(dask) as client,
    ):
        result = to_icechunk(
            out,
            repo,
            branch=branch,
            append=append,
            publish=publish,
            regions=chosen,
            anew=anew,
            checksum=not no_checksum,
            max_references=max_references,
            memory=memory,
            workers=workers,
            executor=client,
            drop_non_finite=drop_non_finite,
            include=include,
            exclude=exclude,
            skip_unsupported=skip_unsupported,
            output_options=output_options,
            repo_options=repo_options,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(summary(result)))
    else:
        print_summary(result)
    return 0 if result.finished else 1


def summary(result: ImportResult) -> dict[str, Any]:
    """Return the closing summary as JSON values."""
    return {
        "repo": result.url,
        "branch": result.branch,
        "created": result.created,
        "published": result.published,
        "on_side": result.on_side,
        "regions_in": result.regions_in,
        "regions": result.regions_total,
        "remaining": list(result.remaining),
        "references": result.references,
        "seconds": round(result.seconds, 3),
        "notes": list(result.notes),
        "commits": [asdict(commit) for commit in result.commits],
    }


def print_summary(result: ImportResult) -> None:
    """Print the closing summary, and the line of Python that opens the result."""
    out = console()
    where = f"{result.url}, branch {result.branch}"
    if result.commits:
        deleted = sum(commit.deleted for commit in result.commits)
        say(
            out,
            f"{where}: {counted(len(result.commits), 'commit')}, "
            f"{counted(result.references, 'reference')}"
            + (f", {count(deleted)} of an earlier import deleted" if deleted else "")
            + f", {duration(result.seconds)}",
        )
    elif result.finished:
        say(out, f"{where}: everything is in already; nothing to commit")
    say(out, f"{part_of(result.regions_in, result.regions_total, 'region is', 'regions are')} in")
    for note in result.notes:
        say(out, f"note: {note}")
    if result.on_side:
        say(
            out,
            f"on branch {result.on_side} until all are in, then {result.branch} is moved: "
            "run again without --regions",
        )
    else:
        out.print(f"open it: {result.code}")
