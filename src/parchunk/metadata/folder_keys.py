"""What a folder without a Zarr document of its own is, by the first keys below it.

Listing such a folder may be without an end: an array that lost its document holds millions of
chunks. So it is looked at by one page of keys first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ARRAY_DOCUMENTS = frozenset({"zarr.json", ".zarray"})
GROUP_DOCUMENTS = frozenset({"zarr.json", ".zgroup", ".zmetadata"})
# As every encoding spells them: one separator throughout, "c" before it or not
_CHUNK = re.compile(r"c|(?:c/)?[0-9]+(?:/[0-9]+)*|(?:c\.)?[0-9]+(?:\.[0-9]+)*", re.ASCII)


def holds_documents(keys: Sequence[str]) -> bool:
    """Whether an array's document is among ``keys``, or a v3 group's."""
    return any(key.rpartition("/")[2] in ARRAY_DOCUMENTS for key in keys)


def example_chunk(keys: Sequence[str]) -> str | None:
    """Return one of ``keys`` when most of them are spelled as an array's chunks are, else None.

    ``"0/0/3"`` and ``"c.1.2"`` are, ``"0/c/1"`` is a chunk of the array ``"0"``.
    """
    visible = [key for key in keys if not key.startswith(".")]
    chunks = [key for key in visible if _CHUNK.fullmatch(key)]
    return chunks[0] if 2 * len(chunks) > len(visible) else None


def folders_of(keys: Sequence[str]) -> list[str]:
    """Return the folders above the first and the last of ``keys``, outermost first."""
    found: dict[str, None] = {}
    for key in (*keys[:1], *keys[-1:]):
        segments = key.split("/")
        found.update(dict.fromkeys("/".join(segments[:n]) for n in range(1, len(segments))))
    return list(found)
