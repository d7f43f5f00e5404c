"""Receipts against the plan: which partitions are done, and whether their receipts add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from parchunk.auditing.audit_counts import AuditCounts
from parchunk.auditing.findings import Finding, finding, rebuild
from parchunk.auditing.objects import objects_of
from parchunk.auditing.record_check import RecordJob
from parchunk.out.output import BLOCKS, RECEIPTS, Output
from parchunk.out.receipt_blocks import block_paths, blocks_in, read_each
from parchunk.out.receipt_files import is_of
from parchunk.out.receipts import Receipt, parsed_document, receipt_path
from parchunk.planning.plan import Partition, PartitionKey, Plan
from parchunk.wording import part_of

_OTHER_PLAN = "belongs to a build of another plan"


@dataclass(frozen=True, slots=True)
class Audited:
    """A partition that counts as done, with its receipt; None when that one cannot be used.

    ``path`` is where that lies below OUT, alone or with those of others.
    """

    partition: Partition
    receipt: Receipt | None
    path: str

    @property
    def where(self) -> str:
        """What a message calls its receipt."""
        if not self.path.startswith(f"{BLOCKS}/"):
            return self.path
        return f"{self.path} (of {self.partition})"

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
                receipt=self.path,
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
    in_blocks, of_nobody = _read_blocks(plan, output)
    placed = [(partition, receipt_path(partition.key)) for partition in plan.partitions()]
    contents = read_each(output, [path for _, path in placed if path in there])
    done, undone, findings = [], [], []
    for partition, path in placed:
        said = in_blocks.get(partition.key)
        if path in there:
            there.discard(path)
            alone = _read(path, parsed_document(next(contents) or b""), plan, partition)
            said = alone if said is None else alone.agreed(said)
        if said is None or (said.problem == _OTHER_PLAN and updating):
            undone.append(partition)
            continue
        audited = Audited(partition, said.receipt, said.path)
        if said.problem:
            findings.append(
                finding(
                    "bad-receipt",
                    f"{audited.where} {said.problem}",
                    rebuild(said.path, partition.array),
                    array=partition.array,
                    region=partition.region,
                    key=said.path,
                )
            )
        done.append(audited)
    if not updating:
        findings += _of_nobody(dict.fromkeys(there, "belongs to no partition of the plan"))
        findings += _of_nobody(of_nobody, " and run parchunk update OUT: it lists its arrays again")
    return done, undone, findings


@dataclass(frozen=True, slots=True)
class _Said:
    """What a receipt at ``path`` says, if it can be relied on, and what is wrong with it."""

    path: str
    receipt: Receipt | None
    problem: str | None

    def agreed(self, other: _Said) -> _Said:
        """Return what two receipts of one partition say together."""
        bad = next((said for said in (self, other) if said.problem or not said.receipt), None)
        if bad is not None:
            return bad
        assert self.receipt
        assert other.receipt
        if self.receipt.record_files == other.receipt.record_files:
            return self
        return _Said(other.path, None, f"says otherwise than {self.path} does")


def _read_blocks(plan: Plan, output: Output) -> tuple[dict[PartitionKey, _Said], dict[str, str]]:
    """Return what blocks say of each partition, and what is wrong with those that say else."""
    blocks = block_paths(output, plan.fingerprint)
    others = sorted(set(output.paths(BLOCKS)) - set(blocks))
    of_nobody = dict.fromkeys(others, "is no receipts of this plan")
    found: dict[PartitionKey, _Said] = {}
    for path, line in blocks_in(output, blocks):
        key = line.key
        if key is None or not is_of(plan, key):
            of_nobody.setdefault(path, f"holds no receipt of the plan in line {line.number}")
            continue
        partition = plan.by_name[key[0]].partition(key[1], plan.record_size)
        said = _read(path, line.document, plan, partition)
        found[key] = said if key not in found else found[key].agreed(said)
    return found, of_nobody


def _of_nobody(paths: Mapping[str, str], then: str = "") -> Iterator[Finding]:
    """Yield a finding of each file that has no place among receipts."""
    for path, problem in sorted(paths.items()):
        yield finding("bad-receipt", f"{path} {problem}", f"delete {path}{then}", key=path)


def _read(path: str, document: Any, plan: Plan, partition: Partition) -> _Said:
    """Return what a receipt says if its record files can be relied on, and what is wrong."""
    try:
        receipt = Receipt.from_json(document)
    except (ValueError, KeyError, TypeError, AttributeError):
        return _Said(path, None, "is no receipt that this parchunk reads")
    if receipt.fingerprint != plan.fingerprint:
        return _Said(path, None, _OTHER_PLAN)
    try:
        return _Said(path, receipt, _contradiction(receipt, plan, partition))
    except TypeError:
        return _Said(path, None, "holds values of wrong types")


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
        said = part_of(receipt.shards_present, receipt.shards_expected, "shard is", "shards are")
        return f"says that {said} there, the partition has {shards}"
    if receipt.empty_entries + receipt.zero_sized > receipt.missing:
        return (
            f"does not add up: {receipt.empty_entries} empty entries of shards among "
            f"{receipt.missing} missing"
        )
    if sum(file.present for file in receipt.record_files) != receipt.present:
        return "does not add up: its record files hold another number of references"
    jobs = list(Audited(partition, None, "").jobs(plan.record_size))
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
