"""The page's part on arrays: coverage of all, then each with its facts, pictures and tables."""

from __future__ import annotations

from parchunk.auditing.by_store import COUNTED, WORDS, most_telling
from parchunk.auditing.gaps import largest
from parchunk.auditing.result import ArrayAudit, AuditReport, PartitionAudit
from parchunk.report.array_pictures import array_pictures
from parchunk.report.markup import Markup, element, joined
from parchunk.report.overview import anchor, state_text
from parchunk.report.strips import worst_first
from parchunk.report.tables import data_table, fact_list, span_text
from parchunk.showing.columns import telling
from parchunk.wording import bytes_text, counted, grid_text

#: Gaps and partitions of an array that the page shows; the counts are of all.
_GAPS, _PARTITIONS = 100, 200
#: Stores whose coverage the page shows.
_STORES = 200
#: Arrays that the page shows, those that lack most first: a browser has to hold it.
_ARRAYS = 2_000
#: Arrays that get pictures, those that lack most first, then those with findings, the largest.
PICTURED = 40
#: Arrays that are open at first, where they have findings.
_OPEN = 3


def array_sections(report: AuditReport, most: int = _ARRAYS) -> Markup:
    """Return the coverage of arrays, and each of them to be opened: of so many at ``most``."""
    concerned = {found.array for found in report.findings if found.severity != "notice"}
    order = worst_first(report, list(report.arrays))
    left, order = len(order[most:]), order[:most]
    by_array: dict[str, list[PartitionAudit]] = {array.array: [] for array in order}
    for one in report.partitions:
        if one.region is not None and one.array in by_array:
            by_array[one.array].append(one)
    rows: list[tuple[object, ...]] = [
        (a.array, a.expected, a.present, a.missing, a.excused, a.lacking, a.unread,
         bytes_text(a.bytes), a.strays)
        for a in order
    ]  # fmt: skip
    columns = [
        "array", "expected", "present", "missing", "excused", "lacking", "unread", "bytes",
        "strays",
    ]  # fmt: skip
    parts = [
        element("h2", "Coverage"),
        # Columns that say nothing cost a phone the most.
        data_table("Chunks by array", *telling(columns, rows, always=4)),
        _stores(report),
        element("h2", "Arrays"),
        *(
            _array(
                report,
                array,
                by_array[array.array],
                position < PICTURED,
                position < _OPEN and array.array in concerned,
            )
            for position, array in enumerate(order)
        ),
    ]
    if left:
        more = f"And {counted(left, 'more array')}, of those that lack least: "
        parts.append(element("p", f"{more}audit --json has them all."))
    return joined(parts)


def _stores(report: AuditReport) -> Markup:
    """Return the coverage by store: of those that are not whole first, and not of all."""
    if not report.stores:
        return Markup("")
    rows = [store.row for store in most_telling(report.stores, _STORES)]
    whole = sum(store.whole for store in report.stores)
    caption = f"Chunks by store: {whole:,} of {len(report.stores):,} stores are whole"
    if len(report.stores) > _STORES:
        caption += f"; {_STORES:,} are shown, those that are not whole first"
    return data_table(caption, *telling((*WORDS, *COUNTED), rows, always=5))


def _array(
    report: AuditReport,
    array: ArrayAudit,
    ours: list[PartitionAudit],
    pictured: bool,
    opened: bool,
) -> Markup:
    spec = report.plan.by_name[array.array].spec
    heading = element(
        "summary",
        element("h3", array.array),
        element(
            "span",
            f"{array.present:,} of {array.expected:,} chunks, {bytes_text(array.bytes)}, "
            + state_text(array),
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
            ("empty in shards that are there", counted(array.empty_entries, "chunk")),
        ]
    if array.inlined:
        facts.append(("inlined chunks", f"{array.inlined:,}"))
    parts: list[object] = [fact_list(facts)]
    if pictured and array.expected and array.heat.kept:
        parts += array_pictures(report, array, spec)
    elif array.expected:
        parts.append(
            element("p", f"Pictures are drawn for {PICTURED} arrays, those that lack most first.")
        )
    # On paper the findings say as much.
    more = (_gaps(array), _partitions(ours), _strays(array))
    parts.append(element("div", *more, class_="screen"))
    return element("details", heading, *parts, open=opened, class_="array", id=anchor(array.array))


def _gaps(array: ArrayAudit) -> Markup:
    if not array.gaps:
        return Markup("")
    labels = dict(zip(array.gaps, array.gap_labels, strict=True))
    rows = [
        (
            span_text(gap.first, gap.last),
            label or span_text(gap.start, gap.stop - 1),
            gap.missing,
            gap.expected,
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
        [element("h4", "Gaps"), data_table(caption, ("chunks", dimension, "missing", "of"), rows)]
    )


def _partitions(ours: list[PartitionAudit]) -> Markup:
    if len(ours) < 2:
        return Markup("")
    ours.sort(key=lambda p: p.region or 0)
    rows = [
        (
            f"{p.region:,}",
            span_text(p.start or 0, (p.stop or 1) - 1),
            "" if p.done else "not built",
            p.present,
            p.missing,
            p.zero_sized,
            bytes_text(p.bytes),
        )
        for p in ours[:_PARTITIONS]
    ]
    caption = counted(len(ours), "region") + (
        f", the first {_PARTITIONS:,} of them" if len(ours) > _PARTITIONS else ""
    )
    columns = ("region", "elements", "state", "present", "missing", "zero-sized", "bytes")
    table = data_table(caption, columns, rows)
    return element("details", element("summary", "Coverage by region"), table)


def _strays(array: ArrayAudit) -> Markup:
    if not array.strays:
        return Markup("")
    rows = [(stray.path, stray.size, stray.reason) for stray in array.notable_strays]
    caption = f"Objects that are no chunks: {array.strays:,}"
    if array.strays > len(rows):
        caption += f", {len(rows):,} of them here"
    return joined([element("h4", "Strays"), data_table(caption, ("path", "bytes", "reason"), rows)])
