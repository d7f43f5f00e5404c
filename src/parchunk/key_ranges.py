"""Key ranges: several arrays listed by one walk over full keys, its rows told apart again.

Keys sort as text, and ``-`` and ``.`` before ``/``, so ``air-x/0`` and ``air.x/0`` come before
``air/0``, and that before ``air_temp/0``. But what lies below one array stands together, between
``air/`` and ``air0`` (``0`` follows ``/``), as arrays are never nested. So the ranges of different
arrays are disjoint, and a walk in text order meets them one after another. What lies between them
belongs to nobody here; where a page of it ends, the walk goes on at the next range with a new
request, which costs no more than the next page would.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from parchunk.cover import Walk
from parchunk.listed_rows import Listed
from parchunk.listing import Listing
from parchunk.strays import DOCUMENTS

#: Sorts before ``/`` and after nearly all that begins with ``.``; stores take it in a key.
_BEFORE_SLASH = ".~"
#: The character after ``/``.
_AFTER_SLASH = "0"


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys of one walk over one array, below the source's root: ``first <= key < stop``.

    ``owner`` is whose they are. ``directory``, the array's or one in it, holds them all. A listing
    of them asks for keys that sort ``after`` and goes on up to ``last``, either of which may name
    no object. ``final`` is the last chunk's key (None: not known).
    """

    owner: int
    array: str
    directory: str
    after: str
    first: str
    last: str
    stop: str
    final: str | None = None


def key_range(owner: int, array: str, walk: Walk) -> KeyRange:
    """Return the range of a walk over the array named ``array``."""
    directory = f"{array}/{walk.prefix}" if walk.prefix else array
    if walk.offset is None:
        after, first = directory + _BEFORE_SLASH, f"{directory}/"
    else:
        after = f"{array}/{walk.offset}"
        first = after + "\0"  # no string lies between
    if walk.last is None:
        last = stop = directory + _AFTER_SLASH
    else:
        last = f"{array}/{walk.last}"
        stop = last + "\0"
    final = None if walk.final is None else f"{array}/{walk.final}"
    return KeyRange(owner, array, directory, after, first, last, stop, final)


def common_directory(first: str, last: str) -> str:
    """Return the narrowest directory that holds two directories, and all that sort between."""
    one, other = first.split("/"), last.split("/")
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    return "/".join(one[:shared])


def follow_ranges(
    listing: Listing, ranges: Sequence[KeyRange]
) -> Iterator[tuple[list[tuple[int, Listed]], int]]:
    """Walk over ``ranges``, which are disjoint and rise.

    Yield (shares, passed) page by page: ``shares`` are pairs of a range's position and the rows
    that lie in it (without Zarr's own documents), and the first ``passed`` ranges are complete.
    The last one is so when the walk has ended, and no sooner.

    Raises
    ------
    Unordered, ListingError
        As `Listing.follow`.
    """
    base = listing.source.path("")
    base = f"{base}/" if base else ""
    at = 0
    while at < len(ranges):
        below, walk = _walk_over(ranges[at:])
        pages = replace(listing, array=below, batch=listing.page)
        with closing(pages.follow(walk)) as following:
            for listed in following:
                keys = [path[len(base) :] for path in listed.paths.to_pylist()]
                shares, at = _shared_out(listed, keys, ranges, at)
                yield shares, min(at, len(ranges) - 1)
                if (
                    at < len(ranges)
                    and len(keys) >= listing.page  # else the listing has probably ended
                    and keys[-1] < ranges[at].after
                ):
                    break
            else:
                at = len(ranges)
    yield [], at


def _walk_over(ranges: Sequence[KeyRange]) -> tuple[str, Walk]:
    """Return a directory, and the walk in it over all of ``ranges`` and what is between them."""
    below = common_directory(ranges[0].directory, ranges[-1].directory)
    head = f"{below}/" if below else ""

    def inside(key: str | None) -> str | None:
        # The ends of a directory need not be named to a listing of it, and cannot be.
        return key[len(head) :] if key is not None and key.startswith(head) else None

    first, last = ranges[0], ranges[-1]
    return below, Walk(
        0,
        0,
        "",
        inside(first.after),
        inside(last.last),
        final=inside(last.final),
        origin=inside(first.array + _BEFORE_SLASH),
    )


def _shared_out(
    listed: Listed, keys: Sequence[str], ranges: Sequence[KeyRange], at: int
) -> tuple[list[tuple[int, Listed]], int]:
    """Return the rows of each range, and the position of the first range that may get more.

    ``keys`` are those of the rows. Python compares text by code points, which is UTF-8's order.
    """
    shares: list[tuple[int, Listed]] = []
    start = 0
    while at < len(ranges):
        mine = ranges[at]
        start = bisect_left(keys, mine.first, start)
        stop = bisect_left(keys, mine.stop, start)
        # A batch of nothing but chunks is read several times as fast: documents stand at its ends.
        low, high, skip = start, stop, len(mine.array) + 1
        while low < high and keys[low][skip:] in DOCUMENTS:
            low += 1
        while low < high and keys[high - 1][skip:] in DOCUMENTS:
            high -= 1
        if low < high:
            rows = listed.paths.slice(low, high - low)
            share = Listed(rows, listed.sizes[low:high], listed.modified[low:high])
            shares.append((at, share))
        if stop == len(keys):
            break
        start = stop
        at += 1
    return shares, at
