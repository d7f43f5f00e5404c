"""OUT/.zmetadata against what the build publishes."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from parchunk.auditing.findings import Finding, finding
from parchunk.metadata.spec import canonical
from parchunk.out.output import ROOT, Output
from parchunk.out.receipts import Receipt
from parchunk.out.root import is_published_root, published_root
from parchunk.planning.plan import Plan

_AGAIN = "run parchunk update OUT: it writes the root anew"


def check_root(
    plan: Plan, output: Output, receipts: Collection[Receipt], finished: bool
) -> list[Finding]:
    """Return what is wrong with the root of a finished OUT.

    An unfinished build has none, and while an update is unfinished it is the one before, which
    readers go on to see.
    """
    if not finished:
        return []
    data = output.get(ROOT)
    if data is None:
        return [
            finding(
                "missing-root", f"{ROOT} is not there: no reader can open OUT", _AGAIN, key=ROOT
            )
        ]
    if is_published_root(data, plan, receipts):
        return []
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return [finding("wrong-root", f"{ROOT} is not JSON", _AGAIN, key=ROOT)]
    differing = _differences(found, json.loads(published_root(plan, receipts)))
    if not differing:
        return []
    more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
    return [
        finding(
            "wrong-root",
            f"{ROOT} is not what the plan says: {'; '.join(differing[:5])}{more}",
            _AGAIN,
            key=ROOT,
            count=len(differing),
        )
    ]


def _differences(found: Any, wanted: dict[str, Any]) -> list[str]:
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        return ["it is no kerchunk root"]
    differing = [
        f"{key} is {json.dumps(found.get(key))[:60]}, not {json.dumps(wanted[key])[:60]}"
        for key in wanted
        if key != "metadata" and canonical(found.get(key)) != canonical(wanted[key])
    ]
    ours, theirs = wanted["metadata"], found["metadata"]
    for key in sorted(ours.keys() | theirs.keys()):
        if key not in theirs:
            differing.append(f"{key} is missing")
        elif key not in ours:
            differing.append(f"{key} does not belong there")
        elif canonical(ours[key]) != canonical(theirs[key]):
            differing.append(f"{key} differs")
    return differing
