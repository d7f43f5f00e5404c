"""What receipts tell of chunks that have an impossible size, for the summary of a build."""

from __future__ import annotations

from collections.abc import Iterable

from parchunk.metadata.fixed_size import fixed_chunk_bytes
from parchunk.out.many_receipts import each
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import Plan


def size_notes(plan: Plan, receipts: Iterable[Receipt]) -> list[str]:
    """Return a line for each array of which some chunks have not the only size they can have.

    Partition by partition: the bytes of its chunks must be their number times that size. Chunks
    whose errors cancel out in one partition are not seen here, but by `parchunk.audit`.
    """
    fixed = {array.spec.name: fixed_chunk_bytes(array.spec) for array in plan.arrays}
    wrong: dict[str, list[int | None]] = {}
    for name, region, held, present in each(receipts, "array", "region", "bytes", "present"):
        size = fixed[name]
        if size is not None and held != present * size:
            wrong.setdefault(name, []).append(region)
    return [
        f"{name}: some chunks have not the {fixed[name]:,} bytes of a chunk stored without "
        f"compression, and cannot be read{_regions(found)}: parchunk audit names them"
        for name, found in sorted(wrong.items())
    ]


def _regions(found: list[int | None]) -> str:
    numbers = sorted(region for region in found if region is not None)
    if not numbers:
        return ""
    shown = ", ".join(map(str, numbers[:5])) + (" and others" if len(numbers) > 5 else "")
    return f" (region {shown})" if len(numbers) == 1 else f" (regions {shown})"
