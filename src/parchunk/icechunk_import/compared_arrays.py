"""Arrays of OUT compared with those of a repository's branch, partition by partition.

A partition's rows are read first, and of its references some drawn; then the chunks of the whole
array are asked of the branch, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.appending import Appending
from parchunk.icechunk_import.locations import Container
from parchunk.keys.numbers import ravel, unravel
from parchunk.metadata.spec import ArraySpec, canonical
from parchunk.metadata.to_v3 import v3_documents
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import ArrayPlan, Partition, PartitionKey, Plan
from parchunk.reading.rows import read_rows

#: Chunks that one finding names.
_NAMED = 5


@dataclass(frozen=True)
class RepoFinding:
    """One way in which a repository differs from the references.

    ``kind`` is ``metadata`` (an array's document), ``missing`` (referenced chunks that the branch
    has not), ``extra`` (chunks of it that are not referenced), ``location`` (sampled references
    that point elsewhere) or ``type`` (a virtual chunk where bytes are inlined, or the reverse).
    ``count`` counts chunks, ``chunks`` names some of them; ``region`` is None for a whole array.
    """

    array: str
    region: int | None
    kind: str
    count: int
    message: str
    chunks: tuple[tuple[int, ...], ...] = ()


class ArraysCompared:
    """Arrays of a plan, compared one after another, and what they have come to so far."""

    def __init__(
        self,
        session: Any,
        output: Output,
        plan: Plan,
        receipts: Mapping[PartitionKey, Receipt],
        container: Container,
        appending: Appending | None,
        sample: int,
    ) -> None:
        self._session = session
        self._output = output
        self._record_size = plan.record_size
        self._receipts = receipts
        self._container = container
        self._appending = appending
        self._sample = sample
        self._random = np.random.default_rng(0)
        # No repository has fill values that JSON has no word for.
        self._documents = v3_documents(plan.hierarchy, drop_non_finite=True).arrays
        self.findings: list[RepoFinding] = []
        self.partitions = self.chunks = self.sampled = 0
        #: Whether any chunk is referenced, and not kept inline.
        self.refers = False

    def compare(self, array: ArrayPlan) -> None:
        """Compare an array: its document, the presence of each chunk, a sample of references."""
        spec = array.spec
        with adapter.reported(f"read {spec.name} of the repository", "check the repository"):
            there = adapter.get(self._session.store, f"{spec.name}/zarr.json")
            if there is None:
                self._find_metadata(spec, spec.reference_total, "no such array")
                return
            # Of what was appended, the branch has arrays that are longer.
            if self._appending is None and not self._same_document(spec, there):
                self._find_metadata(spec, 0, "its metadata is another")
            checks = [self._read(spec, one) for one in array.partitions(self._record_size)]
            shift = (0,) * spec.rank
            if self._appending is not None:
                shift = self._appending.shift(spec.name)
            sought = {number for check in checks for number in check.sampled}
            held = _held(self._session, spec, sought, shift)
            for check in checks:
                self.findings += check.against(held)

    def _find_metadata(self, spec: ArraySpec, count: int, message: str) -> None:
        self.findings.append(RepoFinding(spec.name, None, "metadata", count, message))

    def _same_document(self, spec: ArraySpec, there: bytes) -> bool:
        return canonical(json.loads(there)) == canonical(self._documents[spec.name])

    def _read(self, spec: ArraySpec, partition: Partition) -> _PartitionCheck:
        """Return a partition as OUT has it, read from its record files."""
        receipt = self._receipts[partition.key]
        check = _PartitionCheck(spec, partition, self._container, self._random, self._sample)
        for rows in read_rows(self._output, partition, receipt.record_files, self._record_size):
            check.add(rows)
            self.refers = self.refers or bool(np.any(rows.referenced))
        self.partitions += 1
        self.chunks += partition.rows.total
        self.sampled += len(check.sampled)
        return check


def _held(session: Any, spec: ArraySpec, wanted: set[int], shift: Sequence[int]) -> _Held:
    """Return the chunks that an array has in the branch, where they are moved by ``shift``."""
    numbers: list[NDArray[np.int64]] = []
    virtual: list[NDArray[np.bool_]] = []
    references: dict[int, _Reference] = {}
    path = f"/{spec.name}"
    sought = np.array(sorted(wanted), np.int64)
    for held in adapter.held_chunks(session, path, spec.rank):
        own = held.indices - np.array(shift, np.int64)
        inside = np.all((own >= 0) & (own < np.array(spec.reference_grid, np.int64)), axis=1)
        batch = ravel(np.where(inside[:, None], own, 0), spec.reference_grid)
        numbers.append(batch[inside])
        if held.virtual is not None:
            virtual.append(held.virtual[inside])
        for row in np.flatnonzero(inside & np.isin(batch, sought)).tolist():
            number = int(batch[row])
            if held.locations is None or held.offsets is None or held.lengths is None:
                is_so = adapter.is_virtual(session, path, held.indices[row].tolist())
                references[number] = _Reference(is_so)
            else:
                location = held.locations[row]
                at = (location, int(held.offsets[row]), int(held.lengths[row]))
                references[number] = _Reference(bool(location), at if location else None)
    return _Held(
        np.concatenate(numbers) if numbers else np.empty(0, np.int64),
        np.concatenate(virtual) if len(virtual) == len(numbers) > 0 else None,
        references,
    )


@dataclass(frozen=True)
class _Reference:
    """What a chunk is: ``at`` is its location, offset and length, None where not known."""

    virtual: bool
    at: tuple[str, int, int] | None = None


@dataclass(frozen=True)
class _Held:
    """The chunks that an array has by number, which of them are virtual, and what some refer to.

    ``virtual`` is None where icechunk does not tell it of all.
    """

    numbers: NDArray[np.int64]
    virtual: NDArray[np.bool_] | None
    references: Mapping[int, _Reference]


class _PartitionCheck:
    """One partition's references, and a sample of them."""

    def __init__(
        self,
        spec: ArraySpec,
        partition: Partition,
        container: Container,
        random: np.random.Generator,
        sample: int,
    ) -> None:
        self._spec = spec
        self._partition = partition
        self._container = container
        self._present = np.zeros(partition.rows.total, bool)
        self._inlined = np.zeros(partition.rows.total, bool)
        self._at = 0
        total = partition.rows.total
        count = min(sample, total)
        chosen = random.choice(total, count, replace=False) if count else np.empty(0, np.int64)
        self._chosen = np.sort(chosen)
        #: By chunk number; only chunks that are present.
        self.sampled: dict[int, _Reference] = {}

    def add(self, rows: Any) -> None:
        """Take the next rows of the partition."""
        end = self._at + len(rows)
        self._present[self._at : end] = rows.referenced | rows.inlined
        self._inlined[self._at : end] = rows.inlined
        for position in self._chosen[(self._chosen >= self._at) & (self._chosen < end)]:
            row = int(position) - self._at
            if rows.inlined[row]:
                self.sampled[rows.begin + row] = _Reference(False)
            elif rows.referenced[row]:
                one = self._container.locations(self._spec.name, rows.path.slice(row, 1))
                at = (one[0].as_py(), int(rows.offset[row]), int(rows.size[row]))
                self.sampled[rows.begin + row] = _Reference(True, at)
        self._at = end

    def against(self, held: _Held) -> list[RepoFinding]:
        """Return what differs from the chunks that the branch has."""
        there = np.zeros(len(self._present), bool)
        where = self._partition.rows.positions(held.numbers)
        ours = where >= 0
        there[where[ours]] = True
        other = np.zeros(len(self._present), bool)
        if held.virtual is not None:
            other[where[ours]] = held.virtual[ours] == self._inlined[where[ours]]
        found = []
        for kind, differ, message in (
            ("missing", self._present & ~there, "referenced, but not in the repository"),
            ("extra", there & ~self._present, "in the repository, but not referenced"),
            ("type", self._present & other, "inlined on one side only"),
        ):
            rows = np.flatnonzero(differ)
            if len(rows):
                numbers = [self._partition.rows.number(int(at)) for at in rows[:_NAMED]]
                found.append(self._finding(kind, len(rows), message, numbers))
        kinds: list[int] = []
        elsewhere: list[int] = []
        for number, expected in self.sampled.items():
            theirs = held.references.get(number)
            if theirs is None:
                continue
            if theirs.virtual != expected.virtual:
                kinds += [number] if held.virtual is None else []
            elif theirs.at is not None and theirs.at != expected.at:
                elsewhere.append(number)
        for kind, wrong, message in (
            ("type", kinds, "of the sample are inlined on one side only"),
            ("location", elsewhere, "of the sample point elsewhere"),
        ):
            if wrong:
                found.append(self._finding(kind, len(wrong), message, wrong[:_NAMED]))
        return found

    def _finding(self, kind: str, count: int, message: str, numbers: list[int]) -> RepoFinding:
        indices = unravel(np.array(numbers, np.int64), self._spec.reference_grid)
        return RepoFinding(
            self._spec.name,
            self._partition.region,
            kind,
            count,
            message,
            tuple(tuple(index) for index in indices.tolist()),
        )
