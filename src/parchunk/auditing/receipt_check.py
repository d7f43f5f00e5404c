"""Receipts against the plan: which partitions are done, and whether their receipts add up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from parchunk.auditing.audit_counts import AuditCounts
from parchunk.auditing.findings import Finding, finding, rebuild
from parchunk.auditing.objects import objects_of
from parchunk.auditing.record_check import RecordJob
from parchunk.out.output import RECEIPTS, Output
from parchunk.out.receipts import Receipt, receipt_path
from parchunk.planning.plan import Partition, Plan

_OTHER_PLAN = "belongs to a build of another plan"


@dataclass(frozen=True)
class Audited:
    """A partition that counts as done, with its receipt; None when that one cannot be used."""

    partition: Partition
    receipt: Receipt | None

    @property
    def counts(self) -> AuditCounts:
        """What a receipt counts that record files do not show."""
        said = self.receipt
        if said is None:
            return AuditCounts()
        return AuditCounts(
            zero_sized=said.zero_sized,
            strays=said.strays,
            found_again=said.found_again,
            shards_expected=said.shards_expected,
            shards_present=said.shards_present,
            empty_entries=said.empty_entries,
        )

    def jobs(self, record_size: int) -> Iterator[RecordJob]:
        """Yield the record files that the partition should have."""
        rows = self.partition.rows
        promised = {file.index: file for file in self.receipt.record_files} if self.receipt else {}
        for begin in range(0, rows.total, record_size):
            first = rows.number(begin)
            index = first // record_size
            yield RecordJob(
                index=index,
                first=first,
                rows=min(record_size, rows.total - begin),
                region=self.partition.region,
                receipt=receipt_path(self.partition),
                promised=promised.get(index),
            )


def read_partitions(
    plan: Plan, output: Output, updating: bool = False
) -> tuple[list[Audited], list[Partition], list[Finding]]:
    """Return the partitions done, those that are not, and what is wrong with receipts.

    While an update is under way, receipts of another plan are those of the one before: theirs are
    partitions that are not done yet.
    """
    there = set(output.paths(RECEIPTS))
    done, undone, findings = [], [], []
    for partition in plan.partitions():
        path = receipt_path(partition)
        if path not in there:
            undone.append(partition)
            continue
        there.discard(path)
        receipt, problem = _read(output.get(path), plan, partition)
        if problem == _OTHER_PLAN and updating:
            undone.append(partition)
            continue
        if problem:
            findings.append(
                finding(
                    "bad-receipt",
                    f"{path} {problem}",
                    rebuild(path),
                    array=partition.array,
                    region=partition.region,
                    key=path,
                )
            )
        done.append(Audited(partition, receipt))
    findings += [
        finding(
            "bad-receipt",
            f"{path} belongs to no partition of the plan",
            f"delete {path}",
            key=path,
        )
        for path in sorted(there)
        if not updating
    ]
    return done, undone, findings


def _read(
    data: bytes | None, plan: Plan, partition: Partition
) -> tuple[Receipt | None, str | None]:
    """Return the receipt if its record files can be relied on, and what is wrong with it."""
    try:
        receipt = Receipt.from_json(json.loads(data or b""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, "is no receipt that this parchunk reads"
    if receipt.fingerprint != plan.fingerprint:
        return None, _OTHER_PLAN
    try:
        return receipt, _contradiction(receipt, plan, partition)
    except TypeError:
        return None, "holds values of wrong types"


def _contradiction(receipt: Receipt, plan: Plan, partition: Partition) -> str | None:
    """Return how a receipt contradicts itself or the plan, or None."""
    if receipt.key != partition.key:
        return f"says that it is of {receipt.array}, region {receipt.region}"
    total = partition.rows.total
    if receipt.expected != total:
        return f"expects {receipt.expected} chunks, the partition has {total}"
    if (
        receipt.present + receipt.missing != receipt.expected
        or receipt.zero_sized > receipt.missing
    ):
        return (
            f"does not add up: {receipt.present} present and {receipt.missing} missing "
            f"({receipt.zero_sized} zero-sized) of {receipt.expected}"
        )
    shards = objects_of(plan.by_name[partition.array].spec).shards(partition)
    if receipt.shards_expected != shards or not 0 <= receipt.shards_present <= shards:
        return (
            f"says that {receipt.shards_present} of {receipt.shards_expected} shards are there, "
            f"the partition has {shards}"
        )
    if receipt.empty_entries + receipt.zero_sized > receipt.missing:
        return (
            f"does not add up: {receipt.empty_entries} empty entries of shards among "
            f"{receipt.missing} missing"
        )
    if sum(file.present for file in receipt.record_files) != receipt.present:
        return "does not add up: its record files hold another number of references"
    jobs = list(Audited(partition, None).jobs(plan.record_size))
    if [file.index for file in receipt.record_files] != sorted(job.index for job in jobs):
        return "names other record files than the partition has"
    rows = {job.index: job.rows for job in jobs}
    if any(file.rows != rows[file.index] for file in receipt.record_files):
        return "does not add up: its record files have other rows than the partition"
    if sum(receipt.stray_reasons.values()) != receipt.strays:
        return f"does not add up: {receipt.strays} strays, {dict(receipt.stray_reasons)} by reason"
    elements = plan.elements(partition)
    if elements is not None and (receipt.start, receipt.stop) != elements:
        return (
            f"says that it is of elements {receipt.start} to {receipt.stop}, "
            f"the region is {elements[0]} to {elements[1]}"
        )
    return None
