"""Limits: how many references an import handles together."""

from __future__ import annotations

from dataclasses import dataclass

from parchunk.reading.rows import BATCH


@dataclass(frozen=True)
class Limits:
    """Numbers of references, at most. What is imported does not depend on them."""

    #: Read ahead together, where memory is enough.
    rows: int = BATCH
    #: Held by a fork before it is merged, which copies them.
    merged_at: int = 500_000


#: What limits are unless a test has others.
USUAL = Limits()
