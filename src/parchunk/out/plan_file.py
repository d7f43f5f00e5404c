"""The plan that OUT remembers: ``.parchunk/plan.json``, and the one that readers see meanwhile."""

from __future__ import annotations

from parchunk.errors import InputError
from parchunk.metadata.spreading import Each, spread
from parchunk.out.output import PLAN, PREVIOUS, ROOT, Output
from parchunk.out.prepared import refuse_between
from parchunk.out.root import has_arrays_of, is_root_of
from parchunk.planning.plan import Plan
from parchunk.planning.plan_document import parse_document, read_plan, takes_of_plan

#: Times that root and plans are read before they are taken not to go together: an update that
#: begins or ends between two of the readings makes them seem so.
_READINGS = 4


def load_plan(output: Output) -> Plan:
    """Return the plan of a build in OUT.

    Raises
    ------
    InputError
        When there is none, or it cannot be read.
    """
    saved = output.get(PLAN)
    if saved is None:
        raise InputError(
            f"{output.url} holds no parchunk build: there is no {PLAN}: give OUT, as "
            "it was given to parchunk build"
        )
    return parse_plan(saved, output)


def published_plan(output: Output) -> Plan | None:
    """Return the plan that the published root belongs to; None when nothing is published.

    That is what every reader sees. From the beginning of an update to its end plan.json is ahead
    of it; after one that was cut short right behind its end, it is not. So the root is asked.

    Raises
    ------
    InputError
        When OUT holds no build, or a root that belongs to none of its plans.
    """
    for _ in range(_READINGS):
        # In this order: an update writes the one before first, then the plan, then the root.
        root = output.get(ROOT)
        plan = load_plan(output)
        if root is None:
            refuse_between(output)
            if output.get(ROOT) is None:
                return None
            continue
        saved = output.get(PREVIOUS)
        fits = has_arrays_of(root, plan)
        if fits and (saved is None or is_root_of(root, plan)):
            return plan
        if saved is not None:
            before = parse_plan(saved, output, PREVIOUS)
            if has_arrays_of(root, before):
                return before
        if fits:
            return plan
    raise InputError(
        f"{output.describe(ROOT)} has other arrays or shapes than the plan beside it: run the "
        "build again (parchunk update, where one was cut short), which writes it anew"
    )


def parse_plan(saved: bytes, output: Output, path: str = PLAN) -> Plan:
    """Return the plan of a ``plan.json`` that was read from OUT at ``path``.

    Raises
    ------
    InputError
        When it is no plan that this version can read.
    """
    where = output.describe(path)
    try:
        document = parse_document(saved, takes_of_plan())
    except (ValueError, RecursionError):
        raise InputError(
            f"{where} is not JSON: restore it, or build again with --overwrite"
        ) from None
    return read_plan(document, where)


def save_plan(plan: Plan, output: Output) -> None:
    """Write the plan to OUT."""
    # An array, a group, a region a line.
    output.put(PLAN, spread(plan.to_json(Each), 3))
