"""How numbers and tables look in the terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parchunk.showing.printable import printable
from parchunk.wording import count

#: A command within a sentence: what a user copies.
_COMMAND = re.compile(r"parchunk [a-z-]+ [^;:,()]*[^;:,() ]")
#: A blank at which no line ends.
_NO_BREAK = "\xa0"


class _Console(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(printable(o) if isinstance(o, str) else o for o in objects), **options)


def console() -> Console:
    """Return a console for stdout; a pipe gets plain text of any width."""
    made = _Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    return (
        made
        if made.is_terminal
        else _Console(
            highlight=False, markup=False, emoji=False, soft_wrap=True, width=10_000,
            color_system=None,
        )
    )  # fmt: skip


def say(out: Console, text: str, head: str = "", style: str = "") -> None:
    """Print a sentence after ``head``, which has a style.

    A terminal gets lines that end between words, those after the first one indented; a pipe one.
    Commands are not broken, as they are copied.
    """
    head, text = printable(head), printable(text)
    said = f"{head}{text}"
    if out.is_terminal:
        whole = _COMMAND.sub(lambda found: found[0].replace(" ", _NO_BREAK), said)
        said = "\n".join(
            textwrap.wrap(
                whole, out.width, subsequent_indent="  ", break_long_words=False,
                break_on_hyphens=False,
            )
        )  # fmt: skip
    shown = Text(said.replace(_NO_BREAK, " "))
    shown.stylize(style, 0, len(head))
    out.print(shown)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table; columns whose name ends with ``>`` are right-aligned numbers.

    Where a terminal is too narrow, text goes on in the next line, and numbers are never cut.
    """
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        number = column.endswith(">")
        made.add_column(
            column.rstrip(">"),
            justify="right" if number else "left",
            no_wrap=number,
            overflow="fold",
        )
    for row in rows:
        made.add_row(
            *(count(cell) if isinstance(cell, int) else printable(str(cell)) for cell in row)
        )
    return made
