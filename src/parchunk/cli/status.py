"""``parchunk status``: how far a build is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict

import click
from rich.console import Console

from parchunk.arguments.idle import refuse_idle
from parchunk.cli.options import json_option, output_option
from parchunk.cli.tables import console, say, table
from parchunk.cli.watching import watch as watch_build
from parchunk.out.lease import IGNORED
from parchunk.out.opening import open_output
from parchunk.out.root import left_out
from parchunk.reading.status import Status, read_status
from parchunk.wording import count, counted, part_of

#: Seconds between two looks, unless a user says otherwise.
_EVERY = 5.0

#: Arrays printed.
_PRINTED = 40


@click.command("status")
@click.argument("out")
@output_option
@click.option(
    "--watch",
    is_flag=True,
    help="Look again and again until it is finished; waits where it has not begun.",
)
@click.option(
    "--every",
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help="Seconds between two looks of --watch.  [default: 5]",
)
@json_option
def command(
    out: str, output_options: Mapping[str, str], watch: bool, every: float | None, as_json: bool
) -> int:
    """Show how far the build in OUT is. Exits 1 while it, or an update of it, is unfinished.

    Seen from any machine: what is done has receipts in OUT, and who is at work has a claim there.
    """
    if watch:
        return watch_build(open_output(out, output_options), every or _EVERY, as_json)
    refuse_idle("--watch", {"--every": every})
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
                    "relocating": status.under_way.relocating,
                    "holder": None if holder is None else str(holder),
                    "tasks_at_work": [str(claim) for claim in status.under_way.claims],
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
        say(shown, f"{status.url}: references of {status.plan.location.url}")
        _print_arrays(shown, status)
        for name, feature in status.plan.hierarchy.skipped:
            say(shown, f"skipped: {name}: {feature}")
        for name, reason in status.plan.hierarchy.left_out:
            say(shown, f"left out: {name}: {reason}")
        if status.inventory is not None:
            say(
                shown,
                f"chunks are as of the inventory of {status.inventory}: what was written since is "
                "missing",
            )
        for listing, partitions in status.listings.items():
            say(shown, f"listed by {listing}: {count(partitions)} of the partitions done")
        if status.latest is not None:
            say(shown, f"latest complete step: {status.latest}")
        say(shown, _said(status))
        holder = status.under_way.holder
        if holder is not None and not holder.conditional:
            say(shown, f"note: {IGNORED}")
    return 0 if status.finished else 1


def _print_arrays(shown: Console, status: Status) -> None:
    """Print how far each array is: of very many, those first that are not done or lack most."""
    arrays = list(status.arrays)
    if len(arrays) > _PRINTED:
        arrays.sort(key=lambda a: (a.done == a.partitions, -a.missing))
    rows = [
        (a.array, f"{count(a.done)} of {count(a.partitions)}", a.present, a.missing, a.strays)
        for a in arrays[:_PRINTED]
    ]
    columns = ("array", "partitions done", "present >", "missing >", "strays >")
    shown.print(table("", columns, rows))
    if len(arrays) > _PRINTED:
        shown.print(f"and {counted(len(arrays) - _PRINTED, 'more array')}: --json lists all")
    present, missing = (sum(getattr(a, n) for a in arrays) for n in ("present", "missing"))
    what = "chunks" if status.finished else "chunks so far"
    say(shown, f"{what}: {count(present)} present, {count(missing)} missing")


def _said(status: Status) -> str:
    """Return how far it is in words, and what to do."""
    if status.finished:
        return "published: readers can open it"
    message = status.under_way.message(status.partitions - status.done)
    out = shlex.quote(status.url)
    return (
        f"unfinished: {message}; "
        f"{part_of(status.done, status.partitions, 'partition is', 'partitions are')} done; "
        f"{status.under_way.remedy().replace('update OUT', f'update {out}')}"
    )
