"""Chunk keys: the definition of how a chunk index is spelled in the source.

A chunk key is the array's path, a ``/``, and a *tail* that this module writes and reads:

===================  ===========  ============
encoding             rank 2       rank 0
===================  ===========  ============
v2 ``.``             ``0.1``      ``0``
v2 ``/``             ``0/1``      ``0``
v3 default ``/``     ``c/0/1``    ``c``
v3 default ``.``     ``c.0.1``    ``c``
===================  ===========  ============

v3's ``v2`` encoding is spelled as v2 is. Only canonical decimals count: ``00.1`` is no chunk key,
and Zarr readers would never ask for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Separator = Literal["/", "."]

#: Characters of a tail, at most: Python refuses to read longer numbers, and no chunk has one.
_LONGEST = 4096


@dataclass(frozen=True)
class KeyEncoding:
    """How the chunk keys of one array are spelled.

    ``marker`` is ``"c"`` for v3's default encoding and empty otherwise; ``separator`` stands
    between the marker and the first index and between indices; ``rank`` is the number of
    dimensions.
    """

    marker: Literal["", "c"]
    separator: Separator
    rank: int

    @property
    def head(self) -> str:
        """What stands before the first index in every tail: ``""``, ``"c/"`` or ``"c."``.

        For rank 0 with a marker there is no index, and the whole tail is the marker.
        """
        return self.marker + self.separator if self.marker else ""

    def tail(self, index: Sequence[int]) -> str:
        """Return the tail of the chunk at ``index`` (one non-negative integer a dimension)."""
        if self.rank == 0:
            return self.marker or "0"
        return self.head + self.separator.join(map(str, index))

    def index(self, tail: str) -> tuple[int, ...] | None:
        """Return the chunk index that ``tail`` spells, or None when it is no chunk key."""
        if self.rank == 0:
            return () if tail == self.tail(()) else None
        if len(tail) > _LONGEST or not self._pattern.fullmatch(tail):
            return None
        return tuple(map(int, tail[len(self.head) :].split(self.separator)))

    @cached_property
    def pattern(self) -> str:
        """The RE2 and Python regular expression that matches exactly the chunk tails."""
        if self.rank == 0:
            return re.escape(self.tail(()))
        number = "(?:0|[1-9][0-9]*)"
        return re.escape(self.head) + re.escape(self.separator).join([number] * self.rank)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.ASCII)
