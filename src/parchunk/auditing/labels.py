"""Labels for an audit: those kept in OUT, else what the coordinate says now, within a moment.

Everything here is optional: a coordinate that is not there, or cannot be read, gives no labels and
no error.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pyarrow as pa

from parchunk.errors import ParchunkError
from parchunk.out.labels import read_coordinate, read_labels
from parchunk.out.output import Output
from parchunk.planning.labels import Labels, coordinate_of
from parchunk.planning.plan import Plan
from parchunk.planning.source_again import open_source

#: Seconds to wait for the source.
_PATIENCE = 20.0


def labels_for(
    plan: Plan, output: Output, store_options: Mapping[str, str] | None = None
) -> Labels:
    """Return the labels of the split dimension.

    Published references keep them. Of others, and of those of an older parchunk, the source is
    asked, where the coordinate is not inlined.
    """
    kept = read_labels(output)
    if kept is not None or coordinate_of(plan) is None:
        return kept or Labels()
    found: list[Labels] = []

    def read() -> None:
        try:
            source = open_source(plan, store_options)
            found.append(read_coordinate(plan, output, source))
        except (ParchunkError, pa.ArrowException):
            return

    # In a thread that may be left behind: an unreachable source is retried for minutes.
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return found[0] if found else Labels()
