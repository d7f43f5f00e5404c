"""The check of one record file: is it what a build writes for exactly these rows?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.auditing.audit_counts import AuditCounts
from parchunk.auditing.edges import Edges
from parchunk.auditing.encodings import encoding_problem
from parchunk.auditing.expectation import Expectation, inside
from parchunk.auditing.findings import Finding, finding, rebuild
from parchunk.auditing.heat import Heat
from parchunk.auditing.objects import objects_of
from parchunk.auditing.policy import Policy
from parchunk.auditing.row_faults import Ranges, RowFault, inlining_faults, is_plain, size_faults
from parchunk.auditing.sizes import Sizes
from parchunk.keys.numbers import Int64Array
from parchunk.metadata.chunk_keys import chunk_key, chunk_label
from parchunk.metadata.fixed_size import fixed_chunk_bytes
from parchunk.metadata.spec import ArraySpec
from parchunk.out.inlined import lengths
from parchunk.out.object_files import objects_path
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import SCHEMA, digest, record_path
from parchunk.planning.joining.lacking import lacking_ranges
from parchunk.planning.joining.paths import ArrayPaths, array_paths
from parchunk.planning.plan import ArrayPlan, Plan

#: Rows of one file that are named when they are wrong.
_NAMED = 3
_NONE: Int64Array = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class RecordJob:
    """One record file that should be there: rows ``[first, first + rows)`` of an array.

    ``promised`` is what the receipt at ``receipt`` says of it, None when the receipt is of no use.
    """

    index: int
    first: int
    rows: int
    region: int | None
    receipt: str
    promised: RecordFile | None


@dataclass
class RecordResult:
    """What a record file holds. ``readable`` says that its rows could be checked.

    ``lost`` are the numbers of chunks missing, but for those that no store has and those that are
    ``excused`` by policy, ``elsewhere`` those of chunks of the same array that rows of other
    chunks point at.
    """

    job: RecordJob
    readable: bool = False
    counts: AuditCounts = field(init=False)
    file_bytes: int = 0
    digest: str = ""
    lost: Int64Array = field(default_factory=lambda: _NONE)
    excused: Int64Array = field(default_factory=lambda: _NONE)
    elsewhere: Int64Array = field(default_factory=lambda: _NONE)
    findings: list[Finding] = field(default_factory=list)
    sizes: Sizes = field(default_factory=Sizes)
    heat: Heat | None = None

    def __post_init__(self) -> None:
        """Begin with rows that are not read yet."""
        self.counts = AuditCounts(expected=self.job.rows, unread=self.job.rows)


class _Rows(NamedTuple):
    """The rows of a record file by chunk number, and its columns: shape (n,) each."""

    numbers: Int64Array
    path: pa.StringArray
    raw: pa.BinaryArray
    offsets: Int64Array
    sizes: Int64Array


class RecordChecker:
    """Checks the record files of one array; safe to share by threads.

    ``url`` is what references call the source, ``paths`` spells them; ``expectation`` says
    which chunks are expected, and ``lacking`` which chunk indices along the axis are in no store.
    """

    def __init__(
        self,
        spec: ArraySpec,
        url: str,
        paths: ArrayPaths,
        output: Output,
        axis: int,
        expectation: Expectation,
        inline_threshold: int,
        lacking: Sequence[tuple[int, int]] = (),
        identity: str = "none",
    ) -> None:
        """Prepare for an array; gaps and pictures go along ``axis``."""
        self._spec = spec
        self._objects = objects_of(spec)
        #: Whether references are to whole objects.
        self._whole = spec.inner_chunks is None
        self._base = f"{url}/{spec.name}/"
        self._output = output
        self._axis = axis
        self._expectation = expectation
        self._lacking = lacking
        self._fixed = fixed_chunk_bytes(spec)
        self._edges = Edges(spec)
        self._inline_threshold = inline_threshold
        self._paths = paths
        self._identity = identity

    def check(self, job: RecordJob) -> RecordResult:
        """Return what one record file holds and what is wrong with it."""
        result = RecordResult(job)
        if self._identity != "none" and job.promised is not None and job.promised.objects:
            self._check_objects(result, job.promised)
        name = record_path(self._spec.name, job.index)
        data = self._output.get(name)
        if data is None:
            self._find(result, "missing-file", f"{name} is not there")
            return result
        result.file_bytes, result.digest = len(data), digest(data)
        if job.promised and result.digest != job.promised.digest:
            self._find(
                result,
                "wrong-digest",
                f"{name} ({len(data)} bytes) is not the file that its receipt describes "
                f"({job.promised.bytes} bytes): one of the two was changed",
            )
        try:
            file = pq.ParquetFile(pa.BufferReader(data))
            if not self._shape_is_right(result, name, file):
                return result
            table = file.read(use_threads=False).combine_chunks()
            table.validate(full=True)  # a path may be no text
            if table.num_rows != job.rows:
                raise ValueError(
                    f"its footer promises {job.rows:,} rows, it has {table.num_rows:,}"
                )
            # Only now: looked at before it could be read, damaged metadata ends the process.
            problem = encoding_problem(file.metadata)
            if problem:
                self._find(result, "wrong-encoding", f"{name}: {problem}")
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).partition("\n")[0][:160]
            self._find(result, "unreadable-file", f"{name} cannot be read: {reason}")
            return result
        result.readable = True
        self._check_rows(result, name, table)
        return result

    def _check_objects(self, result: RecordResult, promised: RecordFile) -> None:
        """Check that what was kept of a record file's objects is what was written."""
        name = objects_path(self._spec.name, promised.index)
        data = self._output.get(name)
        if data is None:
            self._find(result, "missing-file", f"{name} is not there", key=name)
        elif digest(data) != promised.objects:
            self._find(
                result,
                "wrong-digest",
                f"{name} ({len(data)} bytes) is not the file that the receipt describes",
                key=name,
            )

    def _find(
        self,
        result: RecordResult,
        kind: str,
        message: str,
        count: int = 1,
        key: str | None = None,
        remedy: str | None = None,
    ) -> None:
        result.findings.append(
            finding(
                kind,
                message,
                remedy or rebuild(result.job.receipt, self._spec.name),
                array=self._spec.name,
                region=result.job.region,
                key=key or record_path(self._spec.name, result.job.index),
                count=count,
            )
        )

    def _shape_is_right(self, result: RecordResult, name: str, file: pq.ParquetFile) -> bool:
        """Check rows, columns and types; False when rows cannot be checked."""
        schema = file.schema_arrow
        if not (schema.equals(SCHEMA) or _begins_right(schema)):
            columns = ", ".join(f"{field.name} {field.type}" for field in schema)
            self._find(
                result,
                "wrong-columns",
                f"{name} has columns ({columns[:200]}); readers need path string, offset int64, "
                "size int64, raw binary, in this order",
            )
            return False
        if file.metadata.num_rows != result.job.rows:
            self._find(
                result,
                "wrong-rows",
                f"{name} has {file.metadata.num_rows:,} rows, its place in the grid needs "
                f"{result.job.rows:,}",
            )
            return False
        return True

    def _check_rows(self, result: RecordResult, name: str, table: pa.Table) -> None:
        job = result.job
        numbers = np.arange(job.first, job.first + job.rows, dtype=np.int64)
        path, offset, size, raw = (_column(table, at) for at in range(len(SCHEMA)))
        if offset.null_count or size.null_count:
            self._find(result, "wrong-columns", f"{name} has nulls in offset or size")
            offset, size = pc.fill_null(offset, 0), pc.fill_null(size, 0)
        offsets, sizes = np.asarray(offset), np.asarray(size)
        self._check_paths(result, name, path, numbers)
        absent = _NONE
        if not (self._whole and is_plain(path, raw, offsets, sizes, self._inline_threshold)):
            sizes = self._check_ranges(result, name, _Rows(numbers, path, raw, offsets, sizes))
            absent = numbers[~(_there(path) | _there(raw))]
            self._tell_absent(result, absent)
        result.counts = AuditCounts(
            expected=job.rows,
            present=job.rows - len(absent),
            missing=len(result.lost),
            excused=len(result.excused),
            lacking=len(absent) - len(result.lost) - len(result.excused),
            inlined=job.rows - raw.null_count,
            bytes=int(sizes.sum()),
        )
        apart = len(absent) - len(result.lost)
        result.heat = Heat(self._spec.reference_grid, self._axis)
        result.heat.take(
            job.first,
            sizes,
            np.setdiff1d(absent, result.lost, assume_unique=True) if apart else None,
        )
        result.sizes = Sizes(fixed=self._fixed)
        counted = sizes > 0
        if not counted.all():
            sizes, numbers = sizes[counted], numbers[counted]
        result.sizes.take(sizes, numbers, self._edges.shares(numbers))

    def _check_ranges(self, result: RecordResult, name: str, rows: _Rows) -> Int64Array:
        """Name what is wrong with ranges and inlined bytes; return chunks' sizes, 0 of absent."""
        numbers, sizes = rows.numbers, rows.sizes
        referenced, inlined = _there(rows.path), _there(rows.raw)
        promised = result.job.promised
        intact = promised is not None and promised.digest == result.digest
        ranges = Ranges(numbers, referenced, rows.offsets, sizes, intact)
        for fault in self._objects.offset_faults(ranges):
            self._name(result, name, numbers, fault)
        for fault in size_faults(referenced, inlined, sizes):
            self._name(result, name, numbers, fault)
        if inlined.any():
            sizes = np.where(inlined, lengths(rows.raw), sizes)
        threshold = self._inline_threshold
        for fault in inlining_faults(threshold, rows.raw, inlined, referenced, sizes):
            self._name(result, name, numbers, fault)
        return np.where(referenced | inlined, np.maximum(sizes, 0), 0)

    def _tell_absent(self, result: RecordResult, absent: Int64Array) -> None:
        """Tell which chunks that are not there should be, and which a policy does not expect."""
        lost, grid = absent, self._spec.reference_grid
        for low, high in self._lacking if len(lost) else ():
            lost = lost[~inside(lost, grid, [(self._axis, low, high)])]
        if len(lost) and not self._expectation.is_all:
            expected = self._expectation.of(lost)
            result.excused, lost = lost[~expected], lost[expected]
        result.lost = lost

    def _check_paths(
        self, result: RecordResult, name: str, path: pa.Array, numbers: NDArray[np.int64]
    ) -> None:
        own = self._objects.paths(self._paths, numbers)
        if path.equals(own):
            return
        right = pc.equal(path, own)
        if not right.false_count:  # what is not null
            return
        wrong = np.flatnonzero(~np.asarray(pc.fill_null(right, True)))
        paths = path.take(pa.array(wrong))
        row = int(wrong[0])
        self._find(
            result,
            "wrong-path",
            f"{name}: {len(wrong):,} rows do not point at their own chunk; the row of "
            f"{chunk_label(self._spec, int(numbers[row]))} holds {path[row].as_py()[:200]!r}",
            count=len(wrong),
            key=self._key(int(numbers[row])),
        )
        ours = paths.filter(pc.starts_with(paths, pattern=self._base))
        if len(ours):
            result.elsewhere = self._objects.chunks_at(ours, self._base)

    def _name(
        self, result: RecordResult, name: str, numbers: NDArray[np.int64], fault: RowFault
    ) -> None:
        """Report rows of one fault together, the first of them by key."""
        if not fault.rows.any():
            return
        rows = np.flatnonzero(fault.rows)
        labels = [chunk_label(self._spec, int(numbers[row])) for row in rows[:_NAMED]]
        more = f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
        self._find(
            result,
            fault.kind,
            f"{name}: {', '.join(labels)}{more}: {fault.what}",
            count=len(rows),
            key=self._key(int(numbers[rows[0]])),
            remedy=fault.remedy,
        )

    def _key(self, number: int) -> str:
        return chunk_key(self._spec, number)


