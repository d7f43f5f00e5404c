"""Arrays whose shape has no chunks: a build lists none of them, so an audit looks what is there.

A producer may write chunks and say later how long the array is, or never.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from parchunk.auditing.findings import Finding, finding
from parchunk.keys.parsing import tails_of
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.strays import OUTSIDE, find_strays
from parchunk.listing.walker import Listing
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source
from parchunk.wording import counted, grid_text

#: Objects that a finding names.
_NAMED = 3


def chunkless_findings(
    plan: Plan,
    empty: Collection[str],
    source: Source,
    requests: Requests,
    patience: Patience,
    concurrency: int,
) -> list[Finding]:
    """Return what lies below arrays of one store that have no chunks, by one LIST request each.

    Nothing is asked of sources that can only be asked for chunks, nor of arrays that are not among
    the ``empty`` now: what became of those is another finding.

    Raises
    ------
    ListingError
        When one cannot be listed.
    """
    specs = [one.spec for one in plan.arrays if not one.spec.total and one.spec.name in empty]
    if not specs or plan.stores is not None or source.manner.probed:
        return []
    stop = threading.Event()

    def look(spec: ArraySpec) -> list[Finding]:
        listing = Listing(source, spec.name, requests, patience, stop, batch=1)
        return list(_told(spec, listing))

    with ThreadPoolExecutor(concurrency, thread_name_prefix="listing") as pool:
        try:
            return [found for some in pool.map(look, specs) for found in some]
        except BaseException:
            stop.set()
            raise


def _told(spec: ArraySpec, listing: Listing) -> Iterator[Finding]:
    """Yield the finding of an array below which the first page of a listing has objects."""
    first = next((listed for listed in listing.drain("") if listed is not None), None)
    if first is None:
        return
    tails = tails_of(first.paths, f"{listing.path('')}/")
    sizes = np.minimum(first.sizes, np.iinfo(np.int64).max).astype(np.int64)
    strays = find_strays(spec, tails, sizes)
    if not strays.num_rows:
        return
    paths = sorted(strays["path"].to_pylist())
    chunks = strays["reason"].to_pylist().count(OUTSIDE)
    more = " or more" if len(tails) >= listing.page else ""
    lie = "lies" if len(paths) == 1 and not more else "lie"
    named = ", ".join(f"{spec.name}/{path}" for path in paths[:_NAMED])
    named += ", ..." if len(paths) > _NAMED or more else ""
    yield finding(
        "chunkless",
        f"{spec.name}: its shape ({grid_text(spec.shape)}) has no chunks, and "
        f"{counted(len(paths), 'object')}{more} {lie} below it, {chunks:,} of them spelled as its "
        f"chunks are: {named}",
        "where that is data, have the producer write the array's shape, then run parchunk update "
        "OUT; else nothing need be done",
        array=spec.name,
        key=f"{spec.name}/{paths[0]}",
        count=len(paths),
    )
