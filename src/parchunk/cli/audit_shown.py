"""What an audit found, in the terminal, in the page's order: a picture, findings, tables."""

from __future__ import annotations

from rich.console import Console

from parchunk.auditing import AuditReport
from parchunk.auditing.by_store import COUNTED, WORDS, most_telling
from parchunk.auditing.periods import PERIOD_COLUMNS, Periods, period_rows
from parchunk.auditing.since import Since
from parchunk.cli.strips_shown import print_strips
from parchunk.cli.summary import retried
from parchunk.cli.tables import console, say, table
from parchunk.report.entries import entries_of
from parchunk.report.strips import worst_first
from parchunk.showing.columns import telling
from parchunk.wording import bytes_text, count, counted, duration

#: Stores that are printed, those that are not whole first.
_STORES = 20
#: Findings, periods and arrays printed; --json and --report have them all.
_PRINTED = 40
#: Things to do that are printed.
_REMEDIES = 8
_STYLES = {"damage": "bold red", "change": "magenta", "gap": "yellow", "notice": "cyan"}


def print_report(found: AuditReport) -> None:
    """Print the verdict, a picture, the findings with their remedies, and coverage by array."""
    out = console()
    say(out, found.url if found.of_store else f"{found.url}: references of {found.source}")
    worst = "bold red" if found.counts["damage"] else "bold yellow"
    say(out, "", found.verdict, "bold green" if found.complete else worst)
    complete = found.completeness
    if complete is not None:
        say(out, f"latest complete step along {complete.dimension}: {found.latest_text}")
    print_strips(out, found)
    _print_findings(out, found)
    if found.since is not None:
        _print_since(out, found.since)
    if found.periods is not None:
        _print_periods(out, found.periods)
    if found.stores:
        _print_stores(out, found)
    _print_arrays(out, found)
    out.print()
    if found.of_store and found.list_requests:
        say(
            out,
            f"listed with {counted(found.list_requests, 'LIST request')} (least possible "
            f"{count(found.list_requests_least)}), in {duration(found.build_seconds)}",
        )
    files = (
        f"{counted(found.record_files, 'record file')} ({bytes_text(found.record_bytes)}) checked"
    )
    # Those of the audit of a store were for that alone.
    what = f"{counted(found.expected, 'chunk')} looked for" if found.of_store else files
    say(out, f"{what} in {duration(found.seconds)}, peak memory {bytes_text(found.peak_memory)}")


def _print_findings(out: Console, found: AuditReport) -> None:
    """Print what was found by weight, what it was found with, and what to do."""
    entries = entries_of(found)
    if entries:
        out.print()
    for entry in entries[:_PRINTED]:
        head = f"{entry.severity}: "
        say(out, f"{entry.message}  [{entry.kind}]", head, _STYLES[entry.severity])
    if len(entries) > _PRINTED:
        out.print(f"and {count(len(entries) - _PRINTED)} more: --json lists them all")
    if found.comparison is not None and found.comparison.read_text:
        say(out, found.comparison.read_text)
    for note in () if found.comparison is None else found.comparison.notes:
        say(out, f"note: {note}")
    if found.comparison is not None and found.comparison.retries:
        requests = counted(found.comparison.requests, "LIST request")
        say(out, f"listed again with {requests}, {retried(found.comparison)}")
    if found.decoded is not None:
        say(out, found.decoded.text)
    if found.repository is not None:
        say(out, found.repository.text)
    remedies = [*dict.fromkeys(entry.remedy for entry in entries if entry.severity != "notice")]
    for remedy in remedies[:_REMEDIES]:
        say(out, remedy, "to do: ", "bold")
    if len(remedies) > _REMEDIES:
        out.print(
            f"and {count(len(remedies) - _REMEDIES)} more things to do: --json lists them all"
        )


def _print_since(out: Console, since: Since) -> None:
    """Print what is other than in an earlier audit."""
    out.print()
    say(out, since.title + (": nothing is new, nothing was mended" if since.is_nothing else ""))
    lines = list(since.lines())
    for word, line in lines[:_PRINTED]:
        say(out, line, f"{word}: ", "bold")
    if len(lines) > _PRINTED:
        out.print(f"and {count(len(lines) - _PRINTED)} more: --json lists them all")


def _print_arrays(out: Console, found: AuditReport) -> None:
    """Print coverage by array, of those that lack most first, without columns that say nothing."""
    arrays = worst_first(found, list(found.arrays))
    rows = [
        (
            array.array,
            array.expected,
            array.present,
            array.missing,
            array.excused,
            array.lacking,
            array.unread,
            bytes_text(array.bytes),
            array.strays,
        )
        for array in arrays[:_PRINTED]
    ]
    columns = (
        "array", "expected >", "present >", "missing >", "excused >", "lacking >", "unread >",
        "bytes >", "strays >",
    )  # fmt: skip
    out.print()
    out.print(table("", *telling(columns, rows, always=4)))
    if len(arrays) > _PRINTED:
        out.print(f"and {counted(len(arrays) - _PRINTED, 'more array')}: --json lists all")


def _print_stores(out: Console, found: AuditReport) -> None:
    """Print coverage by store: of those that are not whole, or of all where they are few."""
    whole = sum(store.whole for store in found.stores)
    rows = [store.row for store in most_telling(found.stores, _STORES)]
    columns = (*WORDS, *(f"{name} >" for name in COUNTED))
    out.print()
    out.print(table("", *telling(columns, rows, always=5)))
    rest = len(found.stores) - len(rows)
    say(
        out,
        f"{count(whole)} of {count(len(found.stores))} stores are whole"
        + (f"; {count(rest)} are not shown: --json lists all" if rest else ""),
    )


def _print_periods(out: Console, found: Periods) -> None:
    """Print the periods that are not complete, and how many are."""
    out.print()
    say(out, f"along {found.dimension}: {found.text}")
    if found.incomplete:
        last = len(PERIOD_COLUMNS) - 1
        columns = [f"{name} >" if 0 < at < last else name for at, name in enumerate(PERIOD_COLUMNS)]
        rows = period_rows(found.incomplete[:_PRINTED])
        out.print(table("", *telling((found.unit, *columns), rows, always=5)))
    if len(found.incomplete) > _PRINTED:
        out.print(f"and {count(len(found.incomplete) - _PRINTED)} more: --json lists them all")
