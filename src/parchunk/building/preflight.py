"""Whose OUT is: a build writes over nothing but a build, and never into its own source."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from parchunk.errors import InputError
from parchunk.metadata.meaning import same_meaning
from parchunk.metadata.names import OWN, record_number
from parchunk.out.claims import clear_claims
from parchunk.out.lease import Lease, held
from parchunk.out.output import BLOCKS, BY_ARRAY, LEASE, OF_OUT, PLAN, ROOT, Output
from parchunk.out.plan_file import parse_plan, save_plan
from parchunk.out.receipt_files import take_back_doubtful
from parchunk.out.switching import finish_switch
from parchunk.planning.apart import require_apart, stores_of
from parchunk.planning.plan import Plan
from parchunk.planning.plan_differences import plan_differences
from parchunk.stores.source import Source


@contextlib.contextmanager
def alone_in(output: Output) -> Iterator[Lease]:
    """Hold OUT, in which nobody else is at work, and in which nothing is half replaced.

    Raises
    ------
    HeldError
        When another build holds it, or tasks are at work in it.
    """
    with held(output) as lease:
        clear_claims(output)
        finish_switch(output, lease.check)
        yield lease


def begin_output(plan: Plan, output: Output, overwrite: bool, shared: bool = False) -> Plan:
    """Make OUT ready for a build of ``plan``: new, or to be resumed; return the plan to carry out.

    A build is resumed by the plan that it was begun with: the source's documents may be spelled
    anew since, as long as they mean the same. ``shared``: others may be at work on the same plan,
    so what is half-written stays.

    Raises
    ------
    InputError
        When OUT is a file or holds something else; another plan's build, unless ``overwrite``.
    """
    saved = refuse_foreign(output)
    if saved is not None:
        try:
            old = parse_plan(saved, output)
        except InputError:
            if not overwrite:
                raise
            old = None
        if old is None or not _is_same(old, plan):
            if not overwrite:
                assert old is not None
                raise InputError(_is_of_another(output, old, _as_begun(old, plan)))
            _clear(output, old)
        elif overwrite:
            _clear(output, old)
        else:
            if not shared:
                output.prepare()
            if old.fingerprint == plan.fingerprint and old.location == plan.location:
                if old.inventory != plan.inventory:  # of another date, by a copy of its file
                    return replace(plan, inventory=old.inventory)
                return plan  # and no other one that says the same of very many arrays
            return replace(old, source=plan.source)
    output.prepare()
    save_plan(plan, output)
    return plan


def _is_of_another(output: Output, old: Plan, new: Plan) -> str:
    """Return what to say where OUT holds a build of ``old``, and ``new`` is asked for."""
    go_on = ""
    if _is_same(old, replace(new, record_size=old.record_size)):
        go_on = f"give --record-size {old.record_size} to go on with it; "
    return (
        f"{output.url} holds a build of another plan "
        f"({'; '.join(plan_differences(old, new)[:3])}): {go_on}run parchunk update if the source "
        "grew; else build with --overwrite to replace it, or name another OUT"
    )


def _as_begun(old: Plan, new: Plan) -> Plan:
    """Return ``new`` without coordinates inline where ``old`` was begun so: it was the only way."""
    return new if old.inline_coordinates else replace(new, inline_coordinates=False)


def _is_same(old: Plan, new: Plan) -> bool:
    """Whether two plans write the same, however their documents are spelled."""
    new = _as_begun(old, new)
    if old.fingerprint == new.fingerprint:
        return True
    respelled = replace(new, hierarchy=old.hierarchy, arrays=old.arrays)
    return (
        respelled.fingerprint == old.fingerprint
        and old.hierarchy.written_format == new.hierarchy.written_format
        and _layout(old) == _layout(new)
        and same_meaning(old.hierarchy, new.hierarchy)
    )


def _layout(plan: Plan) -> list[tuple[str, int | None, int]]:
    return [(array.spec.name, array.axis, array.region_chunks) for array in plan.arrays]


def refuse_foreign(output: Output) -> bytes | None:
    """Return the plan.json of OUT, None for an empty OUT; refuse one that holds something else."""
    if output.is_empty():
        return None
    saved = output.get(PLAN)
    if saved is None:
        raise InputError(
            f"{output.url} holds something that parchunk did not write: name another OUT"
        )
    return saved


def _clear(output: Output, plan: Plan | None) -> None:
    """Delete what parchunk wrote in OUT; cut short, a build of the plan that is there goes on."""
    if plan is not None and output.paths(BLOCKS):
        output.prepare()
        take_back_doubtful(output, plan)
    output.clear(_own_paths(output, plan))


def _own_paths(output: Output, plan: Plan | None) -> list[str]:
    """Return what parchunk wrote in OUT: its own folder, the root, and record files."""
    own = [
        path
        for path in output.paths()
        if (path.split("/")[0] == OWN and path != LEASE) or path == ROOT
    ]
    for array in plan.arrays if plan else ():
        own += [
            path
            for path in output.paths(array.spec.name)
            if record_number(path[len(array.spec.name) + 1 :]) is not None
        ]
    return own


def _places_of(plan: Plan) -> Iterator[str]:
    """Yield where a build of ``plan`` writes: its own files, and the folders of each array."""
    yield from OF_OUT
    for array in plan.arrays:
        name = array.spec.name
        for folder in BY_ARRAY:
            yield f"{folder}/{name}"
        yield name


def refuse_overlap(plan: Plan, source: Source, output: Output) -> None:
    """Refuse an OUT in SRC or around it: its files would be listed, or its data overwritten; and
    one with links in it, which could lead there, or anywhere.
    """
    require_apart("OUT", output.location, stores_of(plan, source.location))
    output.refuse_links(_places_of(plan))
