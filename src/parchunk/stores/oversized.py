"""Objects that are too large to be documents: what stands for them."""

from __future__ import annotations

MAX_BYTES = 64 * 2**20


class Oversized(bytes):
    """Stands for an object too large to be a document: no bytes of it were read.

    ``size`` is how many it has. A reader gives it in place of what would fill the memory.
    """

    size: int

    @classmethod
    def of(cls, size: int) -> Oversized:
        """Return the stand-in for an object of ``size`` bytes."""
        made = cls()
        made.size = size
        return made
