"""Record files that hold rows of several stores, until all of their rows are known."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from parchunk.keys.numbers import Int64Array
from parchunk.keys.placement import Target
from parchunk.writing.rows import FileRows, Piece


@dataclass(frozen=True)
class Fragment:
    """Neighbouring rows of one record file, all that a piece has of it.

    ``numbers`` are OUT's, shape (n,).
    """

    numbers: Int64Array
    piece: Piece
    rows: FileRows


class Seams:
    """The record files of a task of which some rows are known and others are not yet.

    Fragments come in any order, and from any thread.
    """

    def __init__(self, record_size: int) -> None:
        self._record_size = record_size
        self._known: dict[tuple[str, int], list[Fragment]] = {}
        self._lock = threading.Lock()

    def joined(self, target: Target, fragment: Fragment) -> list[Fragment]:
        """Return all fragments of a record file in the order of rows, none before the last came."""
        index = int(fragment.numbers[0]) // self._record_size
        rows = min(self._record_size, target.total - index * self._record_size)
        if len(fragment.numbers) == rows:
            return [fragment]
        name = target.array, index
        with self._lock:
            known = self._known.setdefault(name, [])
            known.append(fragment)
            if sum(len(one.numbers) for one in known) < rows:
                return []
            del self._known[name]
        return sorted(known, key=lambda one: int(one.numbers[0]))


def numbers_of(fragments: list[Fragment]) -> Int64Array:
    """Return the numbers of all rows, shape (n,)."""
    if len(fragments) == 1:
        return fragments[0].numbers
    return np.concatenate([one.numbers for one in fragments])
