"""The page: verdict and one picture, findings by weight, periods, then every array."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files

from parchunk.auditing.periods import PERIOD_COLUMNS, period_rows
from parchunk.auditing.result import AuditReport, percent
from parchunk.report.arrays import array_sections
from parchunk.report.entries import Entry, entries_of
from parchunk.report.markup import Markup, element, joined
from parchunk.report.overview import overview
from parchunk.report.tables import data_table, fact_list
from parchunk.wording import bytes_text, counted, duration

#: Findings and changed regions that the page shows; the counts are of all.
_FINDINGS, _CHANGES = 200, 200
#: Periods that are not complete, likewise.
_PERIODS = 200

_SEVERITIES = {
    "damage": "damage",
    "change": "source changed",
    "gap": "gap",
    "notice": "notice",
}


def html_page(report: AuditReport) -> str:
    """Return the page as a document of its own: no scripts, no requests, nothing unescaped."""
    style = Markup(files("parchunk.report").joinpath("style.css").read_text(encoding="utf-8"))
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        Markup(
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
        ),
        element("title", f"Audit of {report.url}"),
        element("style", style),
    ]
    body = [
        element("a", "Skip to the findings", class_="skip", href="#findings"),
        element(
            "main",
            _top(report),
            overview(report),
            _facts(report),
            _findings(report),
            _since(report),
            _periods(report),
            _changes(report),
            _repository(report),
            array_sections(report),
            _foot(report),
        ),
    ]
    page = element("html", element("head", *head), element("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _top(report: AuditReport) -> Markup:
    kind, mark = "good", "✓"
    if not report.complete:
        kind, mark = ("bad", "✗") if report.counts["damage"] else ("warn", "!")
    complete = report.completeness
    return joined(
        [
            element("h1", "Audit of ", report.url),
            element("p", "references of ", report.source, class_="soft"),
            element(
                "p",
                element("span", f"{mark} ", aria_hidden="true"),
                report.verdict[:1].upper() + report.verdict[1:],
                ".",
                class_=f"verdict {kind}",
            ),
            element(
                "p",
                f"Latest complete step along {complete.dimension}: ",
                element("strong", report.latest_text),
                ".",
            )
            if complete is not None
            else "",
        ]
    )


def _facts(report: AuditReport) -> Markup:
    facts = [
        ("chunks expected", f"{report.expected:,}"),
        ("present", f"{report.present:,} ({percent(report.present / max(report.expected, 1))})"),
        ("missing", f"{report.missing:,}"),
    ]
    if report.excused:
        facts.append(("excused", f"{report.excused:,}"))
    if report.lacking:
        facts.append(("lacking", f"{report.lacking:,}"))
    facts += [
        ("bytes referenced", bytes_text(report.bytes)),
        ("strays", f"{report.strays:,}"),
        ("arrays", f"{len(report.arrays):,}"),
        ("partitions built", _of(sum(p.done for p in report.partitions), len(report.partitions))),
        ("record files", f"{report.record_files:,} ({bytes_text(report.record_bytes)})"),
    ]
    return fact_list(facts)


def _findings(report: AuditReport) -> Markup:
    entries = entries_of(report)
    items = []
    said = ""
    for entry in entries[:_FINDINGS]:
        remedy = entry.remedy if entry.severity == "notice" else f"To do: {entry.remedy}"
        items.append(
            element(
                "li",
                element("span", _SEVERITIES[entry.severity], class_="tag"),
                entry.message,
                _members(entry),
                # The same advice for every one of many gaps would drown them.
                element("div", remedy, class_="remedy") if remedy != said else "",
                class_=entry.severity,
            )
        )
        said = remedy
    rest = len(entries) - _FINDINGS
    return joined(
        [
            element("h2", f"Findings ({len(report.findings):,})", id="findings", tabindex="-1"),
            element("ul", *items, class_="findings") if items else element("p", "None."),
            element("p", f"And {rest:,} more: parchunk audit --json lists them all.")
            if rest > 0
            else "",
        ]
    )


def _members(entry: Entry) -> Markup:
    """Return what an entry stands for, to be folded out."""
    if not entry.members:
        return Markup("")
    items = (element("li", member) for member in entry.members)
    heading = element("summary", f"all {len(entry.members):,}")
    return element("details", heading, element("ul", *items, class_="members"), class_="fold")


def _since(report: AuditReport) -> Markup:
    since = report.since
    if since is None:
        return Markup("")
    lines = list(since.lines())
    rest = len(lines) - _FINDINGS
    items = [
        element("li", element("span", word, class_="tag"), line) for word, line in lines[:_FINDINGS]
    ]
    return joined(
        [
            element("h2", since.title[:1].upper() + since.title[1:]),
            element("ul", *items, class_="findings")
            if items
            else element("p", "Nothing is new, nothing was mended."),
            element("p", f"And {rest:,} more: parchunk audit --json lists them all.")
            if rest > 0
            else "",
        ]
    )


def _periods(report: AuditReport) -> Markup:
    found = report.periods
    if found is None:
        return Markup("")
    shown = found.incomplete[:_PERIODS]
    rest = len(found.incomplete) - len(shown)
    return joined(
        [
            element("h2", f"By {found.unit}"),
            element("p", f"Along {found.dimension} {found.text}."),
            data_table(
                f"What is not complete, by {found.unit}",
                (found.unit, *PERIOD_COLUMNS),
                period_rows(shown),
            )
            if shown
            else "",
            element("p", f"And {rest:,} more: parchunk audit --json lists them all.")
            if rest
            else "",
        ]
    )


def _repository(report: AuditReport) -> Markup:
    if report.repository is None:
        return Markup("")
    said = report.repository.text
    return joined([element("h2", "The repository"), element("p", f"{said[:1].upper()}{said[1:]}.")])


def _changes(report: AuditReport) -> Markup:
    compared = report.comparison
    if compared is None:
        return Markup("")
    rows = [
        (c.array, "whole" if c.region is None else f"{c.region:,}", len(c.new), len(c.gone),
         len(c.resized), len(c.rewritten))
        for c in compared.regions[:_CHANGES]
    ]  # fmt: skip
    said = (
        f"Listed again with {counted(compared.requests, 'LIST request')} "
        f"(least possible {compared.requests_least:,})."
        if compared.requests
        else "Listed again."
    )
    if compared.read_text:
        said += f" {compared.read_text.capitalize()}."
    return joined(
        [
            element("h2", "The source as it is now"),
            element("p", said, class_="soft"),
            data_table(
                "Differences by array and region",
                ("array", "region", "new", "gone", "resized", "rewritten"),
                rows,
            )
            if rows
            else element("p", "No chunk is new, gone or changed."),
        ]
    )


def _foot(report: AuditReport) -> Markup:
    listed = [
        ("LIST requests of the build", f"{report.list_requests:,}"),
        ("least possible", f"{report.list_requests_least:,}"),
        ("retries", f"{report.retries:,}"),
    ]
    facts = [
        *(listed if report.list_requests else []),
        ("listing and writing", duration(report.build_seconds)),
        ("audit", duration(report.seconds)),
        ("peak memory of the audit", bytes_text(report.peak_memory)),
    ]
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return joined(
        [
            element("h2", "Requests and timings"),
            fact_list(facts),
            element("footer", f"Written by parchunk audit on {now}.", class_="soft"),
        ]
    )


def _of(done: int, total: int) -> str:
    return f"{done:,} of {total:,}"
