"""Arrays whose chunks got other numbers: what was known is looked up, the rest is listed.

Slabs of chunks that came are listed into record files of their own, beside the layout that is
prepared; then each partition is written from those and from the record files that are there. Where
anything is odd (strays, empty objects, gaps of shards) a partition is left to be listed whole, so
that its receipt says exactly what a build would have found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from parchunk.building.carried_strays import KnownStrays
from parchunk.building.effort import Effort
from parchunk.building.pools import Pools
from parchunk.building.ready_jobs import ReadyJobs, ready_jobs
from parchunk.building.rewriting import Rewriting
from parchunk.building.running import Run
from parchunk.cover.limits import USUAL
from parchunk.cover.store_work import StoreWork
from parchunk.cover.walks import width_of
from parchunk.keys.placement import Target
from parchunk.listing.size_vector import SizeVector
from parchunk.listing.strays import Strays
from parchunk.listing.tally import Part
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.out.counts import Counts
from parchunk.out.inventory_date import oldest
from parchunk.out.lease import Lease
from parchunk.out.output import Output
from parchunk.out.receipt_files import read_receipts, settled_receipts, write_receipt
from parchunk.out.receipts import Receipt, check_counts
from parchunk.planning.plan import ArrayPlan, Partition, PartitionKey, Plan
from parchunk.planning.renumbering import Renumbered
from parchunk.stores.source import Source
from parchunk.writing.known_rows import Before, KnownRows, Since, paths_in
from parchunk.writing.written import Written

#: Within NEXT: a folder for each slab, an Output of its own.
_SLABS = ".parchunk/slabs"


@dataclass(frozen=True)
class Slab:
    """Chunks of one array that came, listed into an Output of their own."""

    partition: Partition
    plan: Plan
    output: Output

    @property
    def receipt(self) -> Receipt | None:
        """Its receipt, once it is listed."""
        return read_receipts(self.output, self.plan).get(self.partition.key)


@dataclass
class Renumbering:
    """The arrays of an update whose chunks got other numbers; ``kept`` are receipts believed.

    ``strays`` are those that any receipt tells of. ``stage`` is where the new layout is prepared.
    """

    old: Plan
    new: Plan
    source: Source
    output: Output
    stage: Output
    kept: Mapping[PartitionKey, Receipt]
    strays: KnownStrays
    effort: Effort
    lease: Lease
    began: float

    def require_memory(self, names: Sequence[str]) -> None:
        """Refuse too little memory to write these arrays anew, or to list what came; write nothing.

        Raises
        ------
        InputError
            Naming the least that will do.
        """
        arrays = [array for array, known in self._rewritten(names) if known]
        if arrays:
            Rewriting.within(self.effort.memory, self.new)
            slabs = (slab for array in arrays for slab in self._slabs(array))
            to_list = (slab.partition for slab in slabs if slab.receipt is None)
            self.effort.most_held(self.source, self.new, to_list)

    def carry_out(self, names: Sequence[str]) -> Run | None:
        """Write the partitions of these arrays that need not be listed whole, and receipt them.

        Return what listing the rest of them took; None when there was nothing to list.
        """
        done = settled_receipts(self.stage, self.new)
        wanted: dict[str, list[Partition]] = {}
        arrays: dict[str, Renumbered] = {}
        for array, known in self._rewritten(names):
            taken = [partition for partition in known if partition.key not in done]
            if taken:
                name = array.now.spec.name
                arrays[name], wanted[name] = array, taken
        if not arrays:
            return None
        rewriting = Rewriting.within(self.effort.memory, self.new)
        slabs = {name: list(self._slabs(array)) for name, array in arrays.items()}
        run = self._list([slab for some in slabs.values() for slab in some], rewriting)
        for name, array in arrays.items():
            if all(_is_plain(array.now.spec, slab.receipt) for slab in slabs[name]):
                self._write(array, slabs[name], wanted[name], rewriting)
        return run

    def _rewritten(self, names: Sequence[str]) -> Iterator[tuple[Renumbered, list[Partition]]]:
        """Yield arrays with those of their partitions that need not be listed whole."""
        for name in names:
            if self.old.inline_threshold_of(name) != self.new.inline_threshold_of(name):
                continue  # other rows are inlined now: all of it is listed
            array = Renumbered(self.old.by_name[name], self.new.by_name[name], self.new.record_size)
            owners = self.strays.owners(name)
            if owners is None:
                continue  # any of its partitions may own some
            known = array.takes(self._unknown(array))
            yield array, [partition for partition in known if partition.key not in owners]

    def _unknown(self, array: Renumbered) -> list[Partition]:
        """Return the partitions that an array had and of which not every row can be believed."""
        spec = array.before.spec
        return [
            partition
            for partition in array.before.partitions(self.old.record_size)
            if partition.rows.total and not _is_plain(spec, self.kept.get(partition.key))
        ]

    def _slabs(self, array: Renumbered) -> Iterator[Slab]:
        spec = array.now.spec
        plan = replace(
            self.new,
            hierarchy=Hierarchy((spec,), self.new.hierarchy.groups),
            arrays=(ArrayPlan(spec),),
            split=None,
            region_length=0,
            cuts=(),
            period=None,
        )
        held = self.effort.most_held(self.source, self.new)
        for partition in array.slabs(held // 4):
            rows = partition.rows
            if rows.total:
                # Named by its rows: an update that goes on with it may cut slabs otherwise.
                folder = f"{_SLABS}/{spec.name}/{rows.period}-{rows.start}-{rows.stop}"
                yield Slab(partition, plan, self.stage.below(folder))

    def _list(self, slabs: Sequence[Slab], rewriting: Rewriting) -> Run | None:
        """List slabs that are not yet."""
        known = [slab.receipt for slab in slabs]
        left = [slab for slab, receipt in zip(slabs, known, strict=True) if receipt is None]
        if not left:
            return None
        done = [receipt for receipt in known if receipt is not None]
        partitions = [slab.partition for slab in slabs]
        run = Run(partitions, done, self.effort.progress, self.began, self.lease.check)
        most_held = self.effort.most_held(self.source, self.new, [slab.partition for slab in left])
        ready = self._ready(left, most_held, rewriting)
        try:
            if self.effort.processes > 1:
                run.in_processes(ready, self.effort.processes)
            else:
                writes = self.effort.share(self.new).writes
                run.in_threads(ready, most_held, self.effort.concurrency, writes, self.stage)
        finally:
            if run.writing:
                self.lease.leave()
        return run

    def _ready(
        self, slabs: Sequence[Slab], most_held: int, rewriting: Rewriting
    ) -> Iterator[ReadyJobs]:
        effort = self.effort
        width = width_of(self.source.manner, effort.listings)
        share = effort.share(self.new)
        # What is listed is written anew: what would be refused then is refused before.
        bound = min(share.inlining, rewriting.bound, key=lambda bound: bound.room)
        share = replace(share, inlining=bound)
        for slab in slabs:
            slab.output.prepare()
            work = StoreWork(slab.plan, self.source, (slab.partition,))
            rows = slab.partition.rows
            target = Target(slab.partition.array, rows.total, gathered=rows)
            jobs = [(work, job) for job in work.jobs(most_held, width, effort.limits or USUAL)]
            for ready in ready_jobs(slab.plan, jobs, work.pending, slab.output, share):
                legs = tuple(replace(leg, targets=(target,)) for leg in ready.legs)
                yield replace(ready, legs=legs)

    def _write(
        self,
        array: Renumbered,
        slabs: Sequence[Slab],
        partitions: Sequence[Partition],
        rewriting: Rewriting,
    ) -> None:
        """Write partitions from what is known."""
        spec = array.now.spec
        size, name = self.old.record_size, spec.name
        files = [
            file
            for (of, _), receipt in self.kept.items()
            if of == name
            for file in receipt.record_files
        ]
        reader = rewriting.reader(self.output, name, files, size)
        before = Before(array.before.spec.reference_grid, array.known, reader)
        listed = [(slab, receipt) for slab in slabs if (receipt := slab.receipt) is not None]
        since = [
            Since(slab.partition.rows, rewriting.reader(slab.output, name, receipt.record_files, 1))
            for slab, receipt in listed
        ]
        rows = KnownRows(spec, paths_in(self.source, spec), before, since)
        was = [p for p in array.before.partitions(size) if p.key in self.kept]
        try:
            with Pools(1) as pools:
                writer = rewriting.writer(rows, self.stage, pools)
                for partition in partitions:
                    self.lease.check()
                    parts = [self.kept[p.key] for p in array.parts_of(partition, was)]
                    known = [*parts, *(receipt for _, receipt in listed)]
                    self._write_one(partition, writer.write, known)
        except KeyboardInterrupt:
            self.lease.leave()
            raise

    def _write_one(
        self,
        partition: Partition,
        write: Callable[[Part], Written],
        known: Sequence[Receipt],
    ) -> None:
        began = time.monotonic()
        part = Part(
            partition.rows,
            SizeVector(np.zeros(0, np.uint64)),
            max((r.last_modified for r in known if r.last_modified is not None), default=None),
            Strays(),
            0,
        )
        written = write(part)
        spec, elements = self.new.by_name[partition.array].spec, self.new.elements(partition)
        shards = 0 if spec.inner_chunks is None else partition.objects.total
        expected = partition.rows.total
        counts = written.counts + Counts(
            expected=expected,
            missing=expected - written.counts.present,
            shards_expected=shards,
            shards_present=shards,
        )
        receipt = Receipt(
            **counts.values(),
            seconds=round(time.monotonic() - began, 3),
            fingerprint=self.new.fingerprint,
            array=partition.array,
            region=partition.region,
            dimension=str(self.new.split) if elements else None,
            start=elements[0] if elements else None,
            stop=elements[1] if elements else None,
            stray_reasons={},
            last_modified=written.modified if written.counts.present else None,
            verified=all(r.verified for r in known),
            ordered=all(r.ordered for r in known),
            inventory=oldest(known),
            record_files=tuple(sorted(written.files, key=lambda file: file.index)),
        )
        check_counts(receipt, partition)
        write_receipt(self.stage, partition, receipt)


def _is_plain(spec: ArraySpec, receipt: Receipt | None) -> bool:
    """Whether record files say all that was found: no strays, no empty objects, no shard's gaps."""
    if receipt is None or receipt.strays or receipt.zero_sized:
        return False
    return spec.inner_chunks is None or not receipt.missing
