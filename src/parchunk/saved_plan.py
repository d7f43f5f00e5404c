"""The plan that OUT remembers: ``.parchunk/plan.json``."""

from __future__ import annotations

import json

from parchunk.errors import InputError
from parchunk.output import PLAN, Output
from parchunk.plan import Plan


def load_plan(output: Output) -> Plan:
    """Return the plan of a build in OUT.

    Raises
    ------
    InputError
        When there is none, or it cannot be read.
    """
    saved = output.get(PLAN)
    if saved is None:
        raise InputError(f"{output.url} holds no parchunk build: there is no {PLAN}")
    return parse_plan(saved, output)


def parse_plan(saved: bytes, output: Output) -> Plan:
    """Return the plan of a ``plan.json`` that was read from OUT.

    Raises
    ------
    InputError
        When it is no plan that this version can read.
    """
    where = output.describe(PLAN)
    try:
        document = json.loads(saved)
    except (ValueError, RecursionError):
        raise InputError(
            f"{where} is not JSON: restore it, or build again with --overwrite"
        ) from None
    return Plan.from_json(document, where)


def save_plan(plan: Plan, output: Output) -> None:
    """Write the plan to OUT."""
    output.put(PLAN, json.dumps(plan.to_json(), indent=1).encode())
