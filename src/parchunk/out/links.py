"""Links in a local OUT: what is written or deleted through one would be elsewhere."""

from __future__ import annotations

import os
import stat
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
    absent: set[str] = set()
    for path in paths:
        place = ""
        for segment in path.split("/"):
            place = f"{place}/{segment}" if place else segment
            if place in absent:
                break
            if place in seen:
                continue
            seen.add(place)
            try:
                is_link = stat.S_ISLNK(os.lstat(f"{root}/{place}").st_mode)
            except (FileNotFoundError, NotADirectoryError):
                absent.add(place)  # nor is there anything below
                break
            except (OSError, ValueError):
                is_link = False
            if is_link:
                raise OutputError(
                    f"{root}/{place} is a link, and nothing is written or deleted "
                    "through one: put what it leads to in its place, or name another OUT"
                )
