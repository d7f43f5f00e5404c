"""How the audit says what it found in one array: gaps, sizes, strays, damage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from parchunk.auditing.audit_counts import AuditCounts
from parchunk.auditing.expected import ExpectedDates
from parchunk.auditing.findings import Finding, Severity, finding, rebuild
from parchunk.auditing.gaps import Gap, largest
from parchunk.auditing.objects import objects_of
from parchunk.auditing.policy import Policy, Where
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.result import ArrayAudit, PartitionAudit, percent
from parchunk.metadata.choosing import some_of
from parchunk.metadata.chunk_keys import chunk_key, chunk_label
from parchunk.metadata.spec import ArraySpec
from parchunk.out.receipts import strays_path
from parchunk.planning.labels import Labels
from parchunk.planning.plan import ArrayPlan, Plan
from parchunk.wording import counted

#: Gaps of one array that become findings, and regions with zero-sized chunks. All are counted.
GAP_FINDINGS = 50
#: Files of one array and kind of damage that become findings of their own.
DAMAGE_FINDINGS = 100


def gap_text(gap: Gap, label: str = "") -> str:
    """Return a gap in words: where, what that is in the coordinate, how much is missing."""
    if not gap.expected:
        return f"{gap.array}: missing"
    if gap.first == gap.last:
        where = f"chunk {gap.first:,} along {gap.dimension}"
    else:
        where = f"chunks {gap.first:,}-{gap.last:,} along {gap.dimension}"
    said = f", i.e. {label}" if label else ""
    if gap.whole:
        what = "missing" if gap.expected == 1 else f"all {gap.expected:,} chunks missing"
    else:
        what = f"{gap.missing:,} of {gap.expected:,} chunks missing"
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


def _severity(audited: ArrayAudit) -> Severity | None:
    """Return what gaps of an array count as, where that is not what their kind says."""
    return "notice" if audited.allowed else None


def gap_findings(spec: ArraySpec, audited: ArrayAudit) -> Iterator[Finding]:
    """Yield the largest gaps of an array, and one for the rest."""
    _, told = largest(audited.gaps, GAP_FINDINGS)
    labels = dict(zip(audited.gaps, audited.gap_labels, strict=True))
    for gap in told:
        yield finding(
            "missing-chunks",
            gap_text(gap, labels[gap]),
            "see whether they should exist: --expect and --allow-missing say where "
            "not; else have the producer write them, then run parchunk update OUT",
            severity=_severity(audited),
            array=spec.name,
            key=chunk_key(spec, gap.number),
            count=gap.missing,
        )
    if audited.gap_count <= GAP_FINDINGS:
        return
    rest = audited.missing - sum(gap.missing for gap in told)
    further, share = audited.gap_count - GAP_FINDINGS, audited.missing / spec.reference_total
    yield finding(
        "missing-chunks",
        f"{spec.name}: {further:,} further gaps with {rest:,} missing chunks "
        f"({percent(share)} of the array in all)",
        "as for the others; parchunk sql OUT 'SELECT * FROM missing' names them all",
        severity=_severity(audited),
        array=spec.name,
        count=rest,
    )


def lacking_findings(plan: Plan, array: ArrayPlan, audited: ArrayAudit) -> Iterator[Finding]:
    """Yield the chunks of an array that no store has, as some stores lack the array, together."""
    stores, name = plan.stores, array.spec.name
    if stores is None or not audited.lacking:
        return
    without = [
        stores.stores[at]
        for at in stores.ranges[stores.place(name).series]
        if stores.stores[at].start < stores.stores[at].stop and not stores.has(at, name)
    ]
    named = ", ".join(f"{one.url} ({one.start:,} to {one.stop - 1:,})" for one in without[:5])
    more = f" and {len(without) - 5:,} more" if len(without) > 5 else ""
    yield finding(
        "lacking",
        f"{name}: {audited.lacking:,} chunks along {stores.joining.dimension} are in no store, as "
        f"these had no {name} when they were planned: {named}{more}",
        "nothing need be done, as --join outer asked for it: readers see fill values there",
        array=name,
        count=audited.lacking,
    )


def early_ends(policy: Policy, plan: Plan, labels: Labels) -> Iterator[Finding]:
    """Yield the dimensions that end before the last date, or element, that a policy expects."""
    specs = [array.spec for array in plan.arrays]
    found: dict[tuple[Where, str], list[str]] = {}
    for spec in specs:
        for ranges in policy.ends(spec):
            ends = [_early_end(one, spec, labels) for one in ranges]
            if None in ends:  # what all of them have in common ends there
                continue
            for one, end in zip(ranges, ends, strict=True):
                found.setdefault((one, end or ""), []).append(spec.name)
    for (one, end), arrays in found.items():
        along = sum(one.dimension in spec.dimension_names for spec in specs)
        of = "" if len(arrays) == along else f" of {some_of(arrays)}"
        to = f"{one.stop:,}" if isinstance(one.stop, int) else one.stop
        yield finding(
            "ends-early",
            f"{one.dimension} {end}, and chunks{of} are expected to {to}",
            "have the producer append, then run parchunk update OUT; or expect none later",
        )


def _early_end(where: Where, spec: ArraySpec, labels: Labels) -> str | None:
    """Return what there is along a dimension of an array, where a range with an end goes on."""
    if isinstance(where, ExpectedDates):
        last = where.ends_early(labels)
        return None if last is None else f"ends at {last}"
    sizes = zip(spec.dimension_names, spec.shape, strict=True)
    size = min(size for name, size in sizes if name == where.dimension)
    return f"has {counted(size, 'element')}" if size < (where.stop or 0) else None


def zero_sized_findings(
    spec: ArraySpec, audited: ArrayAudit, partitions: Iterable[PartitionAudit]
) -> Iterator[Finding]:
    """Yield the regions that have zero-sized chunks, and how many each."""
    what = objects_of(spec).zero_sized
    for part in islice((part for part in partitions if part.zero_sized), GAP_FINDINGS):
        region, count = part.region, part.zero_sized
        where = spec.name if region is None else f"{spec.name}, region {region}"
        if part.missing and part.excused:
            taken = "and counted as missing where the policy expects chunks"
        elif part.missing:
            taken = "and counted as missing"
        elif part.excused:
            taken = "where the policy expects none"
        else:  # its rows cannot be read
            taken = "as its receipt says"
        yield finding(
            "zero-sized",
            f"{where}: {counted(count, *what)}, {taken}",
            "have the producer write them again, as a writer was interrupted, then run "
            "parchunk update OUT",
            severity=_severity(audited),
            array=spec.name,
            region=region,
            count=count,
        )


def outlier_findings(spec: ArraySpec, audited: ArrayAudit) -> Iterator[Finding]:
    """Yield the chunks of unusual sizes, together."""
    far = audited.outliers
    if far is None:
        return
    examples = ", ".join(
        f"{chunk_label(spec, number)} ({size:,} bytes)" for number, size in far.examples[:4]
    )
    yield finding(
        "size-outliers",
        f"{spec.name}: {counted(far.count, 'chunk is', 'chunks are')} far from the usual "
        f"{far.median:,} bytes, "
        f"below {far.low:,} or above {far.high:,}: {examples}",
        "read one of them: constant data are small by nature, a cut-off write is not",
        array=spec.name,
        key=chunk_key(spec, far.examples[0][0]) if far.examples else None,
        count=far.count,
    )


def stray_findings(audited: ArrayAudit) -> Iterator[Finding]:
    """Yield the strays of an array, counted by reason."""
    if not audited.strays:
        return
    reasons = ", ".join(f"{count:,} {why}" for why, count in audited.stray_reasons.items())
    notable = audited.notable_strays
    yield finding(
        "strays",
        f"{audited.array}: strays among the source's objects: {reasons}",
        "nothing need be done; parchunk sql OUT 'SELECT * FROM strays' names them",
        array=audited.array,
        key=f"{audited.array}/{notable[0].path}" if notable else None,
        count=audited.strays,
    )


def extra_file_findings(array: str, paths: Sequence[str], files: int) -> list[Finding]:
    """Return record files that are beyond those of an array, one by one."""
    return [
        finding(
            "extra-file",
            f"{path} is beyond the {files:,} record files of {array}",
            f"delete {path}",
            array=array,
            key=path,
        )
        for path in paths
    ]


def duplicate_finding(spec: ArraySpec, numbers: Sequence[int]) -> Finding:
    """Return the finding of chunks that more than one row points at."""
    keys = [chunk_key(spec, number) for number in numbers[:3]]
    more = " and more" if len(numbers) > 3 else ""
    return finding(
        "duplicate-path",
        f"{spec.name}: more than one row points at {', '.join(keys)}{more}",
        "do what is said of the wrong paths: these rows are among them",
        array=spec.name,
        key=keys[0],
        count=len(numbers),
    )


def receipt_mismatch(item: Audited, seen: AuditCounts) -> list[Finding]:
    """Return how a receipt's sums differ from what was seen in the record files, if they do."""
    said, path = item.receipt, item.path
    if said is None:
        return []
    pairs = (
        ("present", said.present, seen.present),
        ("inlined", said.inlined, seen.inlined),
        ("bytes", said.bytes, seen.bytes),
    )
    wrong = [f"{name} {one:,}, found {two:,}" for name, one, two in pairs if one != two]
    if not wrong:
        return []
    return [
        finding(
            "receipt-mismatch",
            f"{item.where} does not agree with its record files: {'; '.join(wrong)}",
            rebuild(path, item.partition.array),
            array=item.partition.array,
            region=item.partition.region,
            key=path,
        )
    ]


def unreadable_strays(item: Audited) -> Finding:
    """Return the finding of a file of strays that cannot be read."""
    partition = item.partition
    return finding(
        "unreadable-file",
        f"{strays_path(partition)} cannot be read, though its receipt counts strays",
        rebuild(item.path, partition.array),
        array=partition.array,
        region=partition.region,
        key=strays_path(partition),
    )
