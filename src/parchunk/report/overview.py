"""The page's first picture: all arrays along one dimension, the worst on top, with the calendar."""

from __future__ import annotations

from urllib.parse import quote

from parchunk.auditing.result import ArrayAudit, AuditReport, percent
from parchunk.report.markup import Markup, drawing, element, joined
from parchunk.report.strips import STATES, Strip, Strips, strips_of
from parchunk.report.ticks import Tick, ticks_along
from parchunk.wording import counted

#: Arrays that are drawn, the worst first.
_DRAWN = 40
_WIDTH, _HEIGHT = 720, 12
#: Classes of the style sheet, by state.
_CLASSES = ("apart", "there", "some", "many", "absent", "unread")


def overview(report: AuditReport) -> Markup:
    """Return the picture under its heading; nothing where there is no array to draw."""
    found = strips_of(report)
    if not found.arrays:
        return Markup("")
    return joined([element("h2", f"Arrays along {found.name}"), _picture_of(found, True)])


def array_picture(report: AuditReport, linked: bool = True) -> Markup:
    """Return the picture with its legend; names lead to the page's part on each where linked."""
    return _picture_of(strips_of(report), linked)


def _picture_of(found: Strips, linked: bool) -> Markup:
    if not found.arrays:
        return Markup("")
    report, extent = found.report, found.extent
    drawn, ticks = found.of(found.arrays[:_DRAWN]), ticks_along(report.labels, extent)
    used = sorted({state for strip in drawn for state in strip.states.tolist()})
    legend = [
        element("li", element("span", class_=_CLASSES[state], aria_hidden="true"), STATES[state])
        for state in used
    ]
    rest = len(found.arrays) - len(drawn)
    lacking = sum(bool(array.missing or array.unread) for array in found.arrays[_DRAWN:])
    lack = counted(lacking, "lacks", "lack")
    more = f"And {counted(rest, 'more array')}, of which {lack} something." if rest else ""
    return joined(
        [
            element(
                "div",
                _axis(ticks, extent),
                *(_row(strip, ticks, extent, linked) for strip in drawn),
                _ends(report, extent),
                class_="strips",
                # As wide as the names are, and no wider than leaves room for the picture.
                style=f"--names:{min(max(len(s.array.array) for s in drawn), 22) + 1}ch",
            ),
            element("ul", *legend, class_="legend"),
            element("p", more, class_="soft") if more else "",
        ]
    )


def state_text(array: ArrayAudit) -> str:
    """Return in a few words what an array lacks."""
    said = [
        f"{count:,} {what}"
        for count, what in ((array.missing, "missing"), (array.unread, "unread"))
        if count
    ]
    return ", ".join(said) or "whole"


def anchor(array: str) -> str:
    """Return the page's name for the part on an array."""
    return f"array-{quote(array, safe='', errors='backslashreplace')}"


def _row(strip: Strip, ticks: tuple[Tick, ...], extent: int, linked: bool) -> Markup:
    array = strip.array
    said = state_text(array)
    there = percent(array.present / max(array.expected, 1))
    label = f"{array.array}: {there} of {array.expected:,} chunks are there, {said}"
    return element(
        "div",
        element("a", array.array, href=f"#{anchor(array.array)}", title=array.array)
        if linked
        else element("span", array.array, title=array.array),
        _picture(strip, ticks, extent, label),
        element("span", said, class_="whole" if said == "whole" else "n"),
        class_="strip",
    )


def _picture(strip: Strip, ticks: tuple[Tick, ...], extent: int, label: str) -> Markup:
    paths: dict[str, list[str]] = {}
    for left, right, state in strip.runs():
        # A stretch of one among many is still seen.
        width = max((right - left) * _WIDTH, 1.5)
        paths.setdefault(_CLASSES[state], []).append(_box(left * _WIDTH, width))
    marks = "".join(_box(tick.element / extent * _WIDTH, 0.7) for tick in ticks if tick.element)
    shapes = [element("path", class_=name, d="".join(d)) for name, d in paths.items()]
    if marks:
        shapes.append(element("path", class_="mark", d=marks))
    return drawing(_WIDTH, _HEIGHT, label, shapes)


def _box(left: float, width: float) -> str:
    return f"M{left:.5g} 0h{width:.4g}v{_HEIGHT}h-{width:.4g}z"


def _axis(ticks: tuple[Tick, ...], extent: int) -> Markup:
    # What is written at the very end would stick out.
    marks = [
        element("span", tick.text, style=f"left:{100 * tick.element / extent:.4g}%",
                class_="late" if tick.element > 0.9 * extent else None)
        for tick in ticks
    ]  # fmt: skip
    return element("div", element("div", *marks), class_="axis", aria_hidden="true")


def _ends(report: AuditReport, extent: int) -> Markup:
    said = []
    for at in (0, extent - 1):
        label = report.labels.of(at)
        said.append(f"{at:,}" + (f" ({label})" if label else ""))
    inner = element("div", *(element("span", text) for text in said), class_="ends")
    return element("div", inner, class_="axis under")
