"""What an audit found, in the terminal: the verdict, coverage, findings with their remedies."""

from __future__ import annotations

from parchunk.auditing import AuditReport
from parchunk.auditing.by_store import most_telling
from parchunk.auditing.periods import PERIOD_COLUMNS, Periods, period_rows
from parchunk.cli.tables import console, table
from parchunk.wording import bytes_text, count, duration

#: Stores that are printed, those that are not whole first.
_STORES = 20
#: Findings printed; --json and --report have them all.
_PRINTED = 40


def print_report(found: AuditReport) -> None:
    """Print the verdict, coverage by array, and the findings with their remedies."""
    out = console()
    out.print(found.url if found.of_store else f"{found.url}: references of {found.source}")
    out.print(found.verdict)
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
        for array in found.arrays
    ]
    columns = (
        "array", "expected >", "present >", "missing >", "excused >", "lacking >", "unread >",
        "bytes >", "strays >",
    )  # fmt: skip
    out.print(table("", columns, rows))
    if found.stores:
        _print_stores(found)
    complete = found.completeness
    if complete is not None:
        out.print(f"latest complete step along {complete.dimension}: {found.latest_text}")
    if found.periods is not None:
        _print_periods(found.periods)
    for item in found.findings[:_PRINTED]:
        out.print(f"{item.severity}: {item.message}  [{item.kind}]")
    if len(found.findings) > _PRINTED:
        out.print(f"and {count(len(found.findings) - _PRINTED)} more: --json lists them all")
    if found.comparison is not None and found.comparison.read_text:
        out.print(found.comparison.read_text)
    if found.decoded is not None:
        out.print(found.decoded.text)
    remedies = list(dict.fromkeys(f.remedy for f in found.findings if f.severity != "notice"))
    for remedy in remedies[:8]:
        out.print(f"to do: {remedy}")
    if found.of_store and found.list_requests:
        out.print(
            f"listed with {count(found.list_requests)} LIST requests (least possible "
            f"{count(found.list_requests_least)}), in {duration(found.build_seconds)}"
        )
    out.print(
        f"{count(found.record_files)} record files ({bytes_text(found.record_bytes)}) checked in "
        f"{duration(found.seconds)}, peak memory {bytes_text(found.peak_memory)}"
    )


def _print_stores(found: AuditReport) -> None:
    """Print coverage by store: of those that are not whole, or of all where they are few."""
    whole = sum(store.whole for store in found.stores)
    rows = [
        (
            store.url,
            store.elements_text,
            store.expected,
            store.present,
            store.missing,
            store.excused,
            store.lacking,
            store.unread,
        )
        for store in most_telling(found.stores, _STORES)
    ]
    columns = (
        "store", "elements", "expected >", "present >", "missing >", "excused >", "lacking >",
        "unread >",
    )  # fmt: skip
    out = console()
    out.print(table("", columns, rows))
    rest = len(found.stores) - len(rows)
    out.print(
        f"{count(whole)} of {count(len(found.stores))} stores are whole"
        + (f"; {count(rest)} are not shown: --json lists all" if rest else "")
    )


def _print_periods(found: Periods) -> None:
    """Print the periods that are not complete, and how many are."""
    out = console()
    out.print(f"along {found.dimension}: {found.text}")
    if found.incomplete:
        last = len(PERIOD_COLUMNS) - 1
        columns = [f"{name} >" if 0 < at < last else name for at, name in enumerate(PERIOD_COLUMNS)]
        out.print(table("", (found.unit, *columns), period_rows(found.incomplete[:_PRINTED])))
    if len(found.incomplete) > _PRINTED:
        out.print(f"and {count(len(found.incomplete) - _PRINTED)} more: --json lists them all")
