"""``parchunk audit``: is every chunk accounted for, every reference right, nothing changed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from parchunk.arguments.idle import refuse_idle
from parchunk.auditing import AuditReport, audit
from parchunk.auditing.periods import FITTING, UNITS
from parchunk.auditing.since import compared, read_audit
from parchunk.auditing.store_report import report_of_repository, report_of_store
from parchunk.cli.audit_shown import print_report
from parchunk.cli.audit_store import (
    OF_SOURCE,
    STORE_ONLY,
    Asked,
    is_store,
    is_store_alone,
    native_references,
    policy_of,
    references_of,
    refuse_beside_native,
    refuse_beside_store,
    refuse_store_options,
)
from parchunk.cli.dask import dask_client, dask_option
from parchunk.cli.options import (
    Size,
    consolidated_option,
    file_option,
    inventory_options,
    json_option,
    listing_option,
    output_option,
    rate_option,
    repo_option,
    store_option,
    workers_option,
)
from parchunk.cli.own_files import refuse_own
from parchunk.cli.progress import progress_shown
from parchunk.cli.tables import console
from parchunk.cover.memory import DEFAULT_MEMORY
from parchunk.errors import InputError
from parchunk.metadata.spreading import Each, dumped
from parchunk.out.opening import open_output
from parchunk.out.output import Output


@click.command("audit", short_help="Check every reference in OUT, or every chunk of a store.")
@click.argument("out", metavar="OUT|SRC|REPO")
@click.option(
    "--against-source", is_flag=True, help="List the source again: new, gone, changed chunks."
)
@click.option(
    "--icechunk",
    metavar="REPO",
    help="Compare with the Icechunk repository that OUT was imported into.",
)
@click.option(
    "--native",
    is_flag=True,
    help="OUT is an Icechunk repository: tell which of its own chunks are missing.",
)
@click.option(
    "--branch", metavar="NAME", help="The branch of --icechunk or --native.  [default: main]"
)
@repo_option
@click.option(
    "--expect",
    multiple=True,
    metavar="DIM=START:STOP",
    help="Expect chunks only in these elements of a dimension, or from one date of the split "
    "dimension to another: time=2015-01-11:2018-05-15.",
)
@click.option("--allow-missing", multiple=True, metavar="GLOB", help="Arrays that may have gaps.")
@click.option(
    "--max-missing",
    metavar="PERCENT",
    help="Missing chunks that each array may have.  [default: 0]",
)
@click.option(
    "--policy",
    metavar="FILE.toml",
    help="Say by array where chunks are expected, which are meant to be empty, and how many may be "
    "missing; the options above come after it.",
)
@click.option(
    "--by",
    type=click.Choice(UNITS),
    help="Tell which years, months, days or hours are complete.",
)
@click.option(
    "--decode",
    metavar="PERCENT%|N",
    help="Read such a share of the chunks, or so many, and decode them: a listing shows no more "
    "than that they are there.",
)
@click.option(
    "--keep",
    metavar="OUT",
    help="Of SRC: keep the references that are made for the audit.",
)
@click.option("--split", metavar="DIM", help="Of SRC: the dimension that gaps are told along.")
@click.option(
    "--region", metavar="ELEMENTS|PERIOD", help="Of SRC: the length of regions, or month, 31D, ..."
)
@click.option("--group", default="", metavar="PATH", help="Of SRC: the Zarr group to take.")
@click.option("--include", multiple=True, metavar="GLOB", help="Of SRC: only these arrays.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Of SRC: not these arrays.")
@click.option(
    "--skip-unsupported",
    is_flag=True,
    help="Of SRC: leave out arrays that cannot be referenced or read, and say so.",
)
@file_option("--report", "FILE.html", "Write a page for people: one file, no network.")
@file_option("--junit", "FILE.xml", "Write JUnit XML for CI: a test case an array.")
@file_option("--markdown", "FILE.md", "Write Markdown, as for the summary of a CI job.")
@click.option(
    "--since",
    metavar="AUDIT.json",
    help="Tell what is new since an earlier audit, which --json printed, and what was mended.",
)
@file_option("--plot", "FILE.png", "Draw the coverage (needs the extra plot).")
@click.option(
    "--memory",
    type=Size(),
    default=DEFAULT_MEMORY,
    metavar="SIZE",
    help="Bound of listings (of SRC, or --against-source) above the imports.  [default: 512MiB]",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1024),
    default=8,
    show_default=True,
    metavar="N",
    help="Listings side by side, of SRC or --against-source, and reads of --decode; without "
    "either nothing is asked of the source of OUT.",
)
@workers_option("Processes that share the work, --memory and --concurrency.")
@dask_option("Audit")
@rate_option(
    "LIST requests that --against-source may begin a second, shared out among --workers; each task "
    "of --dask may send as many."
)
@consolidated_option(
    "How --against-source takes consolidated metadata.  [default: as it was planned]"
)
@listing_option
@inventory_options
@store_option
@output_option
@click.option("--no-progress", is_flag=True, help="No progress bar.")
@json_option
def command(
    out: str,
    against_source: bool,
    icechunk: str | None,
    native: bool,
    branch: str | None,
    repo_options: Mapping[str, str],
    by: str | None,
    report: Path | None,
    junit: Path | None,
    markdown: Path | None,
    since: str | None,
    plot: Path | None,
    memory: int,
    concurrency: int,
    workers: int,
    dask: str | None,
    max_lists_per_second: float,
    store_options: Mapping[str, str],
    output_options: Mapping[str, str],
    no_progress: bool,
    as_json: bool,
    **rules: Any,
) -> int:
    """Check every reference in OUT. Exits 0 when complete, 1 with findings, 2 when it cannot.

    Strays and unusual sizes are notices: alone they leave the references complete.

    Of SRC, a Zarr store, every chunk is looked for: references are made for that in a temporary
    folder, and are gone afterwards. Of REPO, a native Icechunk repository (--native), likewise.
    """
    of_store = {name: rules.pop(name) for name in STORE_ONLY}
    of_source = {name: rules.pop(name) for name in OF_SOURCE}
    _refuse_no_picture(plot)
    branch = _branch_of(native or icechunk is not None, branch, repo_options)
    quiet = no_progress or as_json
    # A page for people has the periods that there is room for.
    by = by or (FITTING if report is not None else None)
    rate = max_lists_per_second
    asked = Asked(out, by, memory, concurrency, workers, rate, output_options, quiet)
    with ExitStack() as stack:
        store = not native and is_store(out, store_options, output_options)
        keep, files = of_store["keep"], (report, junit, markdown, plot)
        place = out if native or is_store_alone(out) else open_output(out, output_options)
        _refuse_own_files(place, store or native, icechunk, keep, output_options, files)
        chosen = {"memory": memory, **{name: of_store[name] for name in of_store if name != "keep"}}
        if native:
            refuse_beside_native(click.get_current_context())
            where = stack.enter_context(
                native_references(asked, branch, repo_options, chosen, policy_of(rules, since))
            )
        elif store:
            refuse_beside_store(out, dask, bool(against_source or icechunk))
            chosen |= {"store_options": store_options, **of_source}
            chosen["consolidated"] = chosen["consolidated"] or "auto"
            where = stack.enter_context(references_of(asked, keep, chosen, policy_of(rules, since)))
        else:
            where = out
            refuse_store_options(of_store)
            # Of a store all that was asked of its listing, when references of it were made.
            rules |= {"max_lists_per_second": max_lists_per_second, **of_source}
        client = stack.enter_context(dask_client(dask))
        progress = stack.enter_context(progress_shown(quiet, "auditing"))
        found = audit(
            where,
            against_source=against_source,
            icechunk=icechunk,
            branch="main" if native else branch,
            repo_options={} if native else repo_options,
            by=by,
            since=None if native else since,
            store_options=store_options,
            output_options=output_options,
            memory=memory,
            concurrency=concurrency,
            workers=workers,
            executor=client,
            progress=progress,
            **rules,
        )
        if native:
            found = _of_repository(found, out, since)
        elif store and not keep:
            found = report_of_store(found)
    written = _written(found, report=report, junit=junit, markdown=markdown, plot=plot)
    _show(found, as_json, written)
    return found.exit_code


def _refuse_own_files(
    place: str | Output,
    of_store: bool,
    icechunk: str | None,
    keep: str | None,
    output_options: Mapping[str, str],
    files: Sequence[Path | None],
) -> None:
    """Refuse to write a report over a part of what is audited, of REPO, or of what is kept."""
    refuse_own(place, files, of_store=of_store)
    if icechunk:
        refuse_own(icechunk, files, of_store=True)
    if keep:
        refuse_own(open_output(keep, output_options), files)


def _branch_of(asked: bool, branch: str | None, repo_options: Mapping[str, str]) -> str:
    """Return the branch of the repository that is ``asked`` for; refuse to name one of none."""
    if not asked:
        refuse_idle(
            "--icechunk or --native",
            {"--branch": branch is not None, "--repo-option": repo_options},
        )
    else:
        from parchunk.icechunk_import import adapter

        adapter.quiet_logs()  # written to standard output, before what --json prints
    return "main" if branch is None else branch


def _of_repository(found: AuditReport, repo: str, since: str | None) -> AuditReport:
    """Return what was found of a repository's own chunks, as of the repository."""
    found = report_of_repository(found, repo)
    if since is None:
        return found
    return replace(found, since=compared(found, since, read_audit(since)))


