"""Writing record files anew from those that are there: what memory that may take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from parchunk.building.pools import Pools
from parchunk.cover.inlining import InlineBound
from parchunk.cover.memory import file_rows, inlining_of, kept_beyond, rewriting_bounds
from parchunk.keys.placement import Target
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_reader import HeldFiles, RecordReader
from parchunk.planning.plan import Plan
from parchunk.writing.inline_room import Inlining
from parchunk.writing.known_rows import KnownRows
from parchunk.writing.record_writer import RecordWriter


@dataclass(frozen=True)
class Rewriting:
    """What rewriting the record files of a plan may use: ``held`` are those that are read."""

    plan: Plan
    bound: InlineBound
    held: HeldFiles

    @classmethod
    def within(cls, memory: int, plan: Plan) -> Rewriting:
        """Return what it may use of ``memory``, in bytes.

        Raises
        ------
        InputError
            When that is too little, naming the least that will do.
        """
        inline, read = rewriting_bounds(
            memory, file_rows(plan), inlining_of(plan), plan.identity, kept_beyond(plan)
        )
        return cls(plan, inline, HeldFiles(read))

    def reader(
        self, output: Output, array: str, files: Iterable[RecordFile], unit: int
    ) -> RecordReader:
        """Return what reads rows of an array, whose chunks are inlined as by the plan."""
        threshold = self.plan.inline_threshold_of(array)
        return RecordReader(output, array, files, unit, self.held, threshold, self.plan.identity)

    def writer(self, rows: KnownRows, stage: Output, pools: Pools) -> RecordWriter:
        """Return what writes an array's record files into ``stage``."""
        name = rows.spec.name
        inlining = Inlining(
            self.plan.inline_threshold_of(name),
            self.bound,
            pools.room,
            self.plan.coordinate_threshold_of(name) > self.plan.inline_threshold,
        )
        target = Target(name, rows.spec.reference_total)
        return RecordWriter(
            rows,
            target,
            stage,
            self.plan.record_size,
            inlining,
            pools.writers,
            identity=self.plan.identity,
        )
