"""``parchunk demo``: the main job on a real store that it makes itself."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from parchunk.auditing import audit
from parchunk.building.build import build
from parchunk.cli import demo_store
from parchunk.cli.options import json_option
from parchunk.cli.plan import describe, print_plan
from parchunk.cli.progress import progress_shown
from parchunk.cli.summary import print_summary, summary
from parchunk.cli.tables import console
from parchunk.errors import InputError
from parchunk.extras import require
from parchunk.planning.from_source import plan as make_plan
from parchunk.reading.dataset import open_dataset


@click.command("demo", short_help="Make a Zarr store, and plan, build, audit and open it.")
@click.argument("directory", default="demo", metavar="[DIR]")
@click.option("--no-progress", is_flag=True, help="No progress bar, no log lines.")
@json_option
def command(directory: str, no_progress: bool, as_json: bool) -> int:
    """Make a real Zarr store in DIR, then plan, build, audit and open its references."""
    require("xarray", "xarray")
    import xarray

    root = Path(directory)
    out = console()

    def say(line: str) -> None:
        if not as_json:
            out.print(line)

    try:
        _refuse_used(root)
        say(f"1. writing a Zarr v3 store: {root / 'store.zarr'}")
        made = demo_store.make_demo_store(root / "store.zarr")
    except OSError as error:
        raise InputError(
            f"cannot write into {directory}: {error.strerror or error}: name another folder"
        ) from None
    say(f"   removed {len(made.removed)} chunks and left a stray, as real stores have")
    store, refs = (shlex.quote(str(path)) for path in (made.path, root / "refs.parquet"))
    say(f"2. parchunk plan {store} --region {demo_store.REGION}")
    plan = make_plan(str(made.path), region=demo_store.REGION)
    if not as_json:
        print_plan(plan, describe(plan))
    say(f"3. parchunk build {store} {refs} --region {demo_store.REGION}")
    with progress_shown(no_progress or as_json, "building") as progress:
        result = build(plan, str(root / "refs.parquet"), overwrite=True, progress=progress)
    if as_json:
        click.echo(json.dumps(summary(result)))
    else:
        print_summary(result)
    say(f"4. parchunk audit {refs}: the removed chunks are gaps, so it would exit 1")
    report = audit(result.url)
    for found in report.findings:
        say(f"   {found.severity}: {found.message}")
    say(f"   {report.verdict}; latest complete step: {report.latest_text}")
    if report.counts["damage"] or report.missing != len(made.removed):
        raise InputError("the audit does not find what was removed: please report this")
    say("5. opening the references with xarray and comparing every value with the original")
    with (
        open_dataset(result.url) as opened,
        xarray.open_dataset(str(made.path), engine="zarr", consolidated=False) as original,
    ):
        if opened.sizes != original.sizes:
            raise InputError("the references do not have the original's shape: please report this")
        for line in demo_store.compare(opened, original):
            say(f"   {line}")
    say(f"next: parchunk sql {refs}, and the README on your own store")
    return 0


def _refuse_used(root: Path) -> None:
    """Refuse a folder that holds anything but an earlier demo."""
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file: name a folder")
    if root.is_dir() and {p.name for p in root.iterdir()} - {"store.zarr", "refs.parquet"}:
        raise InputError(f"{root} holds something else: name another folder")
