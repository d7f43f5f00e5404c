"""The coverage of arrays along one dimension in characters, for a terminal or a log."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.text import Text

from parchunk.auditing import AuditReport
from parchunk.report.overview import state_text
from parchunk.report.strips import STATES, Strip, strips_of
from parchunk.report.ticks import Tick, ticks_along
from parchunk.showing.printable import can_show, printable
from parchunk.wording import count

#: Arrays that are drawn: those that lack something.
_DRAWN = 20
_NAMES = 24
#: By state; what comes after the last is beyond the array's end.
_BLOCKS, _ASCII = " █▓▒·? ", " #+-.? "
_STYLES = ("", "blue", "yellow", "dark_orange", "bold red", "bright_black", "")


def print_strips(out: Console, report: AuditReport) -> None:
    """Print a line an array that lacks something, the worst first, and how many are whole."""
    found = strips_of(report)
    extent, arrays = found.extent, found.arrays
    lacking = [array for array in arrays if array.missing or array.unread]
    shown = found.of(lacking[:_DRAWN])
    if not shown:
        return
    width = min(out.width, 100) if out.is_terminal else 80
    names = [_shortened(strip.array.array) for strip in shown]
    tails = [state_text(strip.array) for strip in shown]
    wide, tail = max(map(len, names)), max(map(len, tails))
    across = max(width - wide - tail - 2, 10)
    out.print()
    out.print(Text(" " * (wide + 1) + _axis(ticks_along(report.labels, extent), extent, across)))
    marks = _marks(out)
    for name, strip, said in zip(names, shown, tails, strict=True):
        out.print(Text(f"{name:>{wide}} ") + _drawn(strip, across, marks) + f" {said:>{tail}}")
    states = sorted({state for strip in shown for state in strip.states.tolist()})
    for line in _legend(states, marks, width):
        out.print(line)
    more = [
        f"{count(number)} {what}"
        for number, what in (
            (len(lacking) - len(shown), "more lack something"),
            (
                len(arrays) - len(lacking),
                f"of {count(len(arrays))} arrays along {found.name} are whole",
            ),
        )
        if number
    ]
    if more:
        out.print("; ".join(more))


def _legend(states: list[int], marks: str, width: int) -> list[Text]:
    """Return what each mark means, on as many lines as it takes."""
    lines = [Text("")]
    for state in states:
        said = f" {STATES[state]}"
        if len(lines[-1]) + len(said) + 7 > width:
            lines.append(Text(""))
        lines[-1].append("  " if lines[-1] else "")
        lines[-1].append(marks[state] if state else "blank", _STYLES[state]).append(said)
    return lines


def _marks(out: Console) -> str:
    return _BLOCKS if can_show(_BLOCKS, out.encoding) else _ASCII


def _drawn(strip: Strip, across: int, marks: str) -> Text:
    drawn = Text()
    for state, run in groupby(strip.cells(across).tolist()):
        drawn.append(marks[state] * len(list(run)), _STYLES[state])
    return drawn


def _axis(ticks: tuple[Tick, ...], extent: int, across: int) -> str:
    """Return the marks, each where its first element lies, as far as there is room."""
    line = ""
    for tick in ticks:
        at = int(tick.element * across / extent)
        text = printable(tick.text)[:16]
        if at >= len(line) + bool(line) and at + len(text) <= across:
            line = line.ljust(at) + text
    return line


def _shortened(name: str) -> str:
    name = printable(name)
    return name if len(name) <= _NAMES else f"...{name[3 - _NAMES :]}"
