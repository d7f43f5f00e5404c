"""Fragments of HTML, one a kind of value."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from parchunk.auditing.result import AuditReport
from parchunk.building.results import BuildResult
from parchunk.icechunk_import.results import ImportResult
from parchunk.out.counts import Counts
from parchunk.planning.alike import alike, names_text
from parchunk.planning.plan import Plan
from parchunk.reading.opening_code import opening_code
from parchunk.reading.status import Status
from parchunk.report.entries import entries_of
from parchunk.report.markup import Markup, element, joined
from parchunk.report.overview import array_picture, state_text
from parchunk.report.page import html_page
from parchunk.report.plot import coverage_png
from parchunk.report.strips import worst_first
from parchunk.report.tables import data_table
from parchunk.showing.values import Shown, fragment_of, page_of, picture_of
from parchunk.stores.told_options import told_options
from parchunk.wording import bytes_text, counted, duration, grid_text

#: Rows of a table; what there are more is counted.
_ROWS = 100


def register() -> None:
    """Let values show themselves: `parchunk` does it as its names are first asked for."""
    fragment_of.register(Plan, of_plan)
    fragment_of.register(BuildResult, of_build)
    fragment_of.register(AuditReport, of_audit)
    fragment_of.register(Status, of_status)
    fragment_of.register(ImportResult, of_import)
    page_of.register(AuditReport, html_page)
    picture_of.register(AuditReport, coverage_png)


def of_plan(plan: Plan) -> str:
    """Return the arrays of a plan, those that are alike together, its regions and notes."""
    rows = [
        (
            names_text(group),
            group[0].spec.dtype,
            grid_text(group[0].spec.shape),
            grid_text(group[0].spec.reference_chunks),
            sum(array.spec.reference_total for array in group),
            f"{group[0].regions:,}" if group[0].axis is not None else "whole",
        )
        for group in alike(plan)
    ]
    columns = ("arrays", "dtype", "shape", "chunk shape", "chunks", "regions")
    regions = [(region.index, f"{region.start:,} to {region.stop - 1:,}")
               for region in plan.regions]  # fmt: skip
    left = [f"{name}: {reason}" for name, reason in plan.hierarchy.left_out]
    notes = [*plan.hierarchy.warnings, *plan.notes]
    return _whole(
        plan,
        _table("arrays", columns, rows),
        _folded(counted(len(plan.regions), "region"),
                _table("regions", ("region", "elements"), regions)) if plan.regions else "",
        _notes(f"{len(left):,} left out", left),
        _notes(counted(len(notes), "note"), notes),
    )  # fmt: skip


def of_build(result: BuildResult) -> str:
    """Return what a build came to by array, what it cost, and how to open it."""
    by_array: dict[str, list[Counts]] = {}
    for receipt in result.receipts:
        by_array.setdefault(receipt.array, []).append(receipt)
    sums = {
        name: tuple(sum(getattr(one, what) for one in some)
                    for what in ("expected", "present", "missing", "bytes", "strays"))
        for name, some in by_array.items()
    }  # fmt: skip
    rows = [(name, *told[:3], bytes_text(told[3]), told[4]) for name, told in sums.items()]
    cost = (
        f"{counted(result.requests, 'LIST request')} (least possible {result.requests_least:,}), "
        f"{counted(result.retries, 'retry', 'retries')}; {duration(result.seconds)}, peak memory "
        f"{bytes_text(result.peak_memory)}"
    )
    columns = ("array", "expected", "present", "missing", "bytes", "strays")
    place = result.plan.location
    reached = told_options("store_options", place.url, dict(place.options))
    return _whole(
        result,
        element("p", cost),
        element("pre", opening_code(result.plan, result.url, reached)),
        _folded(counted(len(rows), "array"), _table("chunks by array", columns, rows)),
        _notes(counted(len(result.notes), "note"), result.notes),
    )


def of_audit(report: AuditReport) -> str:
    """Return the verdict, the picture, and findings, periods and arrays to be folded out."""
    complete = report.completeness
    latest = "" if complete is None else (
        f"Latest complete step along {complete.dimension}: {report.latest_text}"
    )  # fmt: skip
    arrays = [
        (a.array, state_text(a), a.expected, a.present, bytes_text(a.bytes))
        for a in worst_first(report, list(report.arrays))
    ]
    columns = ("array", "state", "expected", "present", "bytes")
    return _whole(
        report,
        element("p", latest) if latest else "",
        array_picture(report, linked=False),
        _findings(report),
        _since(report),
        element("p", report.decoded.text) if report.decoded is not None else "",
        element("p", report.repository.text) if report.repository is not None else "",
        _periods(report),
        _folded(counted(len(arrays), "array"), _table("arrays", columns, arrays)),
    )


def _findings(report: AuditReport) -> Markup:
    entries = entries_of(report)
    if not entries:
        return Markup("")
    remedies = ["", *(entry.remedy for entry in entries)]
    # The same advice for every one of many gaps would drown them.
    rows = [
        (entry.severity, entry.message, "" if entry.remedy == before else entry.remedy)
        for entry, before in zip(entries, remedies, strict=False)
    ]
    return _folded(
        counted(len(report.findings), "finding"),
        _table("findings", ("severity", "what", "to do"), rows),
        opened=not report.complete and len(rows) <= 8,
    )


def _since(report: AuditReport) -> Markup:
    if report.since is None:
        return Markup("")
    rows = list(report.since.lines())
    table = _table("differences", ("", "what"), rows)
    return _folded(f"{report.since.title}: {counted(len(rows), 'difference')}", table)


def _periods(report: AuditReport) -> Markup:
    found = report.periods
    if found is None or not found.incomplete:
        return Markup("")
    rows = [(p.name or "no date", p.expected, p.missing, p.arrays_text) for p in found.incomplete]
    columns = (found.unit, "expected", "missing", "arrays that lack some")
    return _folded(found.text, _table(f"by {found.unit}", columns, rows))


def of_status(status: Status) -> str:
    """Return how far a build is, by array."""
    rows = [
        (a.array, f"{a.done:,} of {a.partitions:,}", a.present, a.missing, a.strays)
        for a in status.arrays
    ]
    said = []
    if not status.finished:
        said.append(status.under_way.message(status.partitions - status.done))
    if status.latest is not None:
        said.append(f"Latest complete step: {status.latest}")
    columns = ("array", "partitions done", "present", "missing", "strays")
    return _whole(
        status,
        *(element("p", text) for text in said),
        _folded(counted(len(rows), "array"), _table("chunks by array", columns, rows)),
    )


def of_import(result: ImportResult) -> str:
    """Return the commits of an import, and how to open what it made."""
    rows = [
        ("hierarchy" if c.region is None else f"{c.region:,}", c.snapshot, c.references, c.missing)
        for c in result.commits
    ]
    columns = ("region", "snapshot", "references", "missing")
    return _whole(
        result,
        element("pre", result.code) if result.code and not result.on_side else "",
        _folded(counted(len(rows), "commit"), _table("commits", columns, rows)) if rows else "",
        _notes(counted(len(result.notes), "note"), result.notes),
    )


def _whole(value: Shown, *parts: object) -> str:
    line = element(
        "div", element("strong", f"parchunk.{type(value).__name__} "), value.in_short, class_="line"
    )
    return element("div", element("style", _style()), line, *parts, class_="parchunk")


@cache
def _style() -> Markup:
    return Markup(files("parchunk.notebooks").joinpath("style.css").read_text(encoding="utf-8"))


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    return joined([data_table(caption, columns, rows[:_ROWS]), _more(rows)])


def _more(rows: Sequence[object]) -> Markup:
    """Return how many are not shown; nothing where all are."""
    return element("p", f"and {len(rows) - _ROWS:,} more") if len(rows) > _ROWS else Markup("")


def _folded(heading: str, content: Markup, opened: bool = False) -> Markup:
    return element("details", element("summary", heading), content, open=opened)


def _notes(heading: str, lines: Sequence[str]) -> Markup:
    if not lines:
        return Markup("")
    items = (element("li", line) for line in lines[:_ROWS])
    return _folded(heading, joined([element("ul", *items), _more(lines)]))
