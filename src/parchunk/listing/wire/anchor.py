"""Where a text comes again and again: found by looking at a word of it here and there."""

from __future__ import annotations

from collections import defaultdict
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

    Words, and where they stand in the text, are kept by their hashes. A word may stand at two
    places, the second of which are ``others``: the ``begin`` of the text tells at which it is.
    """

    step: int
    factor: Words
    words: Words
    places: Places
    others: Places
    begin: Words

    def find(self, body: bytes, first: int, stop: int) -> Places:
        """Return where the text may stand, all places where it does among them, in order.

        All of it lies between ``first`` and ``stop``.
        """
        count = max((stop - first - _WORD) // self.step + 1, 0)
        met = np.ndarray((count,), "<u8", body, first, (self.step,)).astype(np.uint64)
        slots = _slots(met, self.factor)
        hits = np.flatnonzero(self.words.take(slots) == met)
        slots = slots.take(hits)
        hits *= self.step
        hits += first
        places, others = self.places.take(slots), self.others.take(slots)
        found = hits - places
        doubtful = np.flatnonzero(places != others)
        if len(doubtful):
            every = np.ndarray((len(body) - _WORD + 1,), "<u8", body, strides=(1,))
            begins = every[np.maximum(found[doubtful], 0)] == self.begin
            doubtful = doubtful[~begins]
            found[doubtful] = hits[doubtful] - others[doubtful]
        rises = found[1:] > found[:-1]
        return found if rises.all() else found[np.insert(rises, 0, True)]


@lru_cache(maxsize=64)
def anchor_in(text: bytes, others: tuple[bytes, ...]) -> Anchor | None:
    """Return the anchor that a text is among other ones; None where it has too few words."""
    words = _words(text)
    taken = {word for other in others for word in _words(other)}
    stands: defaultdict[int, list[int]] = defaultdict(list)
    for place, word in enumerate(words):
        if word not in taken:
            stands[word].append(place)
    # What tells one of two places from the other stands at one.
    most = 2 if words and len(stands.get(words[0], ())) == 1 else 1
    kept = {word: (at[0], at[-1]) for word, at in stands.items() if len(at) <= most}
    places = {place for both in kept.values() for place in both}
    for step in range(len(places), 0, -1):
        if len({place % step for place in places}) == step:
            return _anchor(step, kept, words[0])
    return None


def _anchor(step: int, kept: dict[int, tuple[int, int]], begin: int) -> Anchor:
    words, factor = np.array(list(kept), np.uint64), _FACTOR
    while len(np.unique(slots := _slots(words, np.array(factor, np.uint64)))) < len(words):
        factor = factor * 3 % 2**64
    by_hash, places = np.zeros(1 << _BITS, np.uint64), np.zeros((2, 1 << _BITS), np.int64)
    by_hash[slots] = words
    places[:, slots] = np.array(list(kept.values())).T
    return Anchor(
        step, np.array(factor, np.uint64), by_hash, places[0], places[1], np.array(begin, np.uint64)
    )


def _words(text: bytes) -> list[int]:
    return [int.from_bytes(text[at : at + _WORD], "little") for at in range(len(text) - _WORD + 1)]


def _slots(words: Words, factor: Words) -> Places:
    slots = words * factor
    slots >>= _SHIFT
    return slots.view(np.int64)
