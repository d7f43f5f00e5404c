"""What an update prepares in OUT/.parchunk/next: begun, taken up again, or begun anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from parchunk.building.carried_strays import KnownStrays
from parchunk.building.carrying import (
    forget,
    is_due,
    keep_going_on,
    receipts_of,
    renewed,
    taken_up,
)
from parchunk.errors import InputError
from parchunk.out.claims import clear_claims
from parchunk.out.output import NEXT, PLAN, PREPARED_FOR, UPDATE, Output
from parchunk.out.plan_file import load_plan, save_plan
from parchunk.out.prepared import discard_prepared
from parchunk.out.receipt_files import ReceiptWriter, settled_receipts
from parchunk.out.receipts import Receipt, strays_path
from parchunk.out.unfinished import (
    Unfinished,
    asked_before,
    read_prepared_for,
    read_unfinished,
    save_unfinished,
)
from parchunk.planning.changes import seen_otherwise
from parchunk.planning.growth import carried
from parchunk.planning.plan import PartitionKey, Plan
from parchunk.wording import counted


def to_list_anew(old: Plan, new: Plan, output: Output) -> tuple[str, ...]:
    """Return arrays that an update which was cut short saw otherwise than before and now."""
    between = _plan_of(output.below(NEXT))
    return () if between is None else seen_otherwise(old, between, new)


def go_on_without(plan: Plan, output: Output) -> None:
    """Make OUT ready for a build of what its plan says, whatever update was cut short in it.

    What one prepared is deleted: what is to be listed anew for what that saw, or was asked, has
    no receipts then. Of one that wrote in place, the receipts that hold are those of ``plan``.
    """
    unfinished = taken_up(plan, output)
    due = Unfinished((), to_list_anew(plan, plan, output), False, plan.fingerprint)
    asked = asked_before(plan, output)
    due = replace(due if asked is None else due.joined(asked), only=True)
    if due.names_some:
        forget(plan, output, partial(is_due, page=0, asked=due))
    if asked is not None and asked.names_more:
        # A build of this plan takes none of them in: the next update does.
        save_unfinished(asked if unfinished is None else asked.joined(unfinished), output)
    discard_prepared(output)


def cut_short(plan: Plan, output: Output) -> dict[str, Unfinished]:
    """Return what updates of ``plan`` were asked that were cut short, by the files that say so."""
    asked = {PREPARED_FOR: asked_before(plan, output), UPDATE: read_unfinished(output)}
    return {
        path: one
        for path, one in asked.items()
        if one is not None and one.fingerprint == plan.fingerprint
    }


def came_before(plan: Plan, asked: Mapping[str, Unfinished]) -> Unfinished:
    """Return which stores came, and what is left out, as updates were asked that were `cut_short`.

    What else they were asked is no part of it.
    """
    found = Unfinished((), (), False, plan.fingerprint)
    for one in asked.values():
        found = found.with_more(one)
    return found


def notes_of_before(before: Unfinished) -> tuple[str, ...]:
    """Return what is to be said of what `came_before`: nobody may have asked for it this time."""
    given = [*before.stores, *(f"--exclude {glob}" for glob in before.exclude)]
    given += ["--skip-unsupported"] if before.skip_unsupported else []
    if not given:
        return ()
    return (f"what an update had been given that was cut short is done, too: {_some(given)}",)


@contextmanager
def telling_of_before(asked: Mapping[str, Unfinished], output: Output) -> Iterator[None]:
    """Say in a refusal of stores that some `came_before`, and how to do without them."""
    try:
        yield
    except InputError as error:
        files = [output.describe(path) for path, one in asked.items() if one.stores]
        if not files:
            raise
        given = list(dict.fromkeys(store for one in asked.values() for store in one.stores))
        raise InputError(
            f"{error}; an update that was cut short had been given {_some(given)}: where "
            'that is not to come, take it out of "stores", and its label out of "labels", in '
            f"{' and '.join(files)}, and update again"
        ) from error


def _some(names: Sequence[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {counted(more, 'other')}" if more > 0 else "")


def begin_stage(new: Plan, output: Output, asked: Unfinished) -> Output:
    """Make OUT ready for a layout to be prepared in it, and return where that is.

    One that was cut short is gone on with where source and OUT are what they were, and nothing
    else is asked for.
    """
    output.prepare()
    stage = output.below(NEXT)
    clear_claims(stage)
    saved = read_prepared_for(output)
    prepared = _plan_of(stage)
    is_of_new = prepared is not None and prepared.fingerprint == new.fingerprint
    stage.prepare()
    if saved != asked or not is_of_new:
        if is_of_new:
            stage.delete(PLAN)  # it is not gone on with, whenever this is cut short
        # Before the plan goes that says why some arrays are asked for.
        output.put(PREPARED_FOR, json.dumps(asked.to_json()).encode())
        discard_prepared(output, but=PREPARED_FOR)
        stage.prepare()
        save_plan(new, stage)
    return stage


def carry_to(
    old: Plan,
    new: Plan,
    output: Output,
    stage: Output,
    kept: dict[PartitionKey, Receipt],
    known_strays: KnownStrays,
) -> None:
    """Write receipts of the partitions whose record files stay where they are, most or all.

    ``kept`` are the receipts of ``old`` that are believed.
    """
    done = settled_receipts(stage, new)
    with ReceiptWriter(stage, new) as writer:
        for item in carried(old, new):
            known = receipts_of(item, kept)
            if not known or item.partition.key in done:
                continue
            strays = known_strays.of(item, known)
            if strays is None:
                continue
            if strays.file is not None:
                stage.put(strays_path(item.partition), strays.file)
            writer.write(item.partition, renewed(known, item.partition, new, strays.reasons))
    keep_going_on(old, new, kept, done, output, stage)


def _plan_of(stage: Output) -> Plan | None:
    """Return the plan of what is prepared, None where nothing is that can be gone on with."""
    if stage.get(PLAN) is None:
        return None
    try:
        return load_plan(stage)
    except InputError:
        return None
