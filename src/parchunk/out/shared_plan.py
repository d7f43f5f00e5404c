"""The plan in OUT as those read it who share it out among tasks: once in each process."""

from __future__ import annotations

import hashlib
import threading

from parchunk.errors import InputError
from parchunk.out.output import PLAN, Output
from parchunk.out.plan_file import parse_plan
from parchunk.planning.plan import Plan

#: The plan that this process has read last, of which OUT, and a digest of what it was read from.
_KNOWN: dict[str, tuple[bytes, Plan]] = {}
_LOCK = threading.Lock()


def shared_plan(output: Output, fingerprint: str, task: str, remedy: str) -> Plan:
    """Return the plan of a task, which OUT must still hold; read once where there are many tasks.

    Raises
    ------
    InputError
        Naming the ``task`` and the ``remedy``, when OUT has no plan, or one of another fingerprint.
    """
    saved = output.get(PLAN)
    if saved is None:
        raise InputError(
            f"{output.url} holds no plan for {task}: it was removed since the task was made; "
            f"{remedy}"
        )
    digest = hashlib.sha256(saved).digest()
    with _LOCK:
        known = _KNOWN.get(output.url)
        if known is not None and known[0] == digest:
            plan = known[1]
        else:
            plan = parse_plan(saved, output)
            _KNOWN.clear()
            _KNOWN[output.url] = (digest, plan)
    if plan.fingerprint != fingerprint:
        raise InputError(
            f"{output.url} holds another plan than {task} is of: the source grew, or OUT was "
            f"begun anew since the task was made; {remedy}"
        )
    return plan
