"""The page: verdict first, then findings, then every array in pictures and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.resources import files

from parchunk.auditing.gaps import largest
from parchunk.auditing.result import ArrayAudit, AuditReport, percent
from parchunk.metadata.spec import ArraySpec
from parchunk.report import pictures
from parchunk.report.markup import Markup, element, joined
from parchunk.wording import bytes_text, duration, grid_text

#: Findings, gaps and partitions that the page shows of each list; the counts are of all.
_FINDINGS, _GAPS, _PARTITIONS, _CHANGES = 200, 100, 200, 200
#: Arrays that get pictures, those with findings first, then the largest.
PICTURED = 40

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
            _findings(report),
            _changes(report),
            _arrays(report),
            _foot(report),
        ),
    ]
    page = element("html", element("head", *head), element("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _top(report: AuditReport) -> Markup:
    kind, mark = "good", "✓"
    if not report.complete:
        kind, mark = ("bad", "✗") if report.counts["damage"] else ("warn", "!")
    facts = [
        ("chunks expected", f"{report.expected:,}"),
        ("present", f"{report.present:,} ({percent(report.present / max(report.expected, 1))})"),
        ("missing", f"{report.missing:,}"),
    ]
    if report.excused:
        facts.append(("missing by design", f"{report.excused:,}"))
    facts += [
        ("bytes referenced", bytes_text(report.bytes)),
        ("strays", f"{report.strays:,}"),
        ("arrays", f"{len(report.arrays):,}"),
        ("partitions built", _of(sum(p.done for p in report.partitions), len(report.partitions))),
        ("record files", f"{report.record_files:,} ({bytes_text(report.record_bytes)})"),
    ]
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
            _facts(facts),
        ]
    )


def _findings(report: AuditReport) -> Markup:
    items = []
    said = ""
    for found in report.findings[:_FINDINGS]:
        remedy = found.remedy if found.severity == "notice" else f"To do: {found.remedy}"
        items.append(
            element(
                "li",
                element("span", _SEVERITIES[found.severity], class_="tag"),
                found.message,
                # The same advice for every one of many gaps would drown them.
                element("div", remedy, class_="remedy") if remedy != said else "",
                class_=found.severity,
            )
        )
        said = remedy
    rest = len(report.findings) - _FINDINGS
    return joined(
        [
            element("h2", f"Findings ({len(report.findings):,})", id="findings", tabindex="-1"),
            element("ul", *items, class_="findings") if items else element("p", "None."),
            element("p", f"And {rest:,} more: parchunk audit --json lists them all.")
            if rest > 0
            else "",
        ]
    )


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
        f"Listed again with {compared.requests:,} LIST requests "
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
            _table(
                "Differences by array and region",
                ("array", "region", "new", "gone", "resized", "rewritten"),
                rows,
            )
            if rows
            else element("p", "No chunk is new, gone or changed."),
        ]
    )


def _arrays(report: AuditReport) -> Markup:
    concerned = {found.array for found in report.findings}
    order = sorted(report.arrays, key=lambda a: (a.array not in concerned, -a.expected, a.array))
    rows: list[tuple[object, ...]] = [
        (a.array, a.expected, a.present, a.missing, a.excused, a.unread, bytes_text(a.bytes),
         a.strays)
        for a in report.arrays
    ]  # fmt: skip
    columns = ["array", "expected", "present", "missing", "by design", "unread", "bytes", "strays"]
    # Columns that say nothing cost a phone the most.
    shown = [
        at for at, name in enumerate(columns) if name in columns[:4] or any(r[at] for r in rows)
    ]
    columns = [columns[at] for at in shown]
    rows = [tuple(row[at] for at in shown) for row in rows]
    parts = [
        element("h2", "Coverage"),
        _table("Chunks by array", columns, rows),
        element("h2", "Arrays"),
        *(
            _array(report, array, position < PICTURED, array.array in concerned)
            for position, array in enumerate(order)
        ),
    ]
    return joined(parts)


def _array(report: AuditReport, array: ArrayAudit, pictured: bool, opened: bool) -> Markup:
    spec = report.plan.by_name[array.array].spec
    heading = element(
        "summary",
        element("h3", array.array),
        element(
            "span",
            f"{array.present:,} of {array.expected:,} chunks, {bytes_text(array.bytes)}"
            + (f", {array.missing:,} missing" if array.missing else "")
            + (f", {array.unread:,} unread" if array.unread else ""),
            class_="soft",
        ),
    )
    facts = [
        ("Zarr format", f"v{spec.zarr_format}"),
        ("data type", spec.dtype),
        ("shape", grid_text(spec.shape)),
        ("chunk shape", grid_text(spec.reference_chunks)),
        ("chunk grid", grid_text(spec.reference_grid)),
        ("median chunk", bytes_text(array.sizes.median) if array.sizes.count else "none"),
    ]
    if spec.inner_chunks is not None:
        absent = array.shards_expected - array.shards_present
        facts += [
            ("shard shape", grid_text(spec.chunks)),
            ("shards", f"{array.shards_present:,} of {array.shards_expected:,}, {absent:,} absent"),
            ("empty in shards that are there", f"{array.empty_entries:,} chunks"),
        ]
    if array.inlined:
        facts.append(("inlined chunks", f"{array.inlined:,}"))
    parts: list[object] = [_facts(facts)]
    if pictured and array.expected:
        parts += _pictures(report, array, spec)
    elif array.expected:
        parts.append(
            element("p", f"Pictures are drawn for {PICTURED} arrays, those with findings first.")
        )
    parts += [_gaps(array), _partitions(report, array), _strays(array)]
    return element("details", heading, *parts, open=opened)


def _pictures(report: AuditReport, array: ArrayAudit, spec: ArraySpec) -> list[object]:
    heat = array.heat
    along = (spec.dimension_names[heat.axis] or f"axis {heat.axis}") if spec.rank else "the scalar"
    there = percent(array.present / max(array.expected, 1))
    summary = f"{array.array}: {there} of the chunks are there, " + (
        f"{array.gap_count:,} gaps along {along}" if array.gap_count else "no gaps"
    )
    ends = _ends(report, spec, heat.axis)
    per_column = -(-heat.steps // heat.across)
    parts: list[object] = []
    if heat.steps > 1:
        parts += [
            element("h4", f"Coverage along {along}"),
            pictures.coverage(heat, f"Coverage along {along}. {summary}."),
            ends,
            _legend(
                ("there", "there"), ("absent", "missing (never less than a line)"),
                ("unread", "not built, or unreadable") if array.unread else None,
            ),
        ]  # fmt: skip
    if array.expected > 1:
        each = (
            "one chunk" if heat.across * heat.down == array.expected
            else f"up to {per_column * -(-heat.others // heat.down):,} chunks"
        )  # fmt: skip
        sizes = pictures.shade_sizes(heat)
        smallest, largest = (bytes_text(size) for size in sizes) if sizes else ("none", "none")
        down = "all other axes ravelled" if heat.others > 1 else "one row"
        parts += [
            element("h4", "Chunk sizes over the grid"),
            pictures.heat_map(
                heat,
                f"Mean chunk size over the grid, {along} across, {down} down; a cell is {each}. "
                f"{summary}. Mean sizes go from {smallest} to {largest}.",
            ),
            ends,
            _legend(
                ("ramp", f"mean size, {smallest} to {largest}"),
                ("some", "some of the cell missing"),
                ("absent", "all of the cell missing"),
                ("unread", "not built, or unreadable") if array.unread else None,
            ),
            element(
                "p",
                f"{along} goes across, {down} goes down; a cell is {each}, and is marked when any "
                "of them is missing.",
                class_="soft",
            ),
        ]
    bins = array.sizes.histogram()
    if array.sizes.count > 1 and bins:
        most = max(count for _, _, count in bins)
        parts += [
            element("h4", "Chunk sizes"),
            pictures.histogram(
                bins,
                f"Histogram of chunk sizes from {bytes_text(bins[0][0])} to "
                f"{bytes_text(bins[-1][1])}, median {bytes_text(array.sizes.median)}.",
            ),
            element(
                "div",
                element("span", f"{bytes_text(bins[0][0])} to {bytes_text(bins[-1][1])}"),
                element("span", f"tallest bar: {most:,} chunks"),
                class_="ends",
            ),
        ]
    return parts


def _ends(report: AuditReport, spec: ArraySpec, axis: int) -> Markup:
    if not spec.rank:
        return Markup("")
    last = spec.shape[axis] - 1
    split = report.plan.split
    labelled = split is not None and spec.dimension_names[axis] == split.dimension
    labels = [report.labels.of(at) if labelled else None for at in (0, last)]
    said = [
        f"{at:,}" + (f" ({label})" if label else "")
        for at, label in zip((0, last), labels, strict=True)
    ]
    return element("div", *(element("span", text) for text in said), class_="ends")


def _legend(*entries: tuple[str, str] | None) -> Markup:
    items = [
        element("li", element("span", class_=kind, aria_hidden="true"), text)
        for kind, text in filter(None, entries)
    ]
    return element("ul", *items, class_="legend")


def _gaps(array: ArrayAudit) -> Markup:
    if not array.gaps:
        return Markup("")
    labels = dict(zip(array.gaps, array.gap_labels, strict=True))
    rows = [
        (
            _span(gap.first, gap.last),
            label or _span(gap.start, gap.stop - 1),
            gap.missing,
            gap.cells,
        )
        for gap in largest(array.gaps, _GAPS)[1]
        for label in [labels[gap]]
    ]
    dimension = array.gaps[0].dimension
    caption = f"Gaps along {dimension}: {array.gap_count:,}"
    if array.gap_count > _GAPS:
        caption += f", the {_GAPS:,} largest"
    if array.allowed:
        caption += "; allowed by the policy"
    return joined(
        [element("h4", "Gaps"), _table(caption, ("chunks", dimension, "missing", "of"), rows)]
    )


def _partitions(report: AuditReport, array: ArrayAudit) -> Markup:
    ours = [p for p in report.partitions if p.array == array.array and p.region is not None]
    if len(ours) < 2:
        return Markup("")
    ours.sort(key=lambda p: p.region or 0)
    rows = [
        (
            f"{p.region:,}",
            _span(p.start or 0, (p.stop or 1) - 1),
            "" if p.done else "not built",
            p.present,
            p.missing,
            p.zero_sized,
            bytes_text(p.bytes),
        )
        for p in ours[:_PARTITIONS]
    ]
    caption = f"{len(ours):,} regions" + (
        f", the first {_PARTITIONS:,} of them" if len(ours) > _PARTITIONS else ""
    )
    columns = ("region", "elements", "state", "present", "missing", "zero-sized", "bytes")
    table = _table(caption, columns, rows)
    return element("details", element("summary", "Coverage by region"), table)


def _strays(array: ArrayAudit) -> Markup:
    if not array.strays:
        return Markup("")
    rows = [(stray.path, stray.size, stray.reason) for stray in array.notable_strays]
    caption = f"Objects that are no chunks: {array.strays:,}"
    if array.strays > len(rows):
        caption += f", {len(rows):,} of them here"
    return joined([element("h4", "Strays"), _table(caption, ("path", "bytes", "reason"), rows)])


def _foot(report: AuditReport) -> Markup:
    facts = [
        ("LIST requests of the build", f"{report.list_requests:,}"),
        ("least possible", f"{report.list_requests_least:,}"),
        ("retries", f"{report.retries:,}"),
        ("listing and writing", duration(report.build_seconds)),
        ("audit", duration(report.seconds)),
        ("peak memory of the audit", bytes_text(report.peak_memory)),
    ]
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return joined(
        [
            element("h2", "Requests and timings"),
            _facts(facts),
            element("footer", f"Written by parchunk audit on {now}.", class_="soft"),
        ]
    )


def _facts(facts: Iterable[tuple[str, str]]) -> Markup:
    return element(
        "dl", *(element("div", element("dt", name), element("dd", value)) for name, value in facts)
    )


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    """Return a table that scrolls sideways by keyboard, and stacks on a phone."""
    numeric = [
        name == "bytes" or (bool(rows) and isinstance(rows[0][at], int))
        for at, name in enumerate(columns)
    ]
    head = [
        element("th", name, scope="col", class_="n" if number else None)
        for name, number in zip(columns, numeric, strict=True)
    ]
    body = []
    for row in rows:
        cells = [element("th", row[0], scope="row")]
        for name, value, number in zip(columns[1:], row[1:], numeric[1:], strict=True):
            shown = f"{value:,}" if isinstance(value, int) else value
            cells.append(element("td", shown, class_="n" if number else None, data_name=name))
        body.append(element("tr", *cells))
    table = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
        class_="stack",
    )
    return element("div", table, class_="wrap", tabindex="0", role="region", aria_label=caption)


def _span(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _of(done: int, total: int) -> str:
    return f"{done:,} of {total:,}"
