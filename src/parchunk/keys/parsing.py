"""Chunk keys by the batch: from paths to chunk numbers, without a Python loop over keys.

`parse_paths` reads what a listing delivered, `positions_of` places what is no chunk among the
chunks. Both agree with `parchunk.keys.encoding.KeyEncoding` and `parchunk.keys.text_order`, which
are the definitions (and the tests' oracles). The way back is in `parchunk.keys.spelling`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.space import KeySpace
from parchunk.keys.spelling import FEW, FewKeys, PathBuilder, keys_of
from parchunk.keys.text_order import numbers_at

#: Longer numbers cannot be indices of a grid whose chunks are counted in int64.
_DIGITS = 18
#: The least number of so many digits.
_LEAST = np.array([0, 0, *(10**digits for digits in range(1, _DIGITS))], np.int64)
#: Chunk keys spelled to place keys among them, for each of these and at least.
_SPELLED, _SPELLED_LEAST = 16, 100_000


@dataclass(frozen=True)
class Parsed:
    """``numbers[i]`` is the chunk number of the i-th row that is a chunk of the grid.

    ``chunks`` is None when that is every row, else a boolean mask over all rows; ``others`` are
    the row numbers of the rest.
    """

    numbers: Int64Array
    chunks: NDArray[np.bool_] | None
    others: Int64Array


def parse_paths(paths: pa.StringArray, base: str, space: KeySpace) -> Parsed:
    """Return the chunk numbers that ``paths`` spell, for an array whose keys start with ``base``.

    ``base`` is the array's store path with its trailing slash. Every path must start with it.
    """
    if len(paths) == 0:
        return Parsed(np.empty(0, np.int64), None, np.empty(0, np.int64))
    if len(paths) <= space.total <= FEW:
        numbers = _of_neighbours(paths, base, space)
        if numbers is not None:
            return Parsed(numbers, None, np.empty(0, np.int64))
    head = base + space.encoding.head
    if space.encoding.rank == 0 or space.total == 0:
        return _parse_irregular(paths, base, space)
    if space.encoding.head and not pc.all(pc.starts_with(paths, pattern=head)).as_py():
        return _parse_irregular(paths, base, space)
    numbers, inside = _numbers(_cut(paths, len(head.encode())), space)
    if numbers is None:
        return _parse_irregular(paths, base, space)
    return _split(numbers, inside)


def _of_neighbours(paths: pa.StringArray, base: str, space: KeySpace) -> Int64Array | None:
    """Return the numbers of chunks of a small grid that follow each other in a listing.

    So are nearly all that are listed of it: all of them, or those before or after a page's end.
    None for others.
    """
    keys, numbers = _in_text_order(space)
    skip, first, stop = len(base), 0, len(paths)
    if stop < space.total:
        first = bisect_left(keys.texts, paths[0].as_py()[skip:])
        stop += first
        if stop > space.total or paths[-1].as_py()[skip:] != keys.texts[stop - 1]:
            return None
    return numbers[first:stop] if paths.equals(keys.below(base, first, stop)) else None


@lru_cache(maxsize=64)
def _in_text_order(space: KeySpace) -> tuple[FewKeys, Int64Array]:
    """Return the tails of all chunks of a small grid as a store lists them, and their numbers."""
    keys = keys_of(space).array
    numbers = np.asarray(pc.array_sort_indices(keys)).astype(np.int64)
    numbers.flags.writeable = False
    return FewKeys.of(keys.take(pa.array(numbers))), numbers


def tails_of(paths: pa.StringArray, base: str) -> pa.StringArray:
    """Return what follows ``base`` in each of ``paths``, all of which must start with it."""
    return _cut(paths, len(base.encode()))


def positions_of(tails: pa.StringArray, space: KeySpace) -> Int64Array:
    """Return the `KeySpace.position` of each tail: how many chunk keys of the grid sort before it.

    ``tails`` are any strings but chunk keys of the grid, in any order.
    """
    order = np.asarray(pc.array_sort_indices(tails))
    if not len(order):
        return np.empty(0, np.int64)
    ends = (tails[int(order[0])].as_py(), tails[int(order[-1])].as_py())
    first, last = (space.position(tail) for tail in ends)
    if first == last:
        return np.full(len(order), first, np.int64)
    if last - first > max(_SPELLED * len(order), _SPELLED_LEAST):
        # Among so many absent chunks, spelling them all would take longer.
        each = (space.position(tail) for tail in tails.to_pylist())
        return np.fromiter(each, np.int64, len(tails))
    # Sorted among the chunk keys between them, each stands after those that are before it.
    numbers = numbers_at(space.grid, np.arange(first, last, dtype=np.int64))
    keys = PathBuilder("", space).build(numbers)
    merged = np.asarray(pc.array_sort_indices(pa.concat_arrays([tails, keys])))
    is_key = merged >= len(tails)
    positions = np.empty(len(tails), np.int64)
    positions[merged[~is_key]] = first + np.cumsum(is_key)[~is_key]
    return positions


def _parse_irregular(paths: pa.StringArray, base: str, space: KeySpace) -> Parsed:
    """As `parse_paths`, for a batch in which some keys have another shape than chunks have."""
    count = len(paths)
    tails = _cut(paths, len(base.encode()))
    pattern = space.encoding.pattern.replace("[0-9]*", f"[0-9]{{0,{_DIGITS - 1}}}")
    shaped = np.asarray(pc.match_substring_regex(tails, pattern=f"\\A(?:{pattern})\\z")).astype(
        bool
    )
    if space.total == 0:
        shaped[:] = False
    rows = np.flatnonzero(shaped)
    numbers: Int64Array | None
    inside: NDArray[np.bool_] | None
    if space.encoding.rank == 0 or len(rows) == 0:
        numbers, inside = np.zeros(len(rows), np.int64), None
    else:
        chunks = tails.filter(pa.array(shaped))
        numbers, inside = _numbers(_cut(chunks, len(space.encoding.head)), space)
        assert numbers is not None, "the pattern admits exactly what _numbers reads"
    mask = np.zeros(count, bool)
    mask[rows if inside is None else rows[inside]] = True
    kept = numbers if inside is None else numbers[inside]
    return Parsed(kept, None if mask.all() else mask, np.flatnonzero(~mask))


def _split(numbers: Int64Array, inside: NDArray[np.bool_] | None) -> Parsed:
    if inside is None:
        return Parsed(numbers, None, np.empty(0, np.int64))
    return Parsed(numbers[inside], inside, np.flatnonzero(~inside))


def _cut(strings: pa.StringArray, skip: int) -> pa.StringArray:
    """Return the strings without their first ``skip`` bytes.

    `binary_slice` fails on long prefixes (pyarrow 26), `utf8_slice_codeunits` is 12 times slower.
    """
    return pc.binary_replace_slice(strings, start=0, stop=skip, replacement="")


def _numbers(
    tails: pa.StringArray, space: KeySpace
) -> tuple[Int64Array | None, NDArray[np.bool_] | None]:
    """Return chunk numbers of tails without their head, and which lie inside the grid.

    The mask is None when all are inside; numbers are None when any tail is not ``rank``
    canonical decimals with separators between them.
    """
    separator, count = space.encoding.separator, len(tails)
    grid, tails = _without_unit_axes(tails, separator, space.grid)
    rank = len(grid)
    offsets = np.frombuffer(tails.buffers()[1], np.int32)[tails.offset : tails.offset + count + 1]
    data = np.frombuffer(tails.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    marks = np.flatnonzero(data - np.uint8(48) > 9)
    if len(marks) != count * (rank - 1):
        return None, None
    if len(marks) and not (data[marks] == ord(separator)).all():
        return None, None
    begins = np.empty((rank, count), np.int64)
    ends = np.empty((rank, count), np.int64)
    begins[0], ends[-1] = offsets[:-1], offsets[1:]
    begins[0] -= offsets[0]
    ends[-1] -= offsets[0]
    ends[:-1] = marks.reshape(count, rank - 1).T
    begins[1:] = ends[:-1] + 1
    lengths = ends - begins
    # A separator outside its own key would make one of its fields empty or negative.
    if int(lengths.min()) < 1 or int(lengths.max()) > _DIGITS:
        return None, None
    words = _words(data)
    numbers = np.zeros(count, np.int64)
    inside: NDArray[np.bool_] | None = None
    for size, end, length in zip(grid, ends, lengths, strict=True):
        values = _decimals(words, end, length)
        if (values < _LEAST[length]).any():  # a leading zero
            return None, None
        if int(values.max()) >= size:
            within = values < size
            inside = within if inside is None else inside & within
            values[~within] = 0
        numbers *= size
        numbers += values
    return numbers, inside


def _without_unit_axes(
    tails: pa.StringArray, separator: str, grid: tuple[int, ...]
) -> tuple[tuple[int, ...], pa.StringArray]:
    """Leave out trailing axes of one index, which need no reading where every tail has their 0."""
    units = 0
    while units < len(grid) - 1 and grid[-1 - units] == 1:
        units += 1
    zeros = f"{separator}0" * units
    if not units or not pc.all(pc.ends_with(tails, pattern=zeros)).as_py():
        return grid, tails
    cut = pc.binary_replace_slice(tails, start=-len(zeros), stop=2**31 - 1, replacement="")
    return grid[:-units], cut


def _words(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return, for every end in ``data``, the eight bytes before it: shape (bytes + 1,).

    ``words[end]`` has the byte right before ``end`` as its most significant one.
    """
    padded = np.concatenate([np.zeros(8, np.uint8), data])
    return np.ndarray((len(data) + 1,), np.dtype("<u8"), padded.data, strides=(1,))


