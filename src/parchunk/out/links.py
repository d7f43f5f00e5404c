"""Links in a local OUT: what is written or deleted through one would be elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable

from parchunk.errors import OutputError


def refuse_links(root: str, paths: Iterable[str]) -> None:
    """Refuse links at or above any of these places below ``root``, which itself may be one.

    Raises
    ------
    OutputError
        Naming the link.
    """
    seen: set[str] = set()
    for path in paths:
        place = ""
        for segment in path.split("/"):
            place = f"{place}/{segment}" if place else segment
            if place in seen:
                continue
            seen.add(place)
            if os.path.islink(f"{root}/{place}"):
                raise OutputError(
                    f"{root}/{place} is a link, and nothing is written or deleted "
                    "through one: put what it leads to in its place, or name another OUT"
                )
