"""Findings as people read them: by weight, and what is one thing said once.

Scattered single chunks of an array are one entry, and so is a gap that several arrays share: a day
that was not produced is one fact, not one an array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from parchunk.auditing.findings import Finding, Severity
from parchunk.auditing.gaps import Gap
from parchunk.auditing.result import ArrayAudit, AuditReport
from parchunk.auditing.wording import gap_text

#: From so many on, single chunks of an array, and arrays with a gap in common, are one entry.
_TOGETHER = 4
_ORDER: tuple[Severity, ...] = ("damage", "change", "gap", "notice")
_NAMED = 3


@dataclass(frozen=True)
class Entry:
    """One thing to read; ``count`` is its weight in chunks, rows or files.

    ``members`` are what it stands for, each in a few words, where it stands for several.
    """

    kind: str
    severity: Severity
    message: str
    remedy: str
    count: int
    array: str | None = None
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Told:
    """A gap of an array, its label, and the finding that says it, if one does."""

    gap: Gap
    label: str
    finding: Finding | None


def entries_of(report: AuditReport) -> list[Entry]:
    """Return all findings: by severity, and within each the largest first."""
    entries: list[Entry] = []
    shared: dict[tuple[str, int, int, bool, Severity], list[_Told]] = {}
    of_gaps: dict[str, list[Finding]] = {}
    for one in report.findings:
        if one.kind == "missing-chunks" and one.array is not None:
            of_gaps.setdefault(one.array, []).append(one)
        else:
            entries.append(_alone(one))
    for array in report.arrays:
        found = {one.message: one for one in of_gaps.pop(array.array, ())}
        told = [
            _Told(gap, label, found.pop(gap_text(gap, label), None))
            for gap, label in zip(array.gaps, array.gap_labels, strict=True)
        ]
        entries += _of_array(array, told, list(found.values()), shared)
    for some in shared.values():
        entries += _shared(some)
    return sorted(entries, key=lambda e: (_ORDER.index(e.severity), -e.count, e.message))


def _alone(one: Finding) -> Entry:
    return Entry(one.kind, one.severity, one.message, one.remedy, one.count, one.array)


def _of_array(
    array: ArrayAudit,
    gaps: Sequence[_Told],
    others: Sequence[Finding],
    shared: dict[tuple[str, int, int, bool, Severity], list[_Told]],
) -> Iterator[Entry]:
    """Yield an array's scattered chunks, and what is not told; put its longer gaps into shared.

    ``others`` are findings of no gap that the audit names: at most the one that counts the rest.
    """
    single = [told for told in gaps if told.gap.first == told.gap.last]
    example = next((told.finding for told in single if told.finding is not None), None)
    if len(single) < _TOGETHER or example is None:
        single = []
    said = list(single)
    for told in gaps:
        gap = told.gap
        if told.finding is not None and not (single and gap.first == gap.last):
            key = (gap.dimension, gap.start, gap.stop, gap.whole, told.finding.severity)
            shared.setdefault(key, []).append(told)
            said.append(told)
    if single and example is not None:
        yield _scattered(array, single, example)
    rest, missing = array.gap_count - len(said), sum(told.gap.missing for told in said)
    for other in others:
        if other.key is not None or other.count == array.missing - missing:
            yield _alone(other)
        elif rest > 0:
            left = array.missing - missing
            message = f"{array.array}: {rest:,} further gaps with {left:,} missing chunks"
            yield replace(_alone(other), message=message, count=left)


def _scattered(array: ArrayAudit, single: Sequence[_Told], example: Finding) -> Entry:
    count = sum(told.gap.missing for told in single)
    dimension = single[0].gap.dimension
    first, last = single[0], single[-1]
    between = (
        f"{first.label} to {last.label}"
        if first.label and last.label
        else f"between {first.gap.first:,} and {last.gap.first:,} along {dimension}"
    )
    if all(told.gap.expected == 1 for told in single):
        what = f"{len(single):,} single chunks missing"
    else:
        what = f"{count:,} chunks missing at {len(single):,} single places along {dimension}"
    members = tuple(_place(told) for told in single)
    message = f"{array.array}: {what}, {between}"
    return Entry(
        example.kind, example.severity, message, example.remedy, count, array.array, members
    )


def _place(told: _Told) -> str:
    gap = told.gap
    where = f"{told.label} (chunk {gap.first:,})" if told.label else f"chunk {gap.first:,}"
    return where if gap.expected == 1 else f"{where}: {gap.missing:,} of {gap.expected:,}"


def _shared(told: Sequence[_Told]) -> Iterator[Entry]:
    """Yield a gap that several arrays have, as one; of few arrays as the findings say it."""
    found = [(one, one.finding) for one in told if one.finding is not None]
    if len(found) < _TOGETHER:
        for _, said in found:
            yield Entry(said.kind, said.severity, said.message, said.remedy, said.count, said.array)
        return
    (first, example), gap = found[0], told[0].gap
    names = [one.gap.array for one in told]
    named = ", ".join(names[:_NAMED])
    where = first.label or (
        f"{gap.start:,} to {gap.stop - 1:,}" if gap.stop - gap.start > 1 else f"{gap.start:,}"
    )
    missing, expected = (sum(getattr(one.gap, what) for one in told) for what in
                         ("missing", "expected"))  # fmt: skip
    what = f"all {expected:,}" if gap.whole else f"{missing:,} of {expected:,}"
    yield Entry(
        example.kind,
        example.severity,
        f"{len(names):,} arrays ({named} and {len(names) - _NAMED:,} more): {where} along "
        f"{gap.dimension}: {what} chunks missing",
        example.remedy,
        missing,
        members=tuple(
            f"{one.gap.array}: {one.gap.missing:,} of {one.gap.expected:,}" for one in told
        ),
    )
