"""The gap check: chunks that no listing has shown are listed again, until nothing is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from parchunk.errors import ListingError
from parchunk.listing.tally import Tally

#: Times that gaps are listed again while each listing still shows more.
_ROUNDS = 5


class GapCheck:
    """Whether the gaps of some row sets of a tally are to be listed again.

    They are so where chunks are absent, until a listing of them shows nothing new and nothing
    contradicts that.
    """

    def __init__(
        self, tally: Tally, positions: Sequence[int], contradicted: Callable[[], bool]
    ) -> None:
        """Begin when all walks have passed; ``contradicted`` is asked when two listings agree."""
        self._tally, self._positions, self._contradicted = tally, positions, contradicted
        self._first = self._left = self._absent()
        self._rounds = 0

    def settled(self) -> bool:
        """Whether nothing is in doubt; to be asked once, and again after each listing of gaps.

        Raises
        ------
        ListingError
            When each listing shows more than the one before.
        """
        before, self._left = self._left, self._absent()
        absent = sum(self._left.values())
        if self._rounds and absent == sum(before.values()) and not self._contradicted():
            return True
        if self._rounds == _ROUNDS:
            raise ListingError(
                f"{self._tally.spec.name}: {_ROUNDS} listings of the same gaps each left out "
                "chunks that are there; the store is being written, or cannot be relied on: run "
                "again when it is quiet"
            )
        self._rounds += 1
        return not absent

    @property
    def found_again(self) -> dict[int, int]:
        """How many chunks further listings brought, by position."""
        return {at: absent - self._left[at] for at, absent in self._first.items()}

    def _absent(self) -> dict[int, int]:
        return {position: self._tally.absent(position) for position in self._positions}
