"""``parchunk update``: the source grew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from parchunk.auditing import audit
from parchunk.building.update import update
from parchunk.cli.dask import dask_client, dask_option
from parchunk.cli.options import (
    effort_options,
    inventory_options,
    json_option,
    listing_option,
    output_option,
    parse_regions,
    run_options,
    store_option,
)
from parchunk.cli.progress import progress_shown
from parchunk.cli.summary import show_summary
from parchunk.listing.patience import Patience


@click.command("update", short_help="List and write what came to the source of OUT since.")
@click.argument("out")
@click.argument("stores", nargs=-1, metavar="[STORE]...")
@click.option(
    "--labels", default="", metavar="A,B,..", help="Labels of STORE..., where stores are stacked."
)
@click.option(
    "--regions",
    metavar="N,N-N",
    help="List these again, too, by their numbers: 0-9,15.",
)
@click.option(
    "--arrays",
    metavar="NAME",
    multiple=True,
    help="List this array again, too, all regions of it; may be repeated.",
)
@click.option(
    "--no-gaps",
    is_flag=True,
    help="Leave regions alone that were full but for missing chunks: for stores that never write "
    "some of their chunks.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Audit OUT first, and list and write again what is damaged; of the rest, what came. "
    "Implies --no-gaps.",
)
@click.option(
    "--exclude", metavar="GLOB", multiple=True, help="Arrays that came and are to be left out."
)
@click.option(
    "--skip-unsupported",
    is_flag=True,
    help="Leave out arrays that came and cannot be referenced or read, instead of refusing.",
)
@click.option(
    "--allow-shrink",
    is_flag=True,
    help="Take chunks beyond the end of arrays that became shorter out of the references.",
)
@click.option("--allow-gone", is_flag=True, help="Take arrays that are gone out of the references.")
@run_options
@listing_option
@inventory_options
@store_option
@output_option
@effort_options
@dask_option(
    "List and write", "; --memory and --concurrency are for each task; replacements are made here"
)
@click.option("--no-progress", is_flag=True, help="No progress bar, no log lines.")
@json_option
def command(
    out: str,
    stores: tuple[str, ...],
    regions: str | None,
    no_gaps: bool,
    repair: bool,
    store_options: Mapping[str, str],
    output_options: Mapping[str, str],
    attempts: int,
    max_lists_per_second: float,
    dask: str | None,
    no_progress: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """List and write what came to the source of OUT since; run again to resume.

    Of many stores: those that came behind the others, STORE... or by the pattern that OUT was built
    of, and what the last one has grown by.

    That is: new regions and arrays, regions whose last chunks were partly filled, regions with
    missing chunks, and whole arrays of up to one page of keys. Of arrays that grew along another
    axis than their leading one, what came; arrays of other chunks or codecs anew. Readers see OUT
    as it was until all of it is done, but for chunks that fill gaps: those as they are written.
    """
    damaged = None
    if repair:
        with progress_shown(no_progress or as_json, "auditing") as checked:
            damaged = audit(out, output_options=output_options, progress=checked).damaged
    with (
        dask_client(dask) as client,
        progress_shown(no_progress or as_json, "updating") as progress,
    ):
        result = update(
            out,
            stores,
            **given,
            regions=() if regions is None else parse_regions(regions),
            gaps=not no_gaps,
            repair=damaged,
            patience=Patience(attempts=attempts, lists_per_second=max_lists_per_second),
            store_options=store_options,
            output_options=output_options,
            executor=client,
            progress=progress,
        )
    show_summary(result, as_json, store_options, output_options)
    return 0
