"""What an audit knows of one array, from its record files as they are read."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.auditing.audit_counts import AuditCounts
from parchunk.auditing.findings import Finding
from parchunk.auditing.gaps import Steps, largest
from parchunk.auditing.heat import Heat
from parchunk.auditing.impossible_sizes import impossible_sizes
from parchunk.auditing.policy import Policy
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.record_check import RecordResult, axis_of
from parchunk.auditing.result import ArrayAudit, PartitionAudit
from parchunk.auditing.sizes import Sizes
from parchunk.auditing.wording import (
    DAMAGE_FINDINGS,
    duplicate_finding,
    extra_file_findings,
    gap_findings,
    lacking_findings,
    outlier_findings,
    receipt_mismatch,
    shortened,
    stray_findings,
    unreadable_strays,
    zero_sized_findings,
)
from parchunk.listing.strays import Stray
from parchunk.metadata.fixed_size import fixed_chunk_bytes
from parchunk.metadata.names import RECORD_FILES, record_name, record_number
from parchunk.out.output import Output
from parchunk.out.receipts import strays_path
from parchunk.out.record_files import record_path
from parchunk.planning.joining.lacking import lacking_ranges
from parchunk.planning.joining.paths import array_paths
from parchunk.planning.labels import Labels
from parchunk.planning.plan import ArrayPlan, Partition, Plan

#: Gaps of one array that a report lists. All are counted.
GAPS_LISTED = 1_000
#: Strays of one array that a report shows.
_STRAYS_SHOWN = 20

_NO_REASONS: Mapping[str, int] = {}

_Met = TypeVar("_Met", Heat, Sizes)


class ArrayState:
    """One array's record files as they are read."""

    def __init__(self, plan: Plan, array: ArrayPlan, output: Output, policy: Policy) -> None:
        self._plan, self._array, self._output = plan, array, output
        self.spec = array.spec
        axis = axis_of(plan, array)
        self.policy = policy
        #: Chunk indices along the axis that are in no store.
        self.lacking = lacking_ranges(plan, array.spec.name)
        self.steps = Steps(self.spec, axis)
        #: Of what was readable; None where nothing was.
        self._heat: Heat | None = None
        self._sizes: Sizes | None = None
        self._findings: list[Finding] = []
        #: Digest of a file that is not what its receipt says -> the finding's place in the list.
        self.strangers: dict[int, str] = {}
        self._elsewhere: list[NDArray[np.int64]] = []
        self.partitions: list[PartitionAudit] = []
        self._strays: list[Stray] = []
        self.files = self.file_bytes = 0
        self._stray_reasons: Counter[str] = Counter()

    def leave(self, partition: Partition) -> None:
        """Note a partition that is not built."""
        rows = partition.rows
        for run in range(rows.first, rows.first + rows.count):
            self.steps.doubt(run * rows.period + rows.start, run * rows.period + rows.stop)
            if rows.count > 1:
                break  # every run lies at the same indices of the split axis
        counts = AuditCounts(expected=rows.total, unread=rows.total)
        self.partitions.append(self._partition(partition, counts, done=False))

    def check(self, done: Sequence[Audited], results: Iterator[RecordResult]) -> None:
        """Take in what partitions' record files hold: the next ``results``, in their order."""
        for item in done:
            checked = []
            for job in item.jobs(self._plan.record_size):
                result = next(results)
                assert result.job == job
                self._take(result)
                checked.append((result.readable, result.counts))
            counts = AuditCounts.total(of_file for _, of_file in checked)
            if all(readable for readable, _ in checked):
                self._findings += receipt_mismatch(item, counts)
            if item.receipt is not None and item.receipt.strays:
                self._read_strays(item)
                self._stray_reasons.update(item.receipt.stray_reasons)
            counts = AuditCounts.total((counts, item.counts))
            self.partitions.append(self._partition(item.partition, counts))

    def extra_files(self, paths: Sequence[str]) -> list[Finding]:
        """Return those of the array's ``paths`` in OUT that are record files of no partition.

        A reader may still come upon them.
        """
        files = -(-self.spec.reference_total // self._plan.record_size)
        name = self.spec.name
        extra = []
        for path in paths:
            tail = path[len(name) + 1 :]
            if fnmatchcase(tail, RECORD_FILES):
                number = record_number(tail)
                # Not the number alone: refs.01.parq is no record file that a reader would open.
                if number is None or tail != record_name(number) or number >= files:
                    extra.append(path)
        return shortened(extra_file_findings(name, extra, files))

    def damage(self, by_digest: Mapping[str, str]) -> list[Finding]:
        """Return what is wrong with the array's files, with what a strange file really is."""
        findings = []
        for place, found in enumerate(self._findings):
            other = by_digest.get(self.strangers.get(place, ""))
            if other:
                found = Finding(
                    **{**found.to_json(), "message": f"{found.key} holds what belongs in {other}"}
                )
            findings.append(found)
        return shortened(findings) + self._duplicates()

    def _duplicates(self) -> list[Finding]:
        """Return chunks that more than one row points at: their own row, or two strange ones."""
        if not self._elsewhere:
            return []
        numbers, counts = np.unique(np.concatenate(self._elsewhere), return_counts=True)
        twice = [
            number
            for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
            if count > 1 or self._is_referenced(number)
        ][: DAMAGE_FINDINGS + 1]
        if not twice:
            return []
        return [duplicate_finding(self.spec, twice)]

    def _is_referenced(self, number: int) -> bool:
        """Whether the chunk's own row points at it."""
        size = self._plan.record_size
        data = self._output.get(record_path(self.spec.name, number // size))
        try:
            paths = pq.read_table(pa.BufferReader(data or b""), columns=["path"]).column("path")
            row = paths[number % size].as_py()
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError):
            return False
        wanted = array_paths(self._plan, self.spec.name).build(np.array([number], np.int64))[0]
        return bool(row == wanted.as_py())

    def summary(self, labels: Labels) -> ArrayAudit:
        """Return what the array amounts to, once all its record files are taken in."""
        heat = self._heat or Heat(self.spec.reference_grid, self.steps.axis)
        sizes = self._sizes or Sizes(fixed=fixed_chunk_bytes(self.spec))
        outliers = sizes.outliers()
        heat.settle()
        sizes.settle()
        count, gaps = largest(self.steps.runs(), GAPS_LISTED)
        split = self._plan.split
        named = split is not None and split.dimension is not None
        own = [
            labels.between(gap.start, gap.stop)
            if named and split is not None and gap.dimension == split.dimension
            else None
            for gap in gaps
        ]
        counts = AuditCounts.total(self.partitions)
        return ArrayAudit(
            **counts.values(),
            array=self.spec.name,
            allowed=self._allowed(counts),
            gap_count=count,
            gaps=tuple(gaps),
            unjudged=tuple(self.steps.unjudged()),
            gap_labels=tuple(label or "" for label in own),
            outliers=outliers,
            notable_strays=tuple(self._strays[:_STRAYS_SHOWN]),
            stray_reasons=dict(sorted(self._stray_reasons.items())) or _NO_REASONS,
            sizes=sizes,
            heat=heat,
        )

    def coverage_findings(self, audited: ArrayAudit) -> list[Finding]:
        """Return gaps, zero-sized chunks, impossible sizes, outliers and strays as findings."""
        return [
            *gap_findings(self.spec, audited),
            *lacking_findings(self._plan, self._array, audited),
            *zero_sized_findings(self.spec, audited, self.partitions),
            *impossible_sizes(self._array, audited.sizes, self._plan.record_size),
            *outlier_findings(self.spec, audited),
            *stray_findings(audited),
        ]

    def _allowed(self, counts: AuditCounts) -> bool:
        if self.policy.allows_gaps(self.spec.name):
            return True
        expected = counts.expected - counts.excused - counts.lacking - counts.unread
        most = self.policy.most_missing(self.spec.name)
        return counts.missing * 100 <= most * expected and most > 0

    def _take(self, result: RecordResult) -> None:
        job, name = result.job, self.spec.name
        self.files += 1
        self.file_bytes += result.file_bytes
        for found in result.findings:
            if found.kind == "wrong-digest" and found.key == record_path(name, job.index):
                self.strangers[len(self._findings)] = result.digest
            self._findings.append(found)
        if not result.readable:
            self.steps.doubt(job.first, job.first + job.rows)
            return
        self.steps.lose(result.lost)
        self.steps.excuse(result.excused)
        if len(result.elsewhere):
            self._elsewhere.append(result.elsewhere)
        self._sizes = _together(self._sizes, result.sizes)
        if result.heat is not None:
            self._heat = _together(self._heat, result.heat)

    def _read_strays(self, item: Audited) -> None:
        if len(self._strays) >= _STRAYS_SHOWN:
            return
        partition = item.partition
        data = self._output.get(strays_path(partition))
        try:
            table = pq.read_table(io.BytesIO(data or b""))
            table = table.filter(pc.equal(table["array"], partition.array))
            rows = table.slice(0, _STRAYS_SHOWN).to_pylist()
            self._strays += [Stray(row["path"], row["size"], row["reason"]) for row in rows]
        except (pa.ArrowException, OSError, ValueError, KeyError):
            self._findings.append(unreadable_strays(item))

    def _partition(
        self, partition: Partition, counts: AuditCounts, done: bool = True
    ) -> PartitionAudit:
        start, stop = self._plan.elements(partition) or (None, None)
        return PartitionAudit(
            **counts.values(),
            array=partition.array,
            region=partition.region,
            start=start,
            stop=stop,
            done=done,
        )


def _together(one: _Met | None, other: _Met) -> _Met:
    """Return what two have met; the first of an array is taken as it is."""
    if one is None:
        return other
    one.merge(other)
    return one
