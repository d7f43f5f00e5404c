"""The digit tree: which ranks of one axis meet ranges of its indices.

The decimal strings of an axis are a tree (see `parchunk.keys.text_order`). Whole subtrees are told
apart by counting, so the work grows with the intervals that come out, not with the indices.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from parchunk.keys.text_order import axis_ranks, digits

Ints = npt.NDArray[np.int64]
Ranges = tuple[tuple[int, int], ...]

#: Nodes of the tree looked at together: bounds what is held beside the output.
_BATCH = 1 << 16


def merged(intervals: Ints, max_gap: int) -> Ints:
    """Sort intervals and join those that overlap or have at most ``max_gap`` ranks between."""
    if len(intervals) < 2:
        return intervals
    starts, stops = intervals[:, 0], intervals[:, 1]
    if np.any(starts[1:] < starts[:-1]):
        order = np.argsort(starts, kind="stable")
        starts, stops = starts[order], stops[order]
    stops = np.maximum.accumulate(stops)
    apart = np.flatnonzero(starts[1:] - stops[:-1] > max_gap)
    return np.stack(
        [starts[np.append(0, apart + 1)], stops[np.append(apart, len(stops) - 1)]], axis=1
    )


class _Wanted:
    """The indices of one axis that are wanted, in ``ranges`` of them; ``total`` counts them.

    A node of the tree is the number that its digits spell. ``below`` says how many more digits the
    longest strings have that begin with them.
    """

    def __init__(self, size: int, ranges: Ranges) -> None:
        self._size = size
        self._begins, self._ends = np.array(ranges, np.int64).T
        held = np.cumsum(self._ends - self._begins)
        #: Wanted indices before each range.
        self._sums = held - (self._ends - self._begins)
        self.total = int(held[-1])

    def within(self, nodes: Ints, below: int) -> Ints:
        """Return how many are in the subtree of each node."""
        found = np.zeros(len(nodes), np.int64)
        for power in (10**exponent for exponent in range(below + 1)):
            found += self._up_to(np.minimum((nodes + 1) * power, self._size))
            found -= self._up_to(np.minimum(nodes * power, self._size))
        return found

    def _up_to(self, bound: Ints) -> Ints:
        at = np.maximum(np.searchsorted(self._begins, bound, side="right") - 1, 0)
        reached = np.minimum(bound, self._ends[at]) - self._begins[at]
        found: Ints = self._sums[at] + np.maximum(reached, 0)
        return found

    def hulls(self, nodes: Ints, below: int) -> Ints:
        """Return the first wanted rank of subtrees that hold some, and the one after the last."""
        size, begins, ends = self._size, self._begins, self._ends
        low, high = np.full(len(nodes), size, np.int64), np.zeros(len(nodes), np.int64)
        for power in (10**exponent for exponent in range(below + 1)):
            # among strings of one length, text order is numeric order
            start, stop = nodes * power, np.minimum((nodes + 1) * power, size)
            after = np.searchsorted(ends, start, side="right")
            some = after < len(ends)
            first = np.maximum(begins[np.where(some, after, 0)], start)
            some &= first < stop
            last = np.minimum(ends[np.searchsorted(begins, stop[some]) - 1], stop[some]) - 1
            low[some] = np.minimum(low[some], axis_ranks(size, first[some]))
            high[some] = np.maximum(high[some], axis_ranks(size, last) + 1)
        return np.stack([low, high], axis=1)


def axis_intervals(size: int, ranges: Ranges, max_gap: int) -> Ints:
    """`rank_intervals` of one axis: ``ranges`` of its indices, sorted, disjoint, not empty.

    Goes down the tree of decimal strings, many nodes at a time. A subtree that is wanted as a
    whole is one interval, one that is not wanted at all is none, and one of at most ``max_gap``
    ranks between its first and last wanted one is one interval again. Only the others are opened.
    """
    indices = _Wanted(size, ranges)
    if indices.total == size:
        return np.array([[0, size]], np.int64)
    found: list[Ints] = []
    if ranges[0][0] == 0:
        found.append(np.array([[0, 1]], np.int64))
    longest = digits(size)
    todo = [(longest - 1, np.arange(1, min(10, size), dtype=np.int64))]
    while todo:
        below, nodes = todo.pop()
        if len(nodes) > _BATCH:
            todo += [(below, nodes[_BATCH:]), (below, nodes[:_BATCH])]
            continue
        power: int = 10**below
        counts = (power - 1) // 9 + np.clip(size - nodes * power, 0, power)
        wanted = indices.within(nodes, below)
        some = wanted > 0
        nodes, counts, wanted = nodes[some], counts[some], wanted[some]
        starts = axis_ranks(size, nodes)
        whole = wanted == counts
        small = ~whole & (counts - 2 <= max_gap)
        opened = ~(whole | small)
        parts = [
            np.stack([starts[whole], starts[whole] + counts[whole]], axis=1),
            indices.hulls(nodes[small], below),
        ]
        if opened.any():
            nodes, starts = nodes[opened], starts[opened]
            own = starts[indices.within(nodes, 0) > 0]
            parts.append(np.stack([own, own + 1], axis=1))
            children = (nodes[:, None] * 10 + np.arange(10)).ravel()
            todo.append((below - 1, children[children < size]))
        found.append(merged(np.concatenate(parts), max_gap))
    return merged(np.concatenate(found), max_gap)


def intervals_of_each(size: int, starts: Ints, stops: Ints, max_gap: int) -> tuple[Ints, Ints]:
    """Return owners, shape (n,), and rank intervals, shape (n, 2), that meet each of many ranges.

    Range ``i`` of the axis's indices is ``[starts[i], stops[i])``, and may overlap others. Its
    intervals hold its own ranks and perhaps foreign ones: subtrees of up to ``max_gap`` foreign
    ranks are taken whole. They are sorted by owner and rank, and disjoint in each owner.
    """
    zero = np.flatnonzero((starts == 0) & (stops > 0))
    owners, found = [zero], [np.tile(np.array([0, 1], np.int64), (len(zero), 1))]
    firsts = np.arange(1, min(10, size), dtype=np.int64)
    owner = np.repeat(np.arange(len(starts)), len(firsts))
    nodes = np.tile(firsts, len(starts))
    for below in range(digits(size) - 1, -1, -1):
        power: int = 10**below
        counts = (power - 1) // 9 + np.clip(size - nodes * power, 0, power)
        wanted = np.zeros(len(nodes), np.int64)
        low, high = starts[owner], np.minimum(stops[owner], size)
        for shorter in (10**exponent for exponent in range(below + 1)):
            first, last = np.maximum(nodes * shorter, low), np.minimum((nodes + 1) * shorter, high)
            wanted += np.maximum(last - first, 0)
        some = wanted > 0
        owner, nodes, counts, wanted = owner[some], nodes[some], counts[some], wanted[some]
        low, high = low[some], high[some]
        ranks = axis_ranks(size, nodes)
        whole = counts - wanted <= max_gap
        owners.append(owner[whole])
        found.append(np.stack([ranks[whole], ranks[whole] + counts[whole]], axis=1))
        own = ~whole & (low <= nodes) & (nodes < high)
        owners.append(owner[own])
        found.append(np.stack([ranks[own], ranks[own] + 1], axis=1))
        owner = np.repeat(owner[~whole], 10)
        nodes = (nodes[~whole][:, None] * 10 + np.arange(10)).ravel()
        owner, nodes = owner[nodes < size], nodes[nodes < size]
    owner, intervals = np.concatenate(owners), np.concatenate(found)
    if not len(owner):
        return owner, intervals
    order = np.lexsort((intervals[:, 0], owner))
    owner, intervals = owner[order], intervals[order]
    apart = (np.diff(owner) > 0) | (intervals[1:, 0] - intervals[:-1, 1] > max_gap)
    begins = np.flatnonzero(np.concatenate(([True], apart)))
    ends = np.append(begins[1:], len(owner)) - 1
    return owner[begins], np.stack([intervals[begins, 0], intervals[ends, 1]], axis=1)
