"""Relocating: the chunks are somewhere else now, or are to be read from there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import cast

import numpy as np

from parchunk.arguments.lenient import lenient
from parchunk.building.moved_stores import (
    AlreadyThereError,
    MovedStores,
    one_elsewhere,
    with_folder,
)
from parchunk.building.pools import Pools
from parchunk.building.preflight import alone_in, refuse_overlap
from parchunk.building.publishing import publish_root
from parchunk.building.relocation_sample import Sample
from parchunk.building.rewriting import Rewriting
from parchunk.building.staging import begin_stage, to_list_anew
from parchunk.building.store_paths import object_paths
from parchunk.cover.memory import DEFAULT_MEMORY
from parchunk.errors import InputError
from parchunk.listing.size_vector import SizeVector
from parchunk.listing.strays import Strays
from parchunk.listing.tally import Part
from parchunk.metadata import skip_refused
from parchunk.metadata.meaning import differences, same_meaning
from parchunk.out.labels import keep_labels
from parchunk.out.lease import Lease
from parchunk.out.opening import open_output
from parchunk.out.output import PREVIOUS, ROOT, UPDATE, Output
from parchunk.out.plan_file import load_plan
from parchunk.out.prepared import discard_prepared, is_relocation, is_switching
from parchunk.out.receipt_files import ReceiptWriter, read_receipts, settled_receipts
from parchunk.out.receipts import Receipt, check_counts, strays_path
from parchunk.out.switching import switch
from parchunk.out.unfinished import Unfinished, asked_before
from parchunk.planning.from_stores import changed_coordinates, rejoined
from parchunk.planning.plan import ArrayPlan, PartitionKey, Plan
from parchunk.planning.source_again import read_again
from parchunk.planning.stretches import partition_count
from parchunk.showing.values import Shown
from parchunk.stores.source import Source
from parchunk.writing.known_rows import Before, KnownRows
from parchunk.writing.record_writer import RecordWriter

#: Chunks that are looked at in the new place, about, over all arrays, and side by side.
SAMPLE = 200
_AT_ONCE = 8
#: Record files of an array that chunks are taken from for that, at most.
_FILES = 5
#: Said where nothing was left to do but what finishes a replacement.
_FINISHED = "all of it was written by one that was cut short, and is in its place now"


@dataclass(frozen=True, repr=False)
class Relocation(Shown):
    """What a relocation came to: from ``before`` to ``now``, both URLs.

    ``checked`` chunks were looked at in the new place; ``record_files`` were written. ``notes``
    are what a user should know. Both are one URL where nothing was left to do.
    """

    url: str
    before: str
    now: str
    checked: int
    record_files: int
    notes: tuple[str, ...] = ()

    @property
    def in_short(self) -> str:
        """The relocation in one line."""
        return (
            f"{self.url}: from {self.before} to {self.now}; {self.checked:,} chunks checked, "
            f"{self.record_files:,} record files written"
        )


@lenient
def relocate(
    out: str | PathLike[str] | Output,
    url: str | PathLike[str] | Source,
    *,
    store: str | None = None,
    sample: int = SAMPLE,
    memory: int | str = DEFAULT_MEMORY,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
) -> Relocation:
    """Point the references in ``out`` at ``url``, where the same store lies now, or a copy of it.

    Nothing is listed: what was built from must mean the same there, and some chunks of every array
    be there in their sizes, by a HEAD request each. Readers see the references as they were until
    all are written; then these take their place, as after an update that replaces them.

    Parameters
    ----------
    url
        The store in its new place: what was given as the source of the build, there. Of many
        stores, the folder that all of them are in; they lie in it as they did in the one before.
    store
        One of many stores, which alone is at ``url`` now: its URL, the end of it, or its group.
    sample
        How many chunks to look at there, about; at least one of every array that has any, and of
        every store that moved.
    memory
        Bound on the peak above the imports, in bytes or as text such as ``"1GiB"``.
    store_options, output_options
        For the new place, and for OUT, as `parchunk.build` takes them.

    Raises
    ------
    InputError
        When OUT is no finished build, or the new place does not hold what it has.
    SourceError, OutputError
        When either cannot be reached.
    """
    memory = cast(int, memory)
    output = open_output(out, output_options)
    load_plan(output)  # refused before a lease is taken in what is no OUT
    was_cut_short = is_switching(output) and is_relocation(output)
    with alone_in(output) as lease:
        old = load_plan(output)
        try:
            moved = _elsewhere(old, url, store, store_options)
        except AlreadyThereError as error:
            finished = was_cut_short and not is_relocation(output)  # else it was deleted
            note = _FINISHED if finished else _nothing_to_do(error, old, output)
            return Relocation(output.url, error.place, error.place, 0, 0, (note,))
        new, source = moved.plan, moved.plan.source
        assert source is not None
        refuse_overlap(new, source, output)
        receipts = _finished(old, output)
        _require_same(moved, source)
        rewriting = Rewriting.within(memory, new)
        looked_at = Sample(new, source, receipts, output, sample, rewriting)
        checked = looked_at.require(None if new.stores is None else moved.moved)
        written = _write_all(old, new, receipts, source, output, lease, rewriting)
        notes = (*_dropped(old), *moved.notes)
        return Relocation(output.url, moved.before, moved.now, checked, written, notes)


def _dropped(old: Plan) -> tuple[str, ...]:
    """Return what a user should know of what references do not have any more."""
    if old.identity == "none":
        return ()
    kept = {"time": "when each object was written", "etag": "each object's entity tag"}
    return (
        f"{kept[old.identity]} is not kept any more: objects in the new place have others; build "
        f"from there with --identity {old.identity} and --overwrite to keep them again",
    )


def _nothing_to_do(error: AlreadyThereError, plan: Plan, output: Output) -> str:
    """Return what to say where the references are where they are to be, as by a second run.

    What one to elsewhere that was cut short has prepared is deleted.

    Raises
    ------
    InputError
        When they are to be reached in another manner there, or OUT is no finished build.
    """
    kept = dict(plan.location.options)
    # Whether requests are signed is the reader's, and no part of where they go.
    given = {key: value for key, value in error.options if key != "skip_signature"}
    if any(kept.get(key) != value for key, value in given.items()):
        raise InputError(
            f"{error}, reached in another manner (endpoint, region): relocate tells where chunks "
            "are, and leaves that as it is; give --store-option to each command, or build anew "
            "(--overwrite, or another OUT)"
        )
    _finished(plan, output)
    if is_relocation(output):
        discard_prepared(output)
    return f"{error}: there was nothing to do"


def _elsewhere(
    plan: Plan,
    url: str | PathLike[str] | Source,
    store: str | None,
    options: Mapping[str, str] | None,
) -> MovedStores:
    """Return a plan with its source in the new place; raise AlreadyThereError if it is there."""
    if store is not None:
        if plan.stores is None:
            raise InputError(f"--store {store}: the references are of one store: leave it out")
        moved = one_elsewhere(plan, store, url, options)
    elif plan.stores is not None:
        moved = with_folder(plan, url, options)
    else:
        source = _opened(plan, url, options)
        # Copies have times and tags of their own.
        new = replace(plan, location=source.location, source=source, identity="none")
        moved = MovedStores(new, (0,), plan.location.url, source.url)
    if moved.now == moved.before:
        now, manner = moved.now, moved.plan.location.options
        raise AlreadyThereError(f"the references are to {now} already", now, manner)
    return moved


def _opened(
    plan: Plan, url: str | PathLike[str] | Source, options: Mapping[str, str] | None
) -> Source:
    """Return the source of a plan's names in the new place."""
    source = url if isinstance(url, Source) else Source.open(str(url), options)
    if not plan.lone_array:
        return source.child(plan.group) if plan.group else source
    above, name = source.parent()
    wanted = plan.arrays[0].spec.name
    if name != wanted:
        raise InputError(
            f"{source.url}: the references are of the array {wanted}, which is called {name} there"
        )
    return above


