"""The coverage as a PNG, for slides and for mail: one strip an array along the split dimension."""

from __future__ import annotations

import io

import numpy as np

from parchunk.auditing.result import AuditReport
from parchunk.extras import require
from parchunk.report.strips import STATES, strips_of
from parchunk.report.ticks import ticks_along

#: Arrays drawn, the worst first; more would be thinner than their names.
_ARRAYS = 40
#: Cells of a strip.
_ACROSS = 480
#: By state of a strip.
_COLOURS = ("#eceef0", "#3a7ca5", "#f2c14e", "#e07b26", "#c0392b", "#b9bec2")


def require_plot() -> None:
    """Check that plots can be drawn.

    Raises
    ------
    MissingExtraError
        Naming the extra to install.
    """
    require("matplotlib", "plot")


def coverage_png(report: AuditReport) -> bytes:
    """Return a PNG: for each array the share of chunks there, along the axis of its gaps.

    A stretch in which anything is missing is never drawn in the colour of one that is whole.
    """
    require_plot()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    found = strips_of(report)
    extent, strips = found.extent, found.of(found.arrays[:_ARRAYS])
    # No pyplot: it would choose a backend for the whole process, and may want a display.
    figure = Figure(figsize=(10, 1.6 + 0.32 * max(len(strips), 1)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    cells = np.full((max(len(strips), 1), _ACROSS), -1)
    for row, strip in enumerate(strips):
        cells[row] = strip.cells(_ACROSS)
    axes.imshow(
        cells, aspect="auto", cmap=ListedColormap(["#ffffff", *_COLOURS]), vmin=-1.5, vmax=5.5,
        interpolation="nearest", extent=(0, 1, max(len(strips), 1) - 0.5, -0.5),
    )  # fmt: skip
    axes.hlines(np.arange(0.5, len(strips) - 1), 0, 1, colors="white", linewidth=1)
    # Names are data: a dollar sign in one is no formula.
    axes.set_yticks(range(len(strips)), [_shortened(strip.array.array) for strip in strips])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    ticks = ticks_along(report.labels, extent)
    axes.set_xticks(
        [tick.element / extent for tick in ticks], [_shortened(tick.text, 16) for tick in ticks]
    )
    ends = [report.labels.of(at) or f"{at:,}" for at in (0, extent - 1)]
    axes.set_xlabel(f"along {found.name}, {ends[0]} to {ends[1]}", parse_math=False)
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    verdict = report.verdict if len(report.verdict) < 100 else report.verdict[:97] + "..."
    axes.set_title(f"{_shortened(report.url, 90)}\n{verdict}", fontsize=10, loc="left",
                   parse_math=False)  # fmt: skip
    used = sorted({state for strip in strips for state in strip.states.tolist()})
    handles = [Patch(color=_COLOURS[state], label=STATES[state]) for state in used]
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), frameon=False
        )
    held = io.BytesIO()
    figure.savefig(held, format="png")
    return held.getvalue()


def _shortened(name: str, most: int = 40) -> str:
    return name if len(name) <= most else f"...{name[-(most - 3) :]}"
