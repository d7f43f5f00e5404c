"""``parchunk build``: the main job."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import click

from parchunk.building.build import build
from parchunk.building.part import build_part, inventory_turn
from parchunk.cli.dask import dask_client, dask_option
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
from parchunk.cli.part import share_of, show_part
from parchunk.cli.progress import progress_shown
from parchunk.cli.summary import show_summary
from parchunk.listing.patience import Patience
from parchunk.out.sorting_turn import Turn
from parchunk.planning.from_source import plan as make_plan
from parchunk.planning.joining.joining import Joining
from parchunk.planning.many_sources import is_many
from parchunk.planning.plan import Plan


@click.command("build", short_help="Write kerchunk Parquet references for SRC into OUT.")
@click.argument("src", nargs=-1)
@click.argument("out")
@joining_options
@plan_options
@run_options
@source_options
@inventory_options
@output_option
@effort_options
@click.option(
    "--part",
    metavar="I/N",
    help="Do part I (from 1) of N that are done on as many machines; the last one publishes. auto: "
    "by the variables of SLURM, AWS Batch, Google Cloud Batch or Cloud Run; auto/N: of Kubernetes.",
)
@dask_option("Build")
@click.option("--overwrite", is_flag=True, help="Replace a build of another plan in OUT.")
@click.option("--no-progress", is_flag=True, help="No progress bar, no log lines.")
@json_option
def command(
    src: tuple[str, ...],
    out: str,
    memory: int,
    concurrency: int,
    workers: int,
    store_options: Mapping[str, str],
    output_options: Mapping[str, str],
    trust_listing: bool,
    attempts: int,
    max_lists_per_second: float,
    part: str | None,
    dask: str | None,
    overwrite: bool,
    no_progress: bool,
    as_json: bool,
    sources: tuple[str, ...],
    **planning: Any,
) -> int:
    """Write kerchunk Parquet references for SRC into OUT; run again to resume.

    Several stores become one dataset: say how with --concat, --stack or --merge. SRC may be a
    pattern, or NAME=SRC for a store below a group.
    """
    share = None if part is None else share_of(part, workers, overwrite, dask)
    stores: Any = stores_given(src, sources, "SRC and OUT")
    planning.update(memory=memory)
    patience = Patience(attempts=attempts, lists_per_second=max_lists_per_second)
    if share is not None:
        with (
            _planned_part(stores, out, planning, store_options, output_options) as (plan, turn),
            progress_shown(no_progress or as_json, "building") as progress,
        ):
            done = build_part(
                plan,
                out,
                *share,
                memory=memory,
                concurrency=concurrency,
                trust_listing=trust_listing,
                patience=patience,
                output_options=output_options,
                progress=progress,
                turn=turn,
            )
        show_part(done, as_json, store_options, output_options)
        return 0
    plan = make_plan(stores, **planning, store_options=store_options)
    with (
        progress_shown(no_progress or as_json, "building") as progress,
        dask_client(dask) as client,
    ):
        result = build(
            plan,
            out,
            executor=client,
            memory=memory,
            concurrency=concurrency,
            workers=workers,
            trust_listing=trust_listing,
            overwrite=overwrite,
            patience=patience,
            output_options=output_options,
            progress=progress,
        )
    show_summary(result, as_json, store_options, output_options)
    return 0


@contextlib.contextmanager
def _planned_part(
    stores: Any,
    out: str,
    planning: Mapping[str, Any],
    store_options: Mapping[str, str],
    output_options: Mapping[str, str],
) -> Iterator[tuple[Plan, Turn | None]]:
    """Yield the plan of a part, and its turn where it has sorted the inventory for all of them.

    Of one store whose rows OUT keeps, it is not read again.
    """
    joining = Joining(planning["concat"], planning["stack"], planning["merge"])
    many = not isinstance(stores, str) or is_many(stores, joining)
    if many or not planning["inventory"] or planning["probe"]:
        yield make_plan(stores, **planning, store_options=store_options), None
        return
    given = {name: planning[name] for name in ("inventory", "inventory_root", "identity")}
    with inventory_turn(
        stores, out, **given, store_options=store_options, output_options=output_options
    ) as (kept, turn):
        if kept is None:
            yield make_plan(stores, **planning, store_options=store_options), turn
        else:
            read = {**planning, "inventory": (), "inventory_root": None}
            yield make_plan(kept, **read), turn
