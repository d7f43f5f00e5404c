"""The commits to be: the hierarchy first, then one a region; what each is known by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from parchunk.errors import InputError
from parchunk.icechunk_import.history import Entry, History, digest_of
from parchunk.icechunk_import.locations import Container
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.spec import canonical
from parchunk.metadata.to_v3 import V3Documents
from parchunk.out.receipts import RecordFile
from parchunk.planning.plan import Partition, Plan
from parchunk.reading.rows import Receipts


@dataclass(frozen=True)
class PlannedCommit:
    """One commit to be: what history will say of it, and the partitions it consists of."""

    entry: Entry
    partitions: tuple[Partition, ...]

    def is_in(self, history: History) -> bool:
        """Whether a branch has it; a region without a chunk needs no commit where none was."""
        entry = self.entry
        empty = entry.kind == "region" and not entry.references + entry.inlined
        return history.has(entry) or (empty and not history.may_hold(entry))

    @property
    def name(self) -> str:
        """What it is called in messages."""
        entry = self.entry
        if entry.region is None:
            return "the hierarchy and the whole arrays"
        return f"region {entry.region} ({entry.dimension} {entry.start} to {entry.stop})"


def plan_commits(
    plan: Plan,
    receipts: Receipts,
    documents: V3Documents,
    container: Container,
    checksum: bool,
    built: Plan | None = None,
) -> list[PlannedCommit]:
    """Return the commits to be: the hierarchy first, then every region.

    ``built`` is the plan of the references where ``plan`` is of some of their arrays.
    """
    whole: list[Partition] = []
    by_region: dict[int, list[Partition]] = {region.index: [] for region in plan.regions}
    for partition in plan.partitions():
        (whole if partition.region is None else by_region[partition.region]).append(partition)
    layout = _layout(plan)
    words = [container.words, documents.groups, documents.arrays, layout]
    found = [_planned_commit(plan, receipts, whole, words, checksum)]
    for region in plan.regions:
        parts = by_region[region.index]
        found.append(
            _planned_commit(plan, receipts, parts, [container.words], checksum, region.index)
        )
    built = built or plan
    left_out = tuple(sorted(built.by_name.keys() - plan.by_name.keys()))
    entry = replace(found[0].entry, left_out=left_out, arrays=digest_of(plan.by_name))
    found[0] = replace(found[0], entry=entry)
    return [
        replace(work, entry=replace(work.entry, layout=layout, fingerprint=built.fingerprint))
        for work in found
    ]


def _layout(plan: Plan) -> str:
    """Return what names the split arrays and which chunks of them a range of elements is.

    Not the arrays' lengths along the split dimension, nor the regions': both may change, and a
    range is still the same chunks.
    """
    words: list[Any] = [None if plan.split is None else str(plan.split)]
    for array in plan.arrays:
        if array.axis is None:
            continue
        grid = list(array.spec.reference_grid)
        grid[array.axis] = 0
        rows = array.region_chunks * prod(grid[array.axis + 1 :])
        # Where regions do not end with record files, those say which region a chunk is in.
        straddles = array.by_first_row if array.cuts else rows % plan.record_size
        size = plan.record_size if straddles else None
        words.append([array.spec.name, array.axis, grid, size])
    return hashlib.sha256(canonical(words).encode()).hexdigest()


def _file_words(file: RecordFile, checksum: bool) -> list[int | str]:
    """Return what a record file holds, and what is kept of its objects where that is compared."""
    objects = [file.objects] if checksum and file.objects else []
    return [file.index, file.rows, file.digest, *objects]


def _planned_commit(
    plan: Plan,
    receipts: Receipts,
    partitions: Sequence[Partition],
    words: Sequence[Any],
    checksum: bool,
    region: int | None = None,
) -> PlannedCommit:
    held = [receipts[p.key] for p in partitions]
    # Of the content, and not of the plan: an update leaves the regions that it did not touch.
    content = canonical(
        [
            *words,
            [
                [
                    receipt.array,
                    _rows_words(partition.rows),
                    [_file_words(file, checksum) for file in receipt.record_files],
                    receipt.last_modified if checksum else None,
                ]
                for partition, receipt in zip(partitions, held, strict=True)
            ],
        ]
    )
    inlined = sum(receipt.inlined for receipt in held)
    entry = Entry(
        kind="hierarchy" if region is None else "region",
        content=hashlib.sha256(content.encode()).hexdigest(),
        fingerprint=plan.fingerprint,
        source=plan.location.url,
        references=sum(receipt.present for receipt in held) - inlined,
        inlined=inlined,
        missing=sum(receipt.missing for receipt in held),
        dimension=None if region is None else str(plan.split),
        region=region,
        start=None if region is None else plan.regions[region].start,
        stop=None if region is None else plan.regions[region].stop,
        length=None if region is None else plan.region_length,
    )
    return PlannedCommit(entry, tuple(partitions))


def _rows_words(rows: RowSet) -> list[int]:
    """Return what names a row set; on axis 0 not its period, which grows with the array."""
    if rows.count == 1:
        begin = rows.first * rows.period
        return [begin + rows.start, begin + rows.stop]
    return [rows.period, rows.start, rows.stop, rows.first, rows.count]


def choose(plan: Plan, regions: Iterable[int] | None) -> frozenset[int | None]:
    """Return the numbers of the regions to import, and None for the hierarchy.

    Raises
    ------
    InputError
        For a number that is none of the plan's.
    """
    there = range(len(plan.regions))
    chosen = frozenset(there if regions is None else regions)
    unknown = sorted(chosen - set(there))
    if unknown:
        raise InputError(
            f"there is no region {unknown[0]}: the plan has {len(there)}"
            + (f", 0 to {there[-1]}" if there else "")
        )
    return chosen | {None}
