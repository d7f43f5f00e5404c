"""How numbers and tables look in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from parchunk.cli.printable import printable
from parchunk.wording import count


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
            highlight=False, markup=False, emoji=False, soft_wrap=True, width=200, color_system=None
        )
    )


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table; columns whose name ends with ``>`` are right-aligned numbers."""
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        number = column.endswith(">")
        made.add_column(column.rstrip(">"), justify="right" if number else "left", no_wrap=True)
    for row in rows:
        made.add_row(
            *(count(cell) if isinstance(cell, int) else printable(str(cell)) for cell in row)
        )
    return made
