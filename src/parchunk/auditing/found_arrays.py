"""Arrays that the source holds and the references do not, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence

from parchunk.auditing.findings import Finding, finding
from parchunk.auditing.policy import Policy
from parchunk.metadata import Hierarchy
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt
from parchunk.out.spelling_notes import spelling_notes
from parchunk.planning.plan import Plan


def left_out_findings(plan: Plan) -> list[Finding]:
    """Return a notice for each array, or folder that may hold some, that was not taken in."""
    hierarchy = plan.hierarchy
    return [_left_out(name, reason) for name, reason in (*hierarchy.skipped, *hierarchy.left_out)]


def spelling_findings(
    plan: Plan, receipts: Sequence[Receipt], output: Output, policy: Policy
) -> list[Finding]:
    """Return the arrays whose chunks are there, spelled otherwise than their metadata says."""
    return [
        finding(
            "other-spelling",
            note,
            "correct the array's metadata (its dimension_separator or chunk_key_encoding), "
            "consolidate the store again if it is, then build with --overwrite",
            severity="notice" if policy.allows_gaps(name) else None,
            array=name,
        )
        for name, note in spelling_notes(plan, receipts, output).items()
    ]


def gone_arrays(plan: Plan, now: Hierarchy) -> set[str]:
    """Return the arrays of a plan that its source has not any more."""
    return {array.spec.name for array in plan.arrays} - {array.name for array in now.arrays}


def gone_remedy(update: str) -> str:
    """Return what to do about an array that is gone, and about its chunks."""
    return f"restore it; or consolidate the store again where that still names it, and run {update}"


def array_findings(plan: Plan, now: Hierarchy, update: str, remedy: str) -> list[Finding]:
    """Return what came to the source and went from it since the plan, array by array.

    ``update`` is the command that takes it in, and ``remedy`` what to do about what came.
    """
    known = {array.spec.name for array in plan.arrays}
    # refused ones are not built: a plan that skips them has them by name
    came = {array.name for array in now.arrays} | {refusal.name for refusal in now.refused}
    came -= known | {name for name, _ in plan.hierarchy.skipped}
    said = {*plan.hierarchy.left_out, *plan.hierarchy.skipped}
    left_out = (*now.left_out, *now.skipped)
    return [
        *(
            finding(
                "new-array",
                f"{name} is in the source, and not in the references",
                remedy,
                array=name,
            )
            for name in sorted(came)
        ),
        *(
            finding(
                "gone-array",
                f"{name} is in the references, and not in the source any more",
                gone_remedy(update),
                array=name,
            )
            for name in sorted(gone_arrays(plan, now))
        ),
        *(_left_out(name, reason) for name, reason in left_out if (name, reason) not in said),
    ]


def _left_out(name: str, reason: str) -> Finding:
    return finding(
        "left-out",
        f"{name} is in the source, and left out of the references: {reason}",
        "nothing need be done; --exclude at planning leaves it out without a word",
        array=name,
    )