def _finished(plan: Plan, output: Output) -> dict[PartitionKey, Receipt]:
    """Return the receipts of a build that is finished and published."""
    receipts = read_receipts(output, plan)
    count = partition_count(plan)
    # What a relocation of before has prepared is no update that is to be finished first.
    updating = any(output.get(path) is not None for path in (UPDATE, PREVIOUS))
    updating = updating or bool(to_list_anew(plan, plan, output))
    asked = asked_before(plan, output)
    updating = updating or (asked is not None and asked.names_some)
    if len(receipts) < count or updating or output.get(ROOT) is None:
        raise InputError(
            f"{output.url} is unfinished: run its build again, or parchunk update where it was "
            "built, then relocate it"
        )
    return receipts


def _require_same(moved: MovedStores, source: Source) -> None:
    """Refuse a place whose documents mean something else than those of the plan there."""
    plan, url = moved.plan, moved.now
    if plan.stores is None:
        now, values = read_again(plan, source, arrays_to_come=False), []
    else:
        try:
            joined = rejoined(plan, source, arrays_to_come=False)
        except InputError as error:
            raise InputError(f"{error}{moved.apart}") from None
        now, values = joined.hierarchy, changed_coordinates(plan, joined)
        now = skip_refused(now) if plan.hierarchy.skipped else now
    if values:
        raise InputError(
            f"{url} is not what the references are of ({values[0]} has other values there): "
            "nothing was touched; run parchunk update first where it was written anew, or give the "
            "URL of a copy"
        )
    if not same_meaning(plan.hierarchy, now):
        changed = "; ".join(differences(plan.hierarchy, now)[:3])
        raise InputError(
            f"{url} is not what the references are of ({changed}): nothing was touched; run "
            "parchunk update first where the source grew, or give the URL of a copy"
        )


