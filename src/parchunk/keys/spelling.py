"""Spelling the paths of references from chunk numbers, by the batch.

A path is a *head* (the base and the leading indices) and a *tail* (the trailing ones). Neighbouring
chunks share heads, and the tails of one head are those of every other. So a run of consecutive
chunk numbers is a few rows of bytes, one a head, each a copy of one template with the head's digits
set into it, which is quicker than joining strings one by one. Spelling agrees with
`parchunk.keys.encoding.KeyEncoding.tail`, which is the definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import prod

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.space import KeySpace

#: Chunks of a grid whose tails are kept, at most.
FEW = 1_024
#: Tails of one head, at most: as many chunks as the trailing axes have together.
_TAILS = 65_536
#: Trailing digits that are a tail where there is one axis only.
_DIGITS = 3
#: Paths that are joined in the time of one NumPy call: a block costs a call for every tail.
_CALL = 16


class PathBuilder:
    """Spells the reference paths of chunk numbers of one array.

    ``base`` is what references call the array, with its trailing slash.
    """

    def __init__(self, base: str, space: KeySpace) -> None:
        grid, encoding = space.grid, space.encoding
        self._whole, self._keys = base, keys_of(space) if 0 < space.total <= FEW else None
        if self._keys is not None:
            return
        self._base = base + encoding.head if encoding.rank else base + encoding.tail(())
        self._separator = encoding.separator
        axes = len(grid)
        while axes > 1 and grid[axes - 1] == 1:
            axes -= 1
        # The axes after these have one index each: every path ends alike.
        self._axes, self._end = grid[:axes], f"{self._separator}0" * (len(grid) - axes)
        split = axes
        while split > 1 and prod(self._axes[split - 1 :]) <= _TAILS:
            split -= 1
        self._leading, trailing = self._axes[:split], self._axes[split:]
        self._tails = self._tails_of(trailing) if trailing else None
        self._digit_tails = self._tails_of_digits() if axes == 1 else None

    def build(
        self, numbers: Int64Array, present: NDArray[np.bool_] | None = None
    ) -> pa.StringArray:
        """Return the paths of ``numbers``, shape (n,); null where ``present``, if given, is not."""
        paths = self._build(numbers)
        if present is None or np.count_nonzero(present) == len(present):
            return paths
        valid = pa.py_buffer(np.packbits(present, bitorder="little"))
        return pa.StringArray.from_buffers(len(paths), *paths.buffers()[1:], null_bitmap=valid)

    def _build(self, numbers: Int64Array) -> pa.StringArray:
        """Return an array that is no slice of another, and has no nulls."""
        count = len(numbers)
        following = bool(count) and _follow_each_other(numbers)
        if self._keys is not None:
            if following:
                return self._keys.below(self._whole, int(numbers[0]), int(numbers[-1]) + 1)
            keys = self._keys.array.take(pa.array(numbers))
            return pc.binary_join_element_wise(self._whole, keys, "")
        if not self._axes or not count:
            return pa.array([self._base] * count, pa.string())
        if following:
            return self._run(int(numbers[0]), int(numbers[-1]) + 1)
        return self._joined(numbers)

    def _run(self, first: int, stop: int) -> pa.StringArray:
        """Return the paths of ``first`` to ``stop``: in blocks, where these are not too small."""
        if self._tails is not None:
            spelled = self._blocks(first, stop, self._tails)
        elif self._digit_tails is None:
            spelled = None
        elif first >= 10**_DIGITS:
            spelled = self._blocks(first, stop, self._digit_tails)
        else:  # indices of fewer digits have no head
            few = min(stop, 10**_DIGITS)
            parts = [self._joined(np.arange(first, few))]
            if few < stop:
                parts.append(self._run(few, stop))
            return pa.concat_arrays(parts)
        return self._joined(np.arange(first, stop)) if spelled is None else spelled

    def _blocks(self, first: int, stop: int, tails: _Strings) -> pa.StringArray | None:
        """Return the paths of ``first`` to ``stop``, a head and all its tails at a time.

        None when heads change their lengths so often that this would not be quicker.
        """
        each = len(tails.lengths)
        begin, end = first // each, -(-stop // each)
        if each * _CALL > stop - first:
            return None
        heads = _Strings.of(self._heads(np.arange(begin, end)))
        turns = [0, *(np.flatnonzero(np.diff(heads.lengths)) + 1).tolist(), end - begin]
        if (len(turns) - 1) * each * _CALL > stop - first:
            return None
        lengths = (heads.lengths[:, np.newaxis] + tails.lengths).ravel()
        ends = np.cumsum(lengths)
        if int(ends[-1]) > np.iinfo(np.int32).max:
            return None
        data = np.empty(int(ends[-1]), np.uint8)
        at = 0
        for turn, after in pairwise(turns):
            rows = heads.matrix(turn, after)
            width = tails.data.size + each * rows.shape[1]
            _set_block(data[at : at + len(rows) * width].reshape(len(rows), width), rows, tails)
            at += len(rows) * width
        offsets = np.concatenate(([0], ends)).astype(np.int32)
        offsets = offsets[first - begin * each : stop - begin * each + 1]
        return pa.StringArray.from_buffers(stop - first, pa.py_buffer(offsets), pa.py_buffer(data))

    def _joined(self, numbers: Int64Array) -> pa.StringArray:
        """Return the paths of ``numbers``, joined one by one."""
        if self._tails is None:
            spelled = _spell(numbers, self._axes, self._separator)
            return pc.binary_join_element_wise(self._base, spelled, self._end, "")
        leading, trailing = np.divmod(numbers, len(self._tails.lengths))
        tails = self._tails.array.take(pa.array(trailing))
        return pc.binary_join_element_wise(self._heads_of_each(leading), tails, "")

    def _heads_of_each(self, leading: Int64Array) -> pa.StringArray:
        """Spell heads; neighbours that share one are spelled once."""
        changes = np.flatnonzero(np.diff(leading)) + 1
        if len(changes) * 4 > len(leading):
            return self._heads(leading)
        firsts = np.concatenate(([0], changes)).astype(np.int64)
        repeats = np.diff(firsts, append=len(leading))
        each = np.repeat(np.arange(len(firsts)), repeats)
        return self._heads(leading[firsts]).take(pa.array(each))

    def _heads(self, leading: Int64Array) -> pa.StringArray:
        spelled = _spell(leading, self._leading, self._separator)
        return pc.binary_join_element_wise(self._base, spelled, "")

    def _tails_of(self, trailing: tuple[int, ...]) -> _Strings:
        numbers = np.arange(prod(trailing), dtype=np.int64)
        spelled = _spell(numbers, trailing, self._separator)
        return _Strings.of(pc.binary_join_element_wise(self._separator, spelled, self._end, ""))

    def _tails_of_digits(self) -> _Strings:
        """Return the tails of indices that have more digits, on an only axis."""
        digits = (f"{last:0{_DIGITS}d}{self._end}" for last in range(10**_DIGITS))
        return _Strings.of(pa.array(digits, pa.string()))


def _spell(numbers: Int64Array, axes: tuple[int, ...], separator: str) -> pa.StringArray:
    """Spell indices of ``axes``, of which there is one or more, with separators between them."""
    parts = []
    rest = numbers
    for size in reversed(axes[1:]):
        rest, index = np.divmod(rest, size)
        parts.append(pa.array(index).cast(pa.string()))
    parts.append(pa.array(rest).cast(pa.string()))
    if len(parts) == 1:
        return parts[0]
    return pc.binary_join_element_wise(*reversed(parts), separator)


def _follow_each_other(numbers: Int64Array) -> bool:
    count = len(numbers)
    if numbers[-1] - numbers[0] != count - 1:
        return False
    return int(np.count_nonzero(numbers[1:] > numbers[:-1])) == count - 1


@dataclass(frozen=True)
class FewKeys:
    """The tails of some chunks: as an ``array``, as texts, and their bounds in bytes.

    ``steps`` are 0, 1, 2, ..., as many as there are bounds.
    """

    array: pa.StringArray
    texts: list[str]
    bounds: NDArray[np.int32]
    steps: NDArray[np.int32]

    @classmethod
    def of(cls, array: pa.StringArray) -> FewKeys:
        """Take an array without nulls."""
        bounds = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1)
        return cls(array, array.to_pylist(), bounds, np.arange(len(bounds), dtype=np.int32))

    def below(self, base: str, first: int, stop: int) -> pa.StringArray:
        """Return the tails from one position to another, with ``base`` before each."""
        # A third of the time that Arrow takes to join them one by one.
        data = f"{base}{base.join(self.texts[first:stop])}".encode()
        width = np.int32(len(base.encode()))
        bounds = self.bounds[first : stop + 1] - self.bounds[first]
        bounds += self.steps[: stop - first + 1] * width
        return pa.StringArray.from_buffers(stop - first, pa.py_buffer(bounds), pa.py_buffer(data))


@lru_cache(maxsize=64)
def keys_of(space: KeySpace) -> FewKeys:
    """Return the tails of all chunks of a grid of `FEW` or fewer, by number.

    They are kept: of very many small arrays, most are alike.
    """
    encoding, numbers = space.encoding, np.arange(space.total, dtype=np.int64)
    if not encoding.rank:
        return FewKeys.of(pa.array([encoding.tail(())] * len(numbers), pa.string()))
    spelled = _spell(numbers, space.grid, encoding.separator)
    return FewKeys.of(pc.binary_join_element_wise(encoding.head, spelled, ""))


@dataclass(frozen=True)
class _Strings:
    """An array of strings without nulls, its bytes one after another, and where each starts."""

    array: pa.StringArray
    data: NDArray[np.uint8]
    starts: Int64Array
    lengths: Int64Array

    @classmethod
    def of(cls, array: pa.StringArray) -> _Strings:
        """View an array that is no slice of another."""
        offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1).astype(np.int64)
        data = np.frombuffer(array.buffers()[2], np.uint8, int(offsets[-1]))
        return cls(array, data, offsets[:-1], np.diff(offsets))

    def matrix(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Return the bytes of strings of one length, shape (end - begin, length)."""
        start, length = int(self.starts[begin]), int(self.lengths[begin])
        return self.data[start : start + (end - begin) * length].reshape(end - begin, length)


def _set_block(block: NDArray[np.uint8], heads: NDArray[np.uint8], tails: _Strings) -> None:
    """Set each row of ``block`` to its head before every tail, one after another.

    ``heads`` has shape (rows, length). Only the columns in which heads differ are set one by one.
    """
    length = heads.shape[1]
    same = int(np.argmin(np.append((heads == heads[0]).all(axis=0), False)))
    head, spelled = heads[0].tobytes(), tails.data.tobytes()
    ends = (tails.starts + tails.lengths).tolist()
    starts = tails.starts.tolist()
    block[:] = np.frombuffer(
        b"".join(head + spelled[at:end] for at, end in zip(starts, ends, strict=True)), np.uint8
    )
    rest = heads[:, same:]
    for tail, start in enumerate(starts):
        at = start + tail * length
        block[:, at + same : at + length] = rest
