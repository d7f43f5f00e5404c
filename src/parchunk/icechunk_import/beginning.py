"""Beginning an append, or going on with one: on a branch aside, published when all is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parchunk.errors import InputError
from parchunk.icechunk_import.appending import (
    Appending,
    appended_before,
    origin_of,
    refuse_imported,
)
from parchunk.icechunk_import.branches import Branch
from parchunk.icechunk_import.fitting import fit
from parchunk.icechunk_import.held_arrays import HeldArrays
from parchunk.icechunk_import.history import Entry, History
from parchunk.icechunk_import.out_values import ValuesInOut
from parchunk.icechunk_import.planned_commits import PlannedCommit
from parchunk.icechunk_import.still_held import still_held
from parchunk.metadata.to_v3 import V3Documents
from parchunk.out.output import Output
from parchunk.planning.plan import Plan
from parchunk.reading.rows import Receipts


@dataclass(frozen=True)
class Begun:
    """An append under way: ``side`` is where it goes on, None where all is in already."""

    side: Branch | None
    history: History
    appending: Appending
    work: list[PlannedCommit]


def begin_append(
    output: Output,
    plan: Plan,
    receipts: Receipts,
    documents: V3Documents,
    work: Sequence[PlannedCommit],
    dimension: str,
    target: Branch,
) -> Begun:
    """Return how to append a plan's arrays along ``dimension``, as it was begun or as it fits now.

    Raises
    ------
    InputError
        When it does not fit, or something else is under way; nothing is written then.
    """
    origin = origin_of(plan)
    refuse_imported(target.history(), work, target.url)
    history = target.history(origin)
    said = appended_before(history, origin, dimension)
    if said is not None:
        appending = Appending(plan, said)
        planned = appending.commits(work, receipts)
        history = _still_held(history, target, appending, planned)
        if all(item.is_in(history) for item in planned):
            return Begun(None, history, appending, planned)
    side = target.begun_aside()
    if side is not None:
        _refuse_foreign(side, target, origin)
        history = side.history(origin)
        said = appended_before(history, origin, dimension)
        if said is not None:
            appending = Appending(plan, said)
            planned = appending.commits(work, receipts)
            history = _still_held(history, side, appending, planned)
    if said is not None and work[0].is_in(history):
        appending = Appending(plan, said)
    else:
        now = side or target
        held = HeldArrays(now.at(now.tip()), target.url)
        in_out = ValuesInOut(output, plan, receipts)
        appending = fit(plan, documents, dimension, held, in_out, said)
    return Begun(side or target.side(), history, appending, appending.commits(work, receipts))


def _still_held(
    history: History, branch: Branch, appending: Appending, work: Sequence[PlannedCommit]
) -> History:
    """Return what of an append's history is there still."""
    nodes = appending.by_chunks.union(appending.append.by_values)
    session = branch.at(branch.tip())
    return still_held(history, session, appending.plan, nodes, work, appending.shift)


def _refuse_foreign(side: Branch, target: Branch, origin: str) -> None:
    """Refuse to go on where another import is under way, which would be published with this one."""
    for commit in side.after(target.tip()):
        entry = Entry.from_metadata(commit.metadata)
        if entry is None or entry.append is None or entry.append.origin != origin:
            raise InputError(
                f"another import into {target.url} is under way on branch {side.name}: finish that "
                f"one, or run repo.delete_branch({side.name!r}), then this one again"
            )
