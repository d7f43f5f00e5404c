"""Chunks of another size than the only one that they can have, as findings."""

from __future__ import annotations

import numpy as np

from parchunk.auditing.findings import Finding, finding
from parchunk.auditing.sizes import Sizes
from parchunk.metadata.chunk_keys import chunk_key, chunk_label
from parchunk.planning.plan import ArrayPlan


def impossible_sizes(array: ArrayPlan, sizes: Sizes) -> list[Finding]:
    """Return a finding that counts them and names the first, or nothing."""
    if not sizes.wrong:
        return []
    spec = array.spec
    examples = ", ".join(
        f"{chunk_label(spec, number)} ({size:,} bytes)" for number, size in sizes.wrong_examples[:4]
    )
    first = sizes.wrong_examples[0][0]
    region, again = None, "--arrays with its name"
    if array.axis is not None:
        index = np.unravel_index(first, spec.reference_grid)[array.axis]
        region, again = array.region_at(int(index)), "--regions with their numbers"
    return [
        finding(
            "impossible-size",
            f"{spec.name}: {sizes.wrong:,} chunks have not the {sizes.fixed:,} bytes of a chunk "
            f"stored without compression, so that they cannot be read: {examples}",
            f"have the producer write them again, then parchunk update OUT {again}: a write was "
            "cut off, or they are of another array",
            array=spec.name,
            region=region,
            key=chunk_key(spec, first),
            count=sizes.wrong,
        )
    ]
