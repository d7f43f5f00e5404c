"""``parchunk relocate``: the chunks are somewhere else now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

import click

from parchunk.building.relocating import SAMPLE, relocate
from parchunk.cli.options import json_option, memory_option, output_option, store_option
from parchunk.cli.tables import console, say
from parchunk.wording import counted


@click.command("relocate", short_help="Point the references in OUT at where the store lies now.")
@click.argument("out")
@click.argument("url")
@click.option(
    "--store",
    metavar="STORE",
    help="One of many stores, which alone is at URL now: its URL, the end of it, or its group.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=SAMPLE,
    show_default=True,
    metavar="N",
    help="Chunks to look for in the new place, about, by a HEAD request each.",
)
@memory_option
@store_option
@output_option
@json_option
def command(
    out: str,
    url: str,
    store: str | None,
    sample: int,
    memory: int,
    store_options: Mapping[str, str],
    output_options: Mapping[str, str],
    as_json: bool,
) -> int:
    """Point the references in OUT at URL, where the same store lies now, or a copy of it.

    Of many stores URL is the folder that all of them are in; with --store, where that one is.
    Nothing is listed. Metadata there must mean the same, and a sample of chunks be there in their
    sizes. Readers see the references as they were until all are written; run again to resume.
    """
    done = relocate(
        out,
        url,
        store=store,
        sample=sample,
        memory=memory,
        store_options=store_options,
        output_options=output_options,
    )
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return 0
    shown = console()
    if done.before == done.now:
        say(shown, f"{done.url}: {'; '.join(done.notes)}")
        return 0
    say(shown, f"{done.url}: references to {done.before} are to {done.now} now")
    say(
        shown,
        f"{counted(done.record_files, 'record file')} written; {counted(done.checked, 'chunk')} "
        "looked at there",
    )
    for note in done.notes:
        say(shown, f"note: {note}")
    say(shown, "readers that had OUT open must open it again, with options for the new place")
    return 0
