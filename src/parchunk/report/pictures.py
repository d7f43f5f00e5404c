"""The page's pictures as inline SVG: coverage along the split, heat map, size histogram.

Cells of like colour in a row are one rectangle, and all rectangles of a colour are one path, so a
picture is some kilobytes however many chunks it is of. Colours are classes: the style sheet has
them for light and for dark.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parchunk.auditing.heat import Heat
from parchunk.report.markup import Markup, drawing, element

#: Shades of chunk size in a heat map.
SHADES = 6
_WIDTH = 720
_ROW = 12


def coverage(heat: Heat, label: str) -> Markup:
    """Return bars across the grid's axis: how much of each stretch is there."""
    seen, missing = heat.seen.sum(axis=0), heat.missing.sum(axis=0)
    expected, apart = heat.expected.sum(axis=0), heat.apart.sum(axis=0)
    height = 48
    bars: dict[str, list[str]] = {"there": [], "absent": [], "unread": []}
    for at in range(heat.across):
        left, right = _edges(at, heat.across)
        whole = int(expected[at])
        if not whole:
            continue
        absent = height * int(missing[at]) / whole
        if 0 < absent < 4:
            absent = 4.0  # one missing chunk among many must be seen
        unread = height * int(whole - seen[at]) / whole
        top = height * int(apart[at]) / whole
        there = max(height - top - unread - absent, 0.0)
        for kind, high in (("unread", unread), ("absent", absent), ("there", there)):
            if high > 0:
                bars[kind].append(_rectangle(left, top, right - left, high))
            top += high
    return _svg(
        height, label, [element("path", class_=k, d="".join(v)) for k, v in bars.items() if v]
    )


def heat_map(heat: Heat, label: str) -> Markup:
    """Return the grid in cells: shades for mean size, other colours where chunks are missing."""
    kinds = cell_kinds(heat)
    row_height = max(_ROW, min(28, 60 // max(heat.down, 1)))
    paths: dict[str, list[str]] = {}
    for row in range(heat.down):
        changes = np.flatnonzero(np.diff(kinds[row])) + 1
        starts = [0, *changes.tolist()]
        for start, stop in zip(starts, [*starts[1:], heat.across], strict=True):
            left, _ = _edges(start, heat.across)
            _, right = _edges(stop - 1, heat.across)
            paths.setdefault(_class(int(kinds[row, start])), []).append(
                _rectangle(left, row * row_height, right - left, row_height)
            )
    shapes = [element("path", class_=name, d="".join(d)) for name, d in sorted(paths.items())]
    return _svg(heat.down * row_height, label, shapes)


def cell_kinds(heat: Heat) -> NDArray[np.int64]:
    """Return what each cell shows.

    0 to SHADES - 1 by size, -1 some missing, -2 all, -3 unread, -4 not expected.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.log2(heat.bytes.astype(np.float64) / heat.present)
    usable = np.isfinite(mean)
    kinds = np.zeros((heat.down, heat.across), np.int64)
    if usable.any():
        low, high = float(mean[usable].min()), float(mean[usable].max())
        # Sizes within a few per cent of each other are one shade: noise is no pattern.
        span = max(high - low, 0.25)
        low = (low + high - span) / 2
        kinds[usable] = np.minimum((mean[usable] - low) / span * SHADES, SHADES - 1).astype(
            np.int64
        )
    missing, apart = heat.missing > 0, heat.apart > 0
    kinds[(heat.present == 0) & apart] = -4
    kinds[missing] = -1
    kinds[missing & (heat.present == 0)] = -2
    kinds[heat.seen < heat.expected] = -3
    kinds[missing & (heat.seen < heat.expected)] = -1
    return kinds


def shade_sizes(heat: Heat) -> tuple[float, float] | None:
    """Return the mean size in bytes of the cells with the smallest and the largest chunks."""
    there = heat.present > 0
    if not there.any():
        return None
    mean = heat.bytes[there].astype(np.float64) / heat.present[there]
    return float(mean.min()), float(mean.max())


def histogram(bins: Sequence[tuple[int, int, int]], label: str) -> Markup:
    """Return the size histogram: bars of equal width in the logarithm of the size."""
    height, most = 80, max(count for _, _, count in bins)
    path = []
    for at, (_, _, count) in enumerate(bins):
        left, right = _edges(at, max(len(bins), 12))
        if count:
            # A single outlier among millions still has a bar that can be seen.
            high = max(height * count / most, 2.0)
            path.append(_rectangle(left + 0.5, height - high, right - left - 1, high))
    return _svg(height, label, [element("path", class_="there", d="".join(path))])


def _edges(at: int, count: int) -> tuple[float, float]:
    return _WIDTH * at / count, _WIDTH * (at + 1) / count


def _rectangle(left: float, top: float, width: float, height: float) -> str:
    return f"M{left:.4g} {top:.4g}h{width:.4g}v{height:.4g}h-{width:.4g}z"


def _class(kind: int) -> str:
    return {-1: "some", -2: "absent", -3: "unread", -4: "apart"}.get(kind, f"s{kind}")


def _svg(height: float, label: str, shapes: Sequence[Markup]) -> Markup:
    return drawing(_WIDTH, height, label, shapes, style=f"height:{height:g}px")
