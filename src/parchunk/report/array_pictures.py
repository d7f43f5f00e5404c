"""One array's pictures with what says in words what they show: titles, ends, legends."""

from __future__ import annotations

from parchunk.auditing.result import ArrayAudit, AuditReport, percent
from parchunk.metadata.spec import ArraySpec
from parchunk.report import pictures
from parchunk.report.markup import Markup, element
from parchunk.wording import bytes_text


def array_pictures(report: AuditReport, array: ArrayAudit, spec: ArraySpec) -> list[object]:
    """Return the pictures of an array: coverage, chunk sizes over the grid, their histogram."""
    heat = array.heat
    along = (spec.dimension_names[heat.axis] or f"axis {heat.axis}") if spec.rank else "the scalar"
    there = percent(array.present / max(array.expected, 1))
    summary = f"{array.array}: {there} of the chunks are there, " + (
        f"{array.gap_count:,} gaps along {along}" if array.gap_count else "no gaps"
    )
    ends = _ends(report, spec, heat.axis)
    parts: list[object] = []
    if heat.steps > 1:
        parts += _coverage(array, along, summary, ends)
    if array.expected > 1:
        parts += _heat_map(array, along, summary, ends)
    return [*parts, element("div", *_histogram(array), class_="screen")]


def _coverage(array: ArrayAudit, along: str, summary: str, ends: Markup) -> list[object]:
    return [
        element("h4", f"Coverage along {along}"),
        pictures.coverage(array.heat, f"Coverage along {along}. {summary}."),
        ends,
        _legend(
            ("there", "there"), ("absent", "missing (never less than a line)"),
            ("unread", "not built, or unreadable") if array.unread else None,
        ),
    ]  # fmt: skip


def _heat_map(array: ArrayAudit, along: str, summary: str, ends: Markup) -> list[object]:
    heat = array.heat
    per_column = -(-heat.steps // heat.across)
    each = (
        "one chunk" if heat.across * heat.down == array.expected
        else f"up to {per_column * -(-heat.others // heat.down):,} chunks"
    )  # fmt: skip
    sizes = pictures.shade_sizes(heat)
    smallest, largest = (bytes_text(size) for size in sizes) if sizes else ("none", "none")
    down = "all other axes ravelled" if heat.others > 1 else "one row"
    return [
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


def _histogram(array: ArrayAudit) -> list[object]:
    bins = array.sizes.histogram()
    if array.sizes.count <= 1 or not bins:
        return []
    most = max(count for _, _, count in bins)
    return [
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