def _show(found: AuditReport, as_json: bool, written: Sequence[Path]) -> None:
    """Print what was found, and, for people, where it was ``written``, too."""
    if as_json:
        for piece in dumped(found.to_json(each=Each), 2):
            click.echo(piece, nl=False)
        click.echo()
        return
    print_report(found)
    for path in written:
        console().print(f"written: {path}")


def _refuse_no_picture(plot: Path | None) -> None:
    """Refuse what would be no PNG, or cannot be drawn, before the work is done."""
    if plot is not None:
        from parchunk.report.plot import require_plot

        require_plot()
        if plot.suffix.lower() not in ("", ".png"):
            raise InputError(f"--plot {plot}: it is a PNG: name a file that ends with .png")


def _written(found: AuditReport, **files: Path | None) -> list[Path]:
    """Write what was found in each form that a file is given for; return the files."""
    asked = {form: path for form, path in files.items() if path is not None}
    for form, path in asked.items():
        if form == "report":
            from parchunk.report import html_page

            _save(path, html_page(found).encode())
        elif form == "junit":
            from parchunk.report.junit import junit_xml

            _save(path, junit_xml(found))
        elif form == "markdown":
            from parchunk.report.markdown import markdown

            _save(path, markdown(found).encode())
        else:
            from parchunk.report.plot import coverage_png

            _save(path, coverage_png(found))
    return list(asked.values())


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}: name another file") from None
