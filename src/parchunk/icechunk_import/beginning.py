"""Beginning an import or an append, or going on with one: an append on a branch aside.

What lies aside is published when all of it is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from parchunk.errors import InputError
from parchunk.icechunk_import.appending import (
    Appending,
    appended_before,
    origin_of,
    refuse_appended,
    refuse_imported,
)
from parchunk.icechunk_import.branches import Branch
from parchunk.icechunk_import.fitting import fit
from parchunk.icechunk_import.held_arrays import HeldArrays
from parchunk.icechunk_import.history import Entry, History
from parchunk.icechunk_import.left_behind import left_behind
from parchunk.icechunk_import.out_values import ValuesInOut
from parchunk.icechunk_import.planned_commits import PlannedCommit
from parchunk.icechunk_import.read_otherwise import read_otherwise
from parchunk.icechunk_import.still_held import still_held
from parchunk.metadata.to_v3 import V3Documents
from parchunk.out.output import Output
from parchunk.planning.plan import Plan
from parchunk.reading.rows import Receipts


@dataclass(frozen=True)
class Begun:
    """An import under way, of which ``history`` has what is in; ``appending`` where it appends.

    ``side`` is the branch aside where it goes on; None where it goes on without one, or where all
    of an append is in already. ``left`` are arrays of earlier imports that are not in OUT,
    where anything is to be imported. ``otherwise`` are those of which what is there is read by
    other attributes now, with their names: an import of those goes aside, asked for or not.
    """

    side: Branch | None
    history: History
    appending: Appending | None
    work: Sequence[PlannedCommit]
    left: tuple[str, ...] = ()
    otherwise: Mapping[str, Sequence[str]] = field(default_factory=dict)


def begin_import(
    plan: Plan,
    documents: V3Documents,
    work: Sequence[PlannedCommit],
    target: Branch,
    publish: bool,
    anew: bool,
) -> Begun:
    """Return how to import ``work``: aside where it is to be ``publish``ed, and is not all in.

    ``anew``: what is in is imported, too.

    Raises
    ------
    InputError
        When it would cut off what was appended; nothing is written then.
    """
    nodes = (*documents.groups, *documents.arrays)

    def history_of(branch: Branch) -> History:
        return still_held(branch.history(), branch.at(branch.tip()), plan, nodes, work)

    history, side = history_of(target), None
    at_tip = target.at(target.tip())
    otherwise = {} if publish else read_otherwise(at_tip, plan, documents, history, work)
    if otherwise or (publish and (anew or not _all_in(work, history))):
        side = target.side()
        history = history_of(side)
    refuse_appended(history, work, plan, target.url)
    left: tuple[str, ...] = ()
    if anew or not _all_in(work, history):
        entry = work[0].entry
        left = left_behind(side or target, history, {*plan.by_name, *entry.left_out}, entry.arrays)
    return Begun(side, history, None, work, left, otherwise)


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
        if _all_in(planned, history):
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


def _all_in(work: Iterable[PlannedCommit], history: History) -> bool:
    return all(item.is_in(history) for item in work)


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
