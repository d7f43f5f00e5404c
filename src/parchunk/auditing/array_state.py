"""What an audit knows of one array, from its record files as they are read."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.auditing.findings import Finding, finding, rebuild
from parchunk.auditing.gaps import Steps, largest
from parchunk.auditing.heat import Heat
from parchunk.auditing.impossible_sizes import impossible_sizes
from parchunk.auditing.labels import Labels
from parchunk.auditing.policy import Policy
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.record_check import RecordChecker, RecordJob, RecordResult
from parchunk.auditing.result import ArrayAudit, PartitionAudit, percent
from parchunk.auditing.sizes import Sizes
from parchunk.auditing.wording import DAMAGE_FINDINGS, gap_text, shortened
from parchunk.listing.strays import Stray
from parchunk.metadata.chunk_keys import chunk_key, chunk_label
from parchunk.metadata.fixed_size import fixed_chunk_bytes
from parchunk.out.output import Output
from parchunk.out.receipts import receipt_path, strays_path
from parchunk.out.record_files import record_path
from parchunk.planning.plan import ArrayPlan, Partition, Plan

#: Gaps of one array that become findings; and that a report lists. All are counted.
GAP_FINDINGS = 50
GAPS_LISTED = 1_000
#: Strays of one array that a report shows.
_STRAYS_SHOWN = 20


class ArrayState:
    """One array's record files as they are read."""

    def __init__(self, plan: Plan, array: ArrayPlan, output: Output, policy: Policy) -> None:
        self._plan, self._array, self._output = plan, array, output
        self.spec = array.spec
        axis = array.axis or 0
        self.policy = policy
        self._checker = RecordChecker(
            self.spec,
            plan.location.url,
            output,
            axis,
            policy.bounds(self.spec),
            plan.inline_threshold,
        )
        self.steps = Steps(self.spec, axis)
        self._heat = Heat(self.spec.reference_grid, axis)
        self._sizes = Sizes(fixed=fixed_chunk_bytes(self.spec))
        self._findings: list[Finding] = []
        #: Digest of a file that is not what its receipt says -> the finding's place in the list.
        self.strangers: dict[int, str] = {}
        self._elsewhere: list[NDArray[np.int64]] = []
        self.partitions: list[PartitionAudit] = []
        self._strays: list[Stray] = []
        self.files = self.file_bytes = self.inlined = self.unread = 0
        self._zero_sized: dict[int | None, int] = {}
        self._stray_counts: dict[str, int] = {}
        self._shards_expected = self._shards_present = self._empty_entries = 0

    def leave(self, partition: Partition) -> None:
        """Note a partition that is not built."""
        rows = partition.rows
        self.unread += rows.cells
        for run in range(rows.first, rows.first + rows.count):
            self.steps.doubt(run * rows.period + rows.start, run * rows.period + rows.stop)
            if rows.count > 1:
                break  # every run lies at the same indices of the split axis
        self.partitions.append(self._partition(partition, False, 0, 0, 0, 0, 0, 0))

    def check(
        self, done: Sequence[Audited], pool: ThreadPoolExecutor, window: int
    ) -> Iterator[RecordJob]:
        """Check partitions' record files, a window of them at a time; yield each one's job."""
        size = self._plan.record_size
        flying: deque[Future[RecordResult]] = deque()
        waiting = (job for item in done for job in item.jobs(size))
        for item in done:
            present = inlined = total = excused = lost = 0
            readable = True
            for _ in item.jobs(size):
                while len(flying) < window and (job := next(waiting, None)) is not None:
                    flying.append(pool.submit(self._checker.check, job))
                result = flying.popleft().result()
                self._take(result)
                readable &= result.readable
                present += result.present
                inlined += result.inlined
                total += result.bytes
                excused += result.excused
                lost += len(result.lost)
                yield result.job
            self._agree(item, readable, present, inlined, total)
            receipt = item.receipt
            if receipt:
                self._shards_expected += receipt.shards_expected
                self._shards_present += receipt.shards_present
                self._empty_entries += receipt.empty_entries
            zero_sized = receipt.zero_sized if receipt else 0
            strays = receipt.strays if receipt else 0
            if zero_sized:
                self._zero_sized[item.partition.region] = zero_sized
            if receipt and strays:
                self._read_strays(item.partition)
                for reason, count in receipt.stray_reasons.items():
                    self._stray_counts[reason] = self._stray_counts.get(reason, 0) + count
            self.inlined += inlined
            self.partitions.append(
                self._partition(
                    item.partition, True, present, lost, excused, zero_sized, total, strays
                )
            )

    def extra_files(self) -> list[Finding]:
        """Return record files that no partition owns: a reader may still come upon them."""
        files = -(-self.spec.reference_total // self._plan.record_size)
        name = self.spec.name
        extra = []
        for path in self._output.paths(name):
            tail = path[len(name) + 1 :]
            if tail.startswith("refs.") and tail.endswith(".parq"):
                number = tail[5:-5]
                # Not `int` alone: refs.01.parq is no record file that a reader would open.
                if not (number.isdecimal() and str(int(number)) == number and int(number) < files):
                    extra.append(path)
        found = [
            finding(
                "extra-file",
                f"{path} is beyond the {files:,} record files of {name}",
                f"delete {path}",
                array=name,
                key=path,
            )
            for path in extra
        ]
        return shortened(found)

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
        keys = [chunk_key(self.spec, number) for number in twice[:3]]
        more = " and more" if len(twice) > 3 else ""
        return [
            finding(
                "duplicate-path",
                f"{self.spec.name}: more than one row points at {', '.join(keys)}{more}",
                "do what is said of the wrong paths: these rows are among them",
                array=self.spec.name,
                key=keys[0],
                count=len(twice),
            )
        ]

    def _is_referenced(self, number: int) -> bool:
        """Whether the chunk's own row points at it."""
        size = self._plan.record_size
        data = self._output.get(record_path(self.spec.name, number // size))
        try:
            paths = pq.read_table(pa.BufferReader(data or b""), columns=["path"]).column("path")
            row = paths[number % size].as_py()
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError):
            return False
        wanted = f"{self._plan.location.url}/{chunk_key(self.spec, number)}"
        return bool(row == wanted)

    def summary(self, labels: Labels) -> ArrayAudit:
        """Return what the array amounts to."""
        count, gaps = largest(self.steps.runs(), GAPS_LISTED)
        split = self._plan.split
        named = split is not None and split.dimension is not None
        own = [
            labels.between(gap.start, gap.stop)
            if named and split is not None and gap.dimension == split.dimension
            else None
            for gap in gaps
        ]
        missing = int(self.steps.missing.sum())
        return ArrayAudit(
            array=self.spec.name,
            expected=self.spec.reference_total,
            present=int(sum(p.present for p in self.partitions)),
            missing=missing,
            excused=self.steps.excused,
            unread=self.unread,
            zero_sized=sum(p.zero_sized for p in self.partitions),
            inlined=self.inlined,
            bytes=sum(p.bytes for p in self.partitions),
            strays=sum(p.strays for p in self.partitions),
            allowed=self._allowed(missing),
            gap_count=count,
            gaps=tuple(gaps),
            gap_labels=tuple(label or "" for label in own),
            outliers=self._sizes.outliers(),
            notable_strays=tuple(self._strays[:_STRAYS_SHOWN]),
            sizes=self._sizes,
            heat=self._heat,
            shards_expected=self._shards_expected,
            shards_present=self._shards_present,
            empty_entries=self._empty_entries,
        )

    def coverage_findings(self, audited: ArrayAudit) -> list[Finding]:
        """Return gaps, zero-sized chunks, outliers and strays as findings."""
        name, findings = self.spec.name, []
        severity = "notice" if audited.allowed else None
        _, told = largest(audited.gaps, GAP_FINDINGS)
        labelled = dict(zip(audited.gaps, audited.gap_labels, strict=True))
        for gap in told:
            findings.append(
                finding(
                    "missing-chunks",
                    gap_text(gap, labelled[gap]),
                    "see whether they should exist: --expect and --allow-missing say where "
                    "not; else have the producer write them, then run parchunk update OUT",
                    severity=severity,  # type: ignore[arg-type]
                    array=name,
                    key=chunk_key(self.spec, gap.number),
                    count=gap.missing,
                )
            )
        if audited.gap_count > GAP_FINDINGS:
            rest = audited.missing - sum(gap.missing for gap in told)
            further, share = (
                audited.gap_count - GAP_FINDINGS,
                audited.missing / self.spec.reference_total,
            )
            findings.append(
                finding(
                    "missing-chunks",
                    f"{name}: {further:,} further gaps with {rest:,} missing chunks "
                    f"({percent(share)} of the array in all)",
                    "as for the others; parchunk sql OUT 'SELECT * FROM missing' names them all",
                    severity=severity,  # type: ignore[arg-type]
                    array=name,
                    count=rest,
                )
            )
        for region, count in list(self._zero_sized.items())[:GAP_FINDINGS]:
            where = name if region is None else f"{name}, region {region}"
            what = (
                "chunks are objects of zero bytes"
                if self.spec.inner_chunks is None
                else "inner chunks have zero bytes, or their shards have"
            )
            findings.append(
                finding(
                    "zero-sized",
                    f"{where}: {count:,} {what}, and counted as missing",
                    "have the producer write them again, as a writer was interrupted, then run "
                    "parchunk update OUT",
                    severity=severity,  # type: ignore[arg-type]
                    array=name,
                    region=region,
                    count=count,
                )
            )
        findings += impossible_sizes(self._array, self._sizes)
        if audited.outliers:
            far = audited.outliers
            examples = ", ".join(
                f"{chunk_label(self.spec, number)} ({size:,} bytes)"
                for number, size in far.examples[:4]
            )
            findings.append(
                finding(
                    "size-outliers",
                    f"{name}: {far.count:,} chunks are far from the usual {far.median:,} bytes, "
                    f"below {far.low:,} or above {far.high:,}: {examples}",
                    "read one of them: constant data is small by nature, a cut-off write is not",
                    array=name,
                    key=chunk_key(self.spec, far.examples[0][0]) if far.examples else None,
                    count=far.count,
                )
            )
        if audited.strays:
            reasons = ", ".join(f"{n:,} {why}" for why, n in sorted(self._stray_counts.items()))
            findings.append(
                finding(
                    "strays",
                    f"{name}: strays among the source's objects: {reasons}",
                    "nothing need be done; the view strays names them",
                    array=name,
                    key=f"{name}/{self._strays[0].path}" if self._strays else None,
                    count=audited.strays,
                )
            )
        return findings

    def _allowed(self, missing: int) -> bool:
        if self.policy.allows_gaps(self.spec.name):
            return True
        expected = self.spec.reference_total - self.steps.excused - self.unread
        return missing * 100 <= self.policy.max_missing * expected and self.policy.max_missing > 0

    def _take(self, result: RecordResult) -> None:
        job = result.job
        self.files += 1
        self.file_bytes += result.file_bytes
        for found in result.findings:
            if found.kind == "wrong-digest":
                self.strangers[len(self._findings)] = result.digest
            self._findings.append(found)
        if not result.readable:
            self.unread += job.rows
            self.steps.doubt(job.first, job.first + job.rows)
            return
        self.steps.lose(result.lost)
        self.steps.excused += result.excused
        if len(result.elsewhere):
            self._elsewhere.append(result.elsewhere)
        self._sizes.merge(result.sizes)
        if result.heat is not None:
            self._heat.merge(result.heat)

    def _agree(self, item: Audited, readable: bool, present: int, inlined: int, total: int) -> None:
        """Compare a receipt's sums with the record files'."""
        receipt = item.receipt
        if receipt is None or not readable:
            return
        pairs = (
            ("present", receipt.present, present),
            ("inlined", receipt.inlined, inlined),
            ("bytes", receipt.bytes, total),
        )
        wrong = [f"{name} {said:,}, found {seen:,}" for name, said, seen in pairs if said != seen]
        if wrong:
            path = receipt_path(item.partition)
            self._findings.append(
                finding(
                    "receipt-mismatch",
                    f"{path} does not agree with its record files: {'; '.join(wrong)}",
                    rebuild(path),
                    array=item.partition.array,
                    region=item.partition.region,
                    key=path,
                )
            )

    def _read_strays(self, partition: Partition) -> None:
        if len(self._strays) >= _STRAYS_SHOWN:
            return
        data = self._output.get(strays_path(partition))
        try:
            table = pq.read_table(io.BytesIO(data or b""))
            table = table.filter(pc.equal(table["array"], partition.array))
            rows = table.slice(0, _STRAYS_SHOWN).to_pylist()
            self._strays += [Stray(row["path"], row["size"], row["reason"]) for row in rows]
        except (pa.ArrowException, OSError, ValueError, KeyError):
            self._findings.append(
                finding(
                    "unreadable-file",
                    f"{strays_path(partition)} cannot be read, though its receipt counts strays",
                    rebuild(receipt_path(partition)),
                    array=partition.array,
                    region=partition.region,
                    key=strays_path(partition),
                )
            )

    def _partition(
        self,
        partition: Partition,
        done: bool,
        present: int,
        missing: int,
        excused: int,
        zero_sized: int,
        total: int,
        strays: int,
    ) -> PartitionAudit:
        start = stop = None
        if partition.region is not None and self._array.axis is not None:
            region = self._plan.regions[partition.region]
            start = region.start
            stop = min(region.stop, self.spec.shape[self._array.axis])
        return PartitionAudit(
            partition.array,
            partition.region,
            start,
            stop,
            done,
            partition.rows.cells,
            present,
            missing,
            excused,
            zero_sized,
            total,
            strays,
        )
