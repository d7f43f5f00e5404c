"""Which arrays are shown first, and the only ones of very many of which pictures are kept."""

from __future__ import annotations

from typing import TypeAlias

from parchunk.auditing.result import ArrayAudit

#: What arrays are sorted by, the worst first.
Rank: TypeAlias = tuple[bool, float, bool, int, str]

#: Arrays of which pictures and histograms are kept, at least. Reports draw forty.
PICTURES_KEPT = 1_000


def rank_of(array: ArrayAudit, damaged: bool, concerned: bool) -> Rank:
    """Return where an array comes: damaged ones first, then by the share that is not there.

    ``concerned`` says that a finding counts against the array.
    """
    expected = max(array.expected - array.excused - array.lacking, 1)
    share = (array.missing + array.unread) / expected
    return (not damaged, -share, not concerned, -array.expected, array.array)


class Pictured:
    """The arrays met so far that have pictures: never more than twice ``most``."""

    def __init__(self, most: int = PICTURES_KEPT) -> None:
        """Keep those of the worst ``most`` arrays, and of as many that came since."""
        self._most = most
        self._held: list[tuple[Rank, ArrayAudit]] = []

    def take(self, array: ArrayAudit, damaged: bool, concerned: bool) -> None:
        """Take in one more array, and let go of what others have where there are too many."""
        self._held.append((rank_of(array, damaged, concerned), array))
        if len(self._held) > 2 * self._most:
            self._held.sort(key=lambda held: held[0])
            for _, other in self._held[self._most :]:
                other.heat.drop()
                other.sizes.drop()
            del self._held[self._most :]
