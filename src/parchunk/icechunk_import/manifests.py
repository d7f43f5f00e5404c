"""How many regions share a manifest: small ones do, or there would be too many manifests.

A commit looks at every manifest of an array, and writes those anew that get references. So with
one a region each commit takes longer than the one before it, and with one for all of them, too.
"""

from __future__ import annotations

from math import log2, sqrt

from parchunk.planning.plan import ArrayPlan, Plan

#: A commit looks at a manifest in the time that it takes to write so many references anew. It was
#: measured with ``benchmarks.icechunk``: 0.25 ms by 1.7 microseconds, with icechunk 1.1 and 2.3.
LOOK = 150
#: References that regions which share a manifest have together, at most.
MOST = 50_000


def manifest_length(array: ArrayPlan) -> int:
    """Return how many chunks along its axis a manifest of a split array has."""
    assert array.axis is not None
    chunks = array.region_chunks
    if array.cuts:  # one long store among short ones does not decide
        chunks = -(-array.spec.reference_grid[array.axis] // array.regions)
    return max(chunks, 1) * regions_a_manifest(array)


def regions_a_manifest(array: ArrayPlan) -> int:
    """Return how many regions of a split array share a manifest; a power of two.

    So it seldom changes when regions come, and manifests of before lie within the new ones.
    """
    regions = array.regions
    references = max(array.spec.reference_total // max(regions, 1), 1)
    # The least of what an import takes: regions / shared manifests are there on average half of
    # the time, and each is written anew with half of its references.
    shared = max(min(sqrt(LOOK * regions / references), MOST / references), 1.0)
    return 1 << int(log2(shared) + 0.5)


def written_again(plan: Plan, array: str) -> int:
    """Return how many references of other regions a commit writes anew for an array, at most."""
    planned = plan.by_name[array]
    if planned.axis is None or planned.regions <= 1:
        return 0
    shared = regions_a_manifest(planned)
    return (shared - 1) * -(-planned.spec.reference_total // planned.regions)