def _write_all(
    old: Plan,
    new: Plan,
    receipts: Mapping[PartitionKey, Receipt],
    source: Source,
    output: Output,
    lease: Lease,
    rewriting: Rewriting,
) -> int:
    """Write all record files with paths in the new place, and put them in place; return how many.

    What one that was cut short has written is kept.
    """
    stage = begin_stage(new, output, _asked(old))
    done = settled_receipts(stage, new)
    as_of, written = int(time.time() * 1_000_000), 0
    try:
        with Pools(1) as pools, ReceiptWriter(stage, new) as into:
            for array in new.arrays:
                writer = _writer(array, old, new, receipts, source, output, stage, pools, rewriting)
                for partition in array.partitions(new.record_size):
                    if partition.key in done:
                        continue
                    lease.check()
                    was = receipts[partition.key]
                    nothing = SizeVector(np.zeros(0, np.uint64))
                    part = Part(partition.rows, nothing, was.last_modified, Strays(), 0)
                    files = sorted(writer.write(part).files, key=lambda file: file.index)
                    written += len(files)
                    strays = output.get(strays_path(partition)) if was.strays else None
                    if strays is not None:
                        stage.put(strays_path(partition), strays)
                    receipt = replace(
                        was,
                        fingerprint=new.fingerprint,
                        # Copies are newer than what they are of: what is written from now on is.
                        last_modified=None if was.last_modified is None else as_of,
                        record_files=tuple(files),
                    )
                    check_counts(receipt, partition)
                    into.write(partition, receipt)
    except KeyboardInterrupt:
        lease.leave()
        raise
    known = read_receipts(stage, new).values()
    publish_root(new, source, stage, known, lease.confirm)
    switch(output, lease.check)
    output.prepare()
    keep_labels(new, output, source, known)
    output.tidy()
    return written


def _asked(old: Plan) -> Unfinished:
    """Return what the layout that is prepared is for: nothing is listed."""
    return Unfinished((), (), False, old.fingerprint, only=True, relocating=True)


def _writer(
    array: ArrayPlan,
    old: Plan,
    new: Plan,
    receipts: Mapping[PartitionKey, Receipt],
    source: Source,
    output: Output,
    stage: Output,
    pools: Pools,
    rewriting: Rewriting,
) -> RecordWriter:
    """Return what writes an array's rows as they are known, with other paths."""
    spec, name = array.spec, array.spec.name
    files = [
        file
        for partition in array.partitions(old.record_size)
        for file in receipts[partition.key].record_files
    ]
    grid = spec.reference_grid
    reader = rewriting.reader(output, name, files, old.record_size)
    rows = KnownRows(spec, object_paths(new, name, source), Before(grid, grid, reader), ())
    return rewriting.writer(rows, stage, pools)
