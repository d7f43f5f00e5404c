"""Pins: what Icechunk compares an object with when it reads it, by what was kept of the object."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from parchunk.icechunk_import import adapter


def pins_of(identities: pa.Array, scheme: str, otherwise: datetime | None) -> Sequence[adapter.Pin]:
    """Return the pin of each row: its object's own, or ``otherwise`` where nothing was kept.

    Local files have no entity tags: what stands for one is not compared by icechunk 2.3, which
    would refuse every file.
    """
    if pa.types.is_string(identities.type):
        if scheme == "file":
            return [otherwise] * len(identities)
        # Stores compare them letter by letter, as they stand on the wire.
        return [otherwise if tag is None else _quoted(tag) for tag in identities.to_pylist()]
    # A local file's nanoseconds were cut off, but icechunk sees them.
    finer = int(scheme == "file")
    made: dict[int | None, datetime | None] = {None: otherwise}
    times = identities.cast(pa.int64()).to_pylist()
    for time in {*times} - {None}:
        made[time] = adapter.whole_second_after(time + finer)
    return [made[time] for time in times]


def _quoted(tag: str) -> str:
    return tag if tag.startswith("W/") else f'"{tag}"'
