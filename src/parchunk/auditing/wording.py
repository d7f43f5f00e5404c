"""How the audit says what it found: gaps, names, damage."""

from __future__ import annotations

from parchunk.auditing.findings import Finding, finding
from parchunk.auditing.gaps import Gap

#: Files of one array and kind of damage that become findings of their own.
DAMAGE_FINDINGS = 100


def gap_text(gap: Gap, label: str = "") -> str:
    """Return a gap in words: where, what that is in the coordinate, how much is missing."""
    if not gap.cells:
        return f"{gap.array}: missing"
    if gap.first == gap.last:
        where = f"chunk {gap.first:,} along {gap.dimension}"
    else:
        where = f"chunks {gap.first:,}-{gap.last:,} along {gap.dimension}"
    said = f", i.e. {label}" if label else ""
    if gap.whole:
        what = "missing" if gap.cells == 1 else f"all {gap.cells:,} chunks missing"
    else:
        what = f"{gap.missing:,} of {gap.cells:,} chunks missing"
    return f"{gap.array}: {where}{said}: {what}"


def shortened(findings: list[Finding]) -> list[Finding]:
    """Return findings with at most so many of one kind; the rest are counted in one."""
    kept: list[Finding] = []
    by_kind: dict[str, list[Finding]] = {}
    for found in findings:
        same = by_kind.setdefault(found.kind, [])
        same.append(found)
        if len(same) <= DAMAGE_FINDINGS:
            kept.append(found)
    for kind, same in by_kind.items():
        if len(same) > DAMAGE_FINDINGS:
            rest = len(same) - DAMAGE_FINDINGS
            kept.append(
                finding(
                    kind,
                    f"{same[0].array}: {rest:,} further findings of this kind",
                    "build again with --overwrite: damage of this size is cheaper to replace",
                    array=same[0].array,
                    count=rest,
                )
            )
    return kept
