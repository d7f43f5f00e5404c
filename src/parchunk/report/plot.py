"""The coverage as a PNG, for slides and for mail: one strip an array along the split dimension."""

from __future__ import annotations

import io

import numpy as np

from parchunk.auditing.result import AuditReport
from parchunk.extras import require

#: Arrays drawn, those with findings first; more would be thinner than their names.
_ARRAYS = 40


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

    concerned = {found.array for found in report.findings}
    plan = report.plan
    # A coordinate of another dimension has no place along this one.
    split_arrays = [a for a in report.arrays if plan.by_name[a.array].axis is not None]
    arrays = sorted(
        (array for array in split_arrays or report.arrays if array.expected),
        key=lambda a: (a.array not in concerned, -a.expected, a.array),
    )[:_ARRAYS]
    # No pyplot: it would choose a backend for the whole process, and may want a display.
    figure = Figure(figsize=(10, 1.6 + 0.32 * max(len(arrays), 1)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = ["#3a7ca5", "#f2c14e", "#e8952e", "#c0392b", "#b9bec2"]
    names = ["all there", "under 10 % missing", "10 % or more missing", "all missing", "not built"]
    across = 240
    cells = np.full((max(len(arrays), 1), across), 4)
    for row, array in enumerate(arrays):
        heat = array.heat
        seen, present = heat.seen.sum(axis=0), heat.present.sum(axis=0)
        whole = np.maximum(heat.expected.sum(axis=0), 1)
        absent = (seen - present) / whole
        state = np.select(
            [seen < whole, absent == 0, present == 0, absent < 0.1], [4, 0, 3, 1], default=2
        )
        cells[row] = state[np.arange(across) * heat.across // across]
    axes.imshow(
        cells, aspect="auto", cmap=ListedColormap(colours), vmin=-0.5, vmax=4.5,
        interpolation="nearest", extent=(0, 1, max(len(arrays), 1) - 0.5, -0.5),
    )  # fmt: skip
    # Names are data: a dollar sign in one is no formula.
    axes.set_yticks(range(len(arrays)), [_shortened(array.array) for array in arrays])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    split = plan.split
    extent = plan.regions[-1].stop if plan.regions else 1
    ticks = [round((extent - 1) * share / 4) for share in range(5)]
    labels = [report.labels.of(tick) or f"{tick:,}" for tick in ticks]
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], labels)
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    axes.get_xticklabels()[-1].set_horizontalalignment("right")
    axes.set_xlabel(f"along {split}" if split else "along the first axis", parse_math=False)
    verdict = report.verdict if len(report.verdict) < 100 else report.verdict[:97] + "..."
    axes.set_title(f"{_shortened(report.url, 90)}\n{verdict}", fontsize=10, loc="left",
                   parse_math=False)  # fmt: skip
    used = sorted(set(cells.ravel().tolist()))
    handles = [Patch(color=colours[kind], label=names[kind]) for kind in used]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    held = io.BytesIO()
    figure.savefig(held, format="png")
    return held.getvalue()


def _shortened(name: str, most: int = 40) -> str:
    return name if len(name) <= most else f"...{name[-(most - 3) :]}"
