"""``parchunk status``: how far a build is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict

import click

from parchunk.cli.options import json_option, output_option
from parchunk.cli.tables import console, table
from parchunk.out.lease import IGNORED
from parchunk.out.opening import open_output
from parchunk.out.root import left_out
from parchunk.reading.status import Status, read_status
from parchunk.wording import count


@click.command("status")
@click.argument("out")
@output_option
@json_option
def command(out: str, output_options: Mapping[str, str], as_json: bool) -> int:
    """Show how far the build in OUT is. Exits 1 while it, or an update of it, is unfinished."""
    status = read_status(open_output(out, output_options))
    if as_json:
        holder = status.under_way.holder
        click.echo(
            json.dumps(
                {
                    "out": status.url,
                    "source": status.plan.location.url,
                    "inventory": status.inventory,
                    "listings": dict(status.listings),
                    "published": status.published,
                    "finished": status.finished,
                    "updating": status.under_way.updating,
                    "holder": None if holder is None else str(holder),
                    "partitions": status.partitions,
                    "partitions_done": status.done,
                    "latest_complete": None if status.latest is None else asdict(status.latest),
                    "arrays": [asdict(array) for array in status.arrays],
                    "skipped": [list(pair) for pair in status.plan.hierarchy.skipped],
                    "left_out": left_out(status.plan),
                }
            )
        )
    else:
        shown = console()
        shown.print(f"{status.url}: references of {status.plan.location.url}")
        rows = [
            (a.array, f"{count(a.done)} of {count(a.partitions)}", a.present, a.missing, a.strays)
            for a in status.arrays
        ]
        columns = ("array", "partitions done", "present >", "missing >", "strays >")
        shown.print(table("", columns, rows))
        for name, feature in status.plan.hierarchy.skipped:
            shown.print(f"skipped: {name}: {feature}")
        for name, reason in status.plan.hierarchy.left_out:
            shown.print(f"left out: {name}: {reason}")
        if status.inventory is not None:
            shown.print(
                f"chunks are as of the inventory of {status.inventory}: what was written since is "
                "missing"
            )
        for listing, partitions in status.listings.items():
            shown.print(f"listed by {listing}: {count(partitions)} of the partitions done")
        if status.latest is not None:
            shown.print(f"latest complete step: {status.latest}")
        shown.print(_said(status))
        holder = status.under_way.holder
        if holder is not None and not holder.conditional:
            shown.print(f"note: {IGNORED}")
    return 0 if status.finished else 1


def _said(status: Status) -> str:
    """Return how far it is in words, and what to do."""
    if status.finished:
        return "published: readers can open it"
    message = status.under_way.message(status.partitions - status.done)
    out = shlex.quote(status.url)
    return (
        f"unfinished: {message}; {count(status.done)} of {count(status.partitions)} partitions are "
        f"done; {status.under_way.remedy().replace('update OUT', f'update {out}')}"
    )
