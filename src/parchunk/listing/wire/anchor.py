"""Where a text comes again and again: found by looking at a word of it here and there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from parchunk.listing.wire.columns import Places, Words

_WORD = 8
#: Bits of a hash.
_BITS = 10
_SHIFT = np.array(64 - _BITS, np.uint64)
#: Odd, and like no text.
_FACTOR = 0x9E37_79B9_7F4A_7C15


@dataclass(frozen=True)
class Anchor:
    """A text, of whose words of eight bytes one at least is met if one is looked at every ``step``.

    Words, and where they stand in the text, are kept by their hashes.
    """

    step: int
    factor: Words
    words: Words
    places: Places

    def find(self, body: bytes, first: int, stop: int) -> Places:
        """Return where the text may stand, all places where it does among them, in order.

        All of it lies between ``first`` and ``stop``.
        """
        count = max((stop - first - _WORD) // self.step + 1, 0)
        met = np.ndarray((count,), "<u8", body, first, (self.step,)).astype(np.uint64)
        slots = _slots(met, self.factor)
        hits = np.flatnonzero(self.words.take(slots) == met)
        found = first + hits * self.step - self.places.take(slots.take(hits))
        again = np.zeros(len(found), bool)
        np.equal(found[1:], found[:-1], out=again[1:])
        return found[~again]


@lru_cache(maxsize=64)
def anchor_in(text: bytes, others: tuple[bytes, ...]) -> Anchor | None:
    """Return the anchor that a text is among other ones; None where it has too few words."""
    words = list(_words(text))
    seen = Counter(words)
    seen.update(word for other in others for word in _words(other))
    places = [place for place, word in enumerate(words) if seen[word] == 1]
    for step in range(len(places), 0, -1):
        if len({place % step for place in places}) == step:
            return _anchor(step, places, [words[place] for place in places])
    return None


def _anchor(step: int, places: Sequence[int], words: Sequence[int]) -> Anchor:
    kept, factor = np.array(words, np.uint64), _FACTOR
    while len(np.unique(slots := _slots(kept, np.array(factor, np.uint64)))) < len(kept):
        factor = factor * 3 % 2**64
    by_hash = np.zeros((2, 1 << _BITS), np.uint64)
    by_hash[0, slots], by_hash[1, slots] = kept, places
    return Anchor(step, np.array(factor, np.uint64), by_hash[0], by_hash[1].view(np.int64))


def _words(text: bytes) -> list[int]:
    return [int.from_bytes(text[at : at + _WORD], "little") for at in range(len(text) - _WORD + 1)]


def _slots(words: Words, factor: Words) -> Places:
    slots = words * factor
    slots >>= _SHIFT
    return slots.view(np.int64)
