"""Directories that together hold the wanted chunks, for stores without order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from parchunk.cover.digit_tree import Ranges
from parchunk.cover.intervals import inner_products
from parchunk.cover.walks import chunk_directory
from parchunk.keys.boxes import Box
from parchunk.keys.space import KeySpace
from parchunk.keys.text_order import digits, index_at, rank_of

# Directories: None is a directory listed whole, else ranges of subdirectories that are alike.
_Tree = list[tuple[int, int, "_Tree"]] | None


def whole_directories(space: KeySpace, boxes: Iterable[Box], limit: int = 10_000) -> list[str]:
    """Return the narrowest directories that hold every chunk of ``boxes``, for unordered stores.

    Paths are relative to the array's path, without a trailing slash; the empty one is the array
    itself. None lies inside another, so listing each to its end meets no key twice. A directory
    whose subdirectories would all be listed whole is not split: the whole array is one
    directory, and so is ``[0:1000, 5:6]`` of a 1000 x 50 grid, as files cannot be told apart
    before they are listed. When there are more than ``limit``, the tree is cut at the deepest
    level that obeys it. With ``.`` between indices there is one directory, the array.

    Strays beside these directories are not met, unless the array is one directory: they are in
    those of `directories_beside`.
    """
    grid, encoding = space.grid, space.encoding
    products = inner_products(grid, boxes)
    if not products:
        return []
    root = chunk_directory(encoding)
    if encoding.separator == "." or len(grid) < 2:
        return [root]
    for depth in range(len(grid) - 1, 0, -1):
        tree = _tree(grid[:depth], products)
        if _leaves(tree) <= limit:
            return ["/".join(filter(None, (root, path))) for path in _paths(tree)]
    return [root]


def directories_beside(space: KeySpace, whole: Sequence[str]) -> list[str]:
    """Return the directories that may hold strays of chunks in ``whole``, directories listed whole.

    A stray belongs to the next chunk after it in text order, so it lies directly in one of these,
    or below a directory in one that `holds_chunks` says no of: they are above ``whole``, or hold
    the chunk before the first one of it. None lies inside ``whole``.
    """
    root = chunk_directory(space.encoding)
    listed = {_segments(root, path) for path in whole}
    found: set[tuple[str, ...]] = set()
    for path in listed:
        found.update(path[:depth] for depth in range(len(path)))
        first = (*map(int, path), *[0] * (len(space.grid) - len(path)))
        rank = rank_of(space.grid, first)
        if rank:
            before = tuple(map(str, index_at(space.grid, rank - 1)[:-1]))
            found.update(before[:depth] for depth in range(len(before) + 1))
    beside = [
        path for path in found if not any(path[:depth] in listed for depth in range(len(path) + 1))
    ]
    return ["/".join(filter(None, (root, *path))) for path in sorted(beside)]


def holds_chunks(space: KeySpace, directory: str) -> bool:
    """Whether chunks of the grid may lie below a directory within that of all chunks."""
    index = _segments(chunk_directory(space.encoding), directory)
    if len(index) >= len(space.grid):
        return False
    return all(
        len(segment) <= digits(size)
        and segment.isascii()
        and segment.isdigit()
        and segment == str(int(segment))
        and int(segment) < size
        for segment, size in zip(index, space.grid, strict=False)
    )


def _segments(root: str, path: str) -> tuple[str, ...]:
    """Return what a path within a root is called there, segment by segment."""
    segments = path.split("/") if path else []
    return tuple(segments[1:] if root else segments)


def _tree(grid: tuple[int, ...], products: list[tuple[Ranges, ...]]) -> _Tree:
    if not grid:
        return None
    edges = sorted({edge for product in products for pair in product[0] for edge in pair})
    parts: list[tuple[int, int, _Tree]] = []
    for start, stop in pairwise(edges):
        below = {
            product[1:]
            for product in products
            if any(low <= start < high for low, high in product[0])
        }
        if below:
            parts.append((start, stop, _tree(grid[1:], sorted(below))))
    if all(tree is None for _, _, tree in parts) and sum(b - a for a, b, _ in parts) == grid[0]:
        return None
    return parts


def _leaves(tree: _Tree) -> int:
    return 1 if tree is None else sum((b - a) * _leaves(below) for a, b, below in tree)


def _paths(tree: _Tree) -> list[str]:
    if tree is None:
        return [""]
    return [
        f"{index}/{path}" if path else str(index)
        for start, stop, below in tree
        for paths in [_paths(below)]
        for index in range(start, stop)
        for path in paths
    ]
