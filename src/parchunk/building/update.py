"""Updating OUT when its source grew: only what is new is listed and written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any, cast

from parchunk.arguments.lenient import called, lenient
from parchunk.building.build import carry_out
from parchunk.building.carrying import carry_over, forget, is_due, taken_up
from parchunk.building.due import require_memory
from parchunk.building.effort import Effort
from parchunk.building.growing import MayLose, store_now, stores_now
from parchunk.building.preflight import alone_in, refuse_overlap
from parchunk.building.replacing import build_replacement
from parchunk.building.results import BuildResult, Progress
from parchunk.building.staging import (
    came_before,
    cut_short,
    notes_of_before,
    to_list_anew,
)
from parchunk.cover.memory import DEFAULT_CONCURRENCY, DEFAULT_MEMORY
from parchunk.errors import InputError
from parchunk.listing.choosing import choose
from parchunk.listing.patience import Patience
from parchunk.metadata.choosing import fits
from parchunk.out.counts import Counts
from parchunk.out.inventory_date import refuse_older
from parchunk.out.kept_rows import forget_rows
from parchunk.out.known import forget_known
from parchunk.out.lease import Lease
from parchunk.out.lost_files import lost_files, lost_notes
from parchunk.out.many_receipts import ManyReceipts
from parchunk.out.opening import open_output
from parchunk.out.output import PLAN, PREPARED_FOR, PREVIOUS, UPDATE, Output
from parchunk.out.plan_file import load_plan, save_plan
from parchunk.out.prepared import discard_prepared
from parchunk.out.receipt_files import read_receipts, settled_receipts
from parchunk.out.root import reopening_notes
from parchunk.out.switching import is_published
from parchunk.out.unfinished import Unfinished, save_unfinished
from parchunk.planning.inventory import MOST_PROBED, as_inventory
from parchunk.planning.joining.labels import parse_labels
from parchunk.planning.many_sources import StoreLike
from parchunk.planning.plan import PartitionKey, Plan
from parchunk.planning.source_again import open_source
from parchunk.planning.stretches import partition_count
from parchunk.stores.source import Source


@lenient
def update(
    out: str | PathLike[str] | Output,
    stores: StoreLike | Sequence[StoreLike] = (),
    *,
    labels: str | Sequence[object] = (),
    regions: int | Iterable[int] = (),
    arrays: str | Iterable[str] = (),
    gaps: bool = True,
    repair: Iterable[PartitionKey] | None = None,
    exclude: str | Iterable[str] = (),
    skip_unsupported: bool = False,
    allow_shrink: bool = False,
    allow_gone: bool = False,
    memory: int | str = DEFAULT_MEMORY,
    concurrency: int = DEFAULT_CONCURRENCY,
    workers: int = 1,
    executor: Executor | Any = None,
    trust_listing: bool = False,
    patience: Patience | None = None,
    listing: str | None = None,
    inventory: str | Sequence[str] = (),
    inventory_root: str | None = None,
    probe: bool = False,
    probe_limit: int = MOST_PROBED,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | bool | None = None,
) -> BuildResult:
    """Bring the references in ``out`` up to what their source holds now.

    Listed and written are: regions and arrays that came since, regions whose last chunks were
    partly filled, regions with missing chunks or of which OUT lost a file, whole arrays of up to
    one page of keys, and ``regions`` and ``arrays``. Everything else is taken to be what it was:
    `parchunk.audit` with ``against_source=True`` tells whether it is.

    Readers see the references as they were until all of it is done, but for chunks that fill gaps:
    those they see region by region. An update that was killed, or failed, is finished by the next,
    whatever that one is asked.

    An array that grew along a later axis, or became shorter, is renumbered: its rows are looked up
    in the record files that are there, and only what came is listed. One of other chunks, codecs or
    data type is listed whole, as is one of many stores. Such references are prepared beside those
    that are there, and put in their place when all is done: for that moment nobody can open OUT,
    and who has it open must open it again.

    Regions stay as long as they were planned, unless an array has grown out of them: see
    `parchunk.planning.refitting`.

    Parameters
    ----------
    stores
        Where ``out`` is of many stores: those that came behind them. Patterns that it was built of
        are looked up again anyway, and the last store may have grown.
    labels
        Labels of ``stores``, where the stores are stacked and have some.
    regions
        Numbers of regions to list again in any case.
    arrays
        Names of arrays to list again in any case, all regions of them.
    gaps
        Whether to list regions with missing chunks again. In a store that never writes some of its
        chunks, such as those without data, that may be every region.
    repair
        Array and region of the partitions that are damaged, as `AuditReport.damaged` names them:
        those are listed and written again, and no others that the source has not outgrown.
    exclude, skip_unsupported
        Arrays that came and are left out, now and later: by globs on their names, each of which
        matches one, or those that cannot be referenced.
    allow_shrink, allow_gone
        Take chunks out of the references that are beyond the end of an array that became shorter,
        and arrays that are not there any more.
    inventory, inventory_root
        A newer inventory in place of the listing, as for `parchunk.plan`. Without one the source
        itself is listed.
    probe, probe_limit
        Ask for each chunk that is due by itself, as for `parchunk.plan`.
    memory, concurrency, workers, executor, trust_listing, patience, listing, progress
        As for `parchunk.build`.
    store_options, output_options
        For the source and for ``out``, as for `parchunk.build`.

    Raises
    ------
    InputError
        When ``out`` holds no build, a region or array is named that is not there, or an array is
        gone or became shorter and that is not allowed; of many stores, when one of them is gone,
        moved, or became shorter with others behind it.
    OutputError, SourceError, SourceChangedError
        As for `parchunk.build`.
    """
    memory = cast(int, memory)
    effort = Effort(
        memory, concurrency, workers, executor, trust_listing, patience, progress=called(progress)
    )
    began = time.monotonic()
    output = open_output(out, output_options)
    load_plan(output)  # refused before a lease is taken in what is no OUT
    with alone_in(output) as lease:
        old = load_plan(output)
        source = open_source(old, store_options, listing)
        refuse_overlap(old, source, output)
        given = as_inventory(inventory, inventory_root, memory, probe, probe_limit)
        left = cut_short(old, output)
        before = came_before(old, left)
        told = notes_of_before(before)
        wanted = _without(old, (*before.exclude, *exclude), output)
        excluded = wanted.exclude[len(old.exclude) + len(before.exclude) :]
        unsupported = skip_unsupported or before.skip_unsupported
        allowed = MayLose(unsupported, allow_shrink, allow_gone, before.lost, excluded)
        if wanted.stores is None:
            _refuse_others(output, stores, labels)
            if given.given:
                source = open_source(old, store_options, listing, given)
            now = store_now(wanted, source, allowed)
        else:
            came = (*before.stores, *_several(stores))
            names = (*before.labels, *parse_labels(labels))
            now = stores_now(
                wanted, source, came, names, left, output, store_options, given, allowed
            )
        new, source = now.plan, now.source
        taken_up(old, output)  # else receipts that speak of lost files may come only later
        was, lost = _before(old, new, output, source)
        told = (*told, *lost_notes(lost))
        numbers = cast(Iterable[int], regions)
        asked = _asked(old, new, output, numbers, arrays, lost, gaps, repair)
        asked = replace(asked, skip_unsupported=unsupported, lost=now.lost)
        asked = asked.joined(left[PREPARED_FOR]) if PREPARED_FOR in left else asked
        here = effort if now.changes.in_place else replace(effort, executor=None)
        # Refused before anything is written.
        require_memory(here, old, new, now.changes, asked, source, output)
        choose(source)
        if old.inventory is not None:
            forget_rows(output)  # of a build that was cut short: as it was published, or before
        if now.changes.in_place:
            made = _build_in_place(old, new, was, asked, source, output, lease, effort, began)
        else:
            made = build_replacement(
                old, new, now.changes, asked, source, output, lease, effort, began
            )
        return replace(made, notes=(*told, *made.notes), before=was)


def _asked(
    old: Plan,
    new: Plan,
    output: Output,
    regions: Iterable[int],
    arrays: Iterable[str],
    lost: Iterable[PartitionKey],
    gaps: bool,
    repair: Iterable[PartitionKey] | None,
) -> Unfinished:
    """Return what an update is to list: as it was asked, of what files are ``lost``, what came.

    Raises
    ------
    InputError
        Naming a region or an array that is not there.
    """
    asked = replace(
        _came(old, new),
        regions=tuple(sorted(set(regions))),
        arrays=tuple(sorted({*arrays, *to_list_anew(old, new, output)})),
        gaps=gaps and repair is None,
        partitions=tuple(dict.fromkeys((*(repair or ()), *lost))),
        only=repair is not None,
    )
    _refuse_unknown(asked, old, new, output)
    return asked


def _before(
    plan: Plan, new: Plan, output: Output, source: Source
) -> tuple[dict[str, Counts] | None, dict[PartitionKey, list[str]]]:
    """Return what each array of a plan came to, and the files that are gone, by partition.

    The former is None where an update of it was cut short; the latter are of what ``new`` has, too.

    Raises
    ------
    InputError
        When what stands for the listing is older than what is there.
    """
    receipts = read_receipts(output, plan)
    refuse_older(plan, receipts.values(), source)
    lost = lost_files(output, receipts.values())
    there = {partition.key for partition in new.partitions()} if lost else set()
    lost = {key: paths for key, paths in lost.items() if key in there}
    if len(receipts) != partition_count(plan) or output.get(UPDATE) is not None:
        return None, lost
    found: dict[str, list[Counts]] = {name: [] for name in plan.by_name}
    for receipt in receipts.values():
        found[receipt.array].append(receipt)
    return {name: Counts.total(some) for name, some in found.items()}, lost


def _refuse_others(
    output: Output, stores: StoreLike | Sequence[StoreLike], labels: str | Sequence[object]
) -> None:
    """Refuse to join stores to references of one."""
    if stores or labels:
        raise InputError(
            f"{output.url} is of one store, which is looked at again: build anew with --concat "
            "or --stack to join others (--overwrite, or another OUT)"
        )


def _several(stores: StoreLike | Sequence[StoreLike]) -> Sequence[StoreLike]:
    return [stores] if isinstance(stores, str | PathLike | Source) else stores


def _came(old: Plan, new: Plan) -> Unfinished:
    """Return what is asked of an update from one plan to the other that no receipt shows.

    Those are stores behind those of ``old``, as they were given, their labels, and arrays left out.
    """
    asked = Unfinished((), (), False, old.fingerprint, exclude=new.exclude[len(old.exclude) :])
    if old.stores is None or new.stores is None:
        return asked
    before, now = old.stores, new.stores
    return replace(
        asked,
        stores=now.given[len(before.given) :],
        labels=now.joining.labels[len(before.joining.labels) :],
    )


def _without(plan: Plan, exclude: Iterable[str], output: Output) -> Plan:
    """Return the plan with more arrays left out; refuse to leave out one that it has.

    Globs are for names that arrays have in their store, as for a build: ``rain``, not ``cam/rain``
    where the store is below ``cam``.
    """
    globs = tuple(exclude)
    for name in plan.by_name:
        own = {name} if plan.stores is None else plan.stores.own_names(name)
        for glob in globs:
            if any(fits(each, glob) for each in own):
                raise InputError(
                    f"--exclude {glob}: {name} is in {output.url} already: build anew to leave it "
                    "out (--overwrite, or another OUT)"
                )
    return replace(plan, exclude=tuple(dict.fromkeys((*plan.exclude, *globs))))


def _refuse_unknown(asked: Unfinished, old: Plan, new: Plan, output: Output) -> None:
    """Refuse regions and arrays that are not there."""
    regions = max(len(old.regions), len(new.regions))
    for number in asked.regions:
        if not 0 <= number < regions:
            raise InputError(
                f"--regions: there is no region {number}; {output.url} has {regions}, numbered "
                "from 0"
            )
    for name in asked.arrays:
        if name not in new.by_name:
            raise InputError(
                f"--arrays: there is no array {name!r} in {output.url}; there are "
                f"{', '.join(list(new.by_name)[:10])}{', ...' if len(new.arrays) > 10 else ''}"
            )


def _build_in_place(
    old: Plan,
    new: Plan,
    was: Mapping[str, Counts] | None,
    asked: Unfinished,
    source: Source,
    output: Output,
    lease: Lease,
    effort: Effort,
    began: float,
) -> BuildResult:
    """Write what is due among the record files that are there, and the root when all is done."""
    notes = _begin(asked, old, new, output, source.manner.page)
    discard_prepared(output)  # which said what is to be listed anew: that is kept by now
    done = ManyReceipts(settled_receipts(output, new).values())
    made = carry_out(new, source, output, done, lease, effort, began)
    notes += reopening_notes(new, was, made.receipts)
    return replace(made, notes=(*notes, *made.notes))


def _begin(asked: Unfinished, old: Plan, new: Plan, output: Output, page: int) -> list[str]:
    """Make what is due pending in a plan for what the source is now; return notes for people.

    No record file is written here, and none is later before the receipt that vouches for it is
    gone. Cut short at any point, this is taken up by the next update: what was asked is kept first.
    """
    output.prepare()
    unfinished = taken_up(old, output)
    saved = output.get(PREVIOUS)
    # Of which plan the root is: an update may be cut short right after it was published.
    keep_previous = saved is not None and not is_published(old, output)
    again, searched = asked, False
    if unfinished is not None:
        if unfinished.begun:
            # What has no receipt is due; what has one was listed since, unless it is named now.
            searched = unfinished.gaps
            again = replace(asked, gaps=asked.gaps and not searched)
        elif unfinished.fingerprint == old.fingerprint:
            again = asked.joined(unfinished)
    save_unfinished(again, output)
    forget_known(output)
    kept = forget(old, output, partial(is_due, page=page, asked=again))
    grown_from = old if new.fingerprint != old.fingerprint else None
    begun = replace(again, begun=True, gaps=again.gaps or searched, grown_from=grown_from)
    save_unfinished(begun, output)
    if grown_from is not None:
        if not keep_previous:
            output.put(PREVIOUS, output.get(PLAN) or b"")
        save_plan(new, output)
        carry_over(old, new, output)
    if asked.gaps and not again.gaps and any(receipt.missing for receipt in kept):
        return [
            "an update that was cut short is finished: gaps that it had listed were not listed "
            "once more; run parchunk update again to look for chunks written since"
        ]
    return []
