"""Findings that concern OUT as a whole, or arrays without a look at their files."""

from __future__ import annotations

from collections.abc import Sequence

from parchunk.auditing.findings import Finding, finding
from parchunk.auditing.found_arrays import left_out_findings, spelling_findings
from parchunk.auditing.policy import Policy
from parchunk.auditing.root_check import check_root
from parchunk.out.inventory_date import oldest
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt
from parchunk.out.under_way import UnderWay
from parchunk.planning.plan import Partition, Plan
from parchunk.wording import counted


def findings_of_all(
    plan: Plan,
    output: Output,
    policy: Policy,
    under_way: UnderWay,
    undone: Sequence[Partition],
    receipts: Sequence[Receipt],
) -> list[Finding]:
    """Return findings that concern OUT as a whole, or arrays without a look at their files."""
    finished = not (undone or under_way.updating)
    return [
        *_unfinished(undone, under_way),
        *left_out_findings(plan),
        *spelling_findings(plan, receipts, output, policy),
        *check_root(plan, output, receipts, finished),
        *_unverified(receipts),
    ]


def _unverified(receipts: Sequence[Receipt]) -> list[Finding]:
    """Return the partitions whose gaps were listed once, if there are any."""
    frozen = [receipt for receipt in receipts if receipt.inventory is not None]
    date = oldest(frozen)
    found = []
    if date is not None:
        found = [
            finding(
                "as-of-inventory",
                f"{counted(len(frozen), 'partition is', 'partitions are')} as of the inventory "
                f"of {date}, or of a later one: "
                "chunks written since count as missing",
                "parchunk update OUT --inventory FILE with a newer one",
                count=len(frozen),
            )
        ]
    count = sum(not (receipt.verified or receipt.inventory) for receipt in receipts)
    if not count:
        return found
    return [
        *found,
        finding(
            "unverified",
            f"{counted(count, 'partition was', 'partitions were')} built with --trust-listing: "
            "gaps were not listed a second time",
            "audit with --against-source",
            count=count,
        ),
    ]


def _unfinished(undone: Sequence[Partition], under_way: UnderWay) -> list[Finding]:
    """Return what is not built yet; that is no damage, as readers do not see it."""
    by_array: dict[str, list[Partition]] = {}
    for partition in undone:
        by_array.setdefault(partition.array, []).append(partition)
    what = "up to date" if under_way.published else "built"
    found = [
        finding(
            "unfinished",
            f"{array}: {counted(len(left), 'partition is', 'partitions are')} not {what}"
            + (f", the first is region {left[0].region}" if left[0].region is not None else ""),
            under_way.remedy(),
            array=array,
            region=left[0].region,
            count=len(left),
        )
        for array, left in by_array.items()
    ]
    if (undone and under_way.published) or under_way.updating:
        message = under_way.message(len(undone))
        found.insert(0, finding("unfinished", message, under_way.remedy(), count=len(undone)))
    return found
