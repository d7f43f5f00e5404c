"""Updates whose references cannot be written over those that are there: prepared, then switched."""

from __future__ import annotations

from dataclasses import replace

from parchunk.building.build import carry_out
from parchunk.building.carried_strays import KnownStrays
from parchunk.building.carrying import not_due, taken_up
from parchunk.building.effort import Effort
from parchunk.building.renumbering import Renumbering
from parchunk.building.results import BuildResult
from parchunk.building.staging import begin_stage, carry_to
from parchunk.out.labels import keep_labels
from parchunk.out.lease import Lease
from parchunk.out.many_receipts import ManyReceipts
from parchunk.out.output import NEXT, Output
from parchunk.out.receipt_files import read_receipts, settled_receipts
from parchunk.out.switching import switch
from parchunk.out.unfinished import Unfinished
from parchunk.planning.changes import Changes
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source


def build_replacement(
    old: Plan,
    new: Plan,
    changes: Changes,
    asked: Unfinished,
    source: Source,
    output: Output,
    lease: Lease,
    effort: Effort,
    began: float,
) -> BuildResult:
    """Build the references of ``new`` beside those of ``old``, and put them in their place.

    Readers see what was published until all is there. An update that was under way, and changed
    nothing but what stays where it is, is made an end of by this one.

    Raises
    ------
    ParchunkError, KeyboardInterrupt
        As `carry_out` does.
    """
    # Tasks elsewhere look for the lease in the OUT that they write in, and this one has none.
    effort = replace(effort, executor=None)
    unfinished = taken_up(old, output)
    if (
        unfinished is not None
        and not unfinished.begun
        and unfinished.fingerprint == old.fingerprint
    ):
        asked = asked.joined(unfinished)
    receipts = read_receipts(output, old)
    kept = not_due(old, receipts, source.manner.page, asked)
    strays = KnownStrays(old, new, receipts, output)
    stage = output.below(NEXT)
    renumbering = Renumbering(old, new, source, output, stage, kept, strays, effort, lease, began)
    # Slabs of many stores would be several walks each: those arrays are listed whole.
    moved = sorted(changes.moved) if new.stores is None else []
    renumbering.require_memory(moved)
    begin_stage(new, output, asked)
    carry_to(old, new, output, stage, kept, strays)
    listed = renumbering.carry_out(moved)
    done = ManyReceipts(settled_receipts(stage, new).values())
    result = carry_out(new, source, stage, done, lease, effort, began)
    lease.confirm()
    switch(output, lease.check)
    # Now that the record files of a coordinate are where they belong.
    output.prepare()
    keep_labels(new, output, source, result.receipts)
    output.tidy()
    if listed is not None:
        result = replace(
            result,
            requests=result.requests + listed.requests.lists,
            gets=result.gets + listed.requests.gets,
            heads=result.heads + listed.requests.heads,
            retries=result.retries + listed.requests.retries,
            busy=result.busy + listed.requests.busy,
        )
    return replace(result, url=output.url, notes=(*changes.notes(), *result.notes))