def _decimals(words: NDArray[np.uint64], ends: Int64Array, lengths: Int64Array) -> Int64Array:
    """Return the numbers that the ``lengths`` digits before ``ends`` spell.

    Eight digits are read at a time, all in one machine word, by adding up neighbours.
    """
    values = _eight(words, ends, np.minimum(lengths, 8))
    for done in range(8, int(lengths.max()), 8):
        rest = np.clip(lengths - done, 0, 8)
        values += _eight(words, np.maximum(ends - done, 0), rest) * 10**done
    return values


def _eight(words: NDArray[np.uint64], ends: Int64Array, lengths: Int64Array) -> Int64Array:
    word = words[ends].astype(np.uint64, copy=False)
    # What stands before the digits goes: zeros come in from below.
    before = ((8 - lengths) * 8).astype(np.uint64)
    word >>= before
    word <<= before
    word &= np.uint64(0x0F0F0F0F0F0F0F0F)
    word *= np.uint64(10 << 8 | 1)
    word >>= np.uint64(8)
    word &= np.uint64(0x00FF00FF00FF00FF)
    word *= np.uint64(100 << 16 | 1)
    word >>= np.uint64(16)
    word &= np.uint64(0x0000FFFF0000FFFF)
    word *= np.uint64(10_000 << 32 | 1)
    word >>= np.uint64(32)
    return word.view(np.int64)
