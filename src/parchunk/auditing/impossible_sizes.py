"""Chunks of another size than the only one that they can have, as findings."""

from __future__ import annotations

from parchunk.auditing.findings import Finding, finding, listed_again
from parchunk.auditing.sizes import Sizes
from parchunk.metadata.chunk_keys import chunk_key, chunk_label
from parchunk.planning.plan import ArrayPlan


def impossible_sizes(array: ArrayPlan, sizes: Sizes, record_size: int) -> list[Finding]:
    """Return a finding that counts them and names the first, or nothing."""
    if not sizes.wrong:
        return []
    spec = array.spec
    examples = ", ".join(
        f"{chunk_label(spec, number)} ({size:,} bytes)" for number, size in sizes.wrong_examples
    )
    wrong = [number for number, _ in sizes.wrong_examples]
    regions = [array.region_of_file(number // record_size * record_size) for number in wrong]
    again = listed_again(spec.name, None)
    if array.axis is not None and len(wrong) == sizes.wrong:  # all of them are known
        again = f"parchunk update OUT --regions {','.join(map(str, dict.fromkeys(regions)))}"
    return [
        finding(
            "impossible-size",
            f"{spec.name}: {sizes.wrong:,} chunks have not the {sizes.fixed:,} bytes of a chunk "
            f"stored without compression, so that they cannot be read: {examples}",
            "a write was cut off, or they are of another array: have the producer write them "
            f"again, then run {again}",
            array=spec.name,
            region=regions[0],
            key=chunk_key(spec, wrong[0]),
            count=sizes.wrong,
        )
    ]