def axis_of(plan: Plan, array: ArrayPlan) -> int:
    """Return the axis that gaps of an array are told along, and its pictures drawn."""
    along = None
    if plan.split is not None and plan.stores is None:
        along = plan.split.axis_in(array.spec)
    return array.axis or along or 0


def checker_of(plan: Plan, array: ArrayPlan, output: Output, policy: Policy) -> RecordChecker:
    """Return what checks the record files of one of a plan's arrays."""
    spec = array.spec
    return RecordChecker(
        spec,
        plan.location.url,
        array_paths(plan, spec.name),
        output,
        axis_of(plan, array),
        policy.expectation(spec),
        plan.inline_threshold_of(spec.name),
        lacking_ranges(plan, spec.name),
        plan.identity,
    )


def _column(table: pa.Table, at: int) -> pa.Array:
    column = table.column(at)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _begins_right(schema: pa.Schema) -> bool:
    """Whether the columns that readers need come first, of their types."""
    return schema.names[: len(SCHEMA)] == SCHEMA.names and all(
        schema.field(field.name).type == field.type for field in SCHEMA
    )


def _there(column: pa.Array) -> NDArray[np.bool_]:
    """Return which rows are not null."""
    if not column.null_count:
        return np.ones(len(column), bool)
    if column.null_count == len(column):
        return np.zeros(len(column), bool)
    return np.asarray(column.is_valid())
