"""The prompt of ``parchunk sql``: statements, completion, and what there is to ask about."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from parchunk.cli.tables import console, table
from parchunk.errors import InputError
from parchunk.reading.views import COLUMNS
from parchunk.showing.printable import printable

if TYPE_CHECKING:
    import duckdb

_WORDS = (
    "SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "HAVING", "JOIN", "USING",
    "DESCRIBE", "count(*)", "sum(", "min(", "max(",
)  # fmt: skip
#: What the prompt itself understands, and what that does.
_COMMANDS = {
    ".tables": "the views, and their columns",
    ".schema VIEW": "the columns of one, with their types",
    ".help": "this",
    ".quit": "leave; so does Ctrl-D",
}


def prompt(connection: duckdb.DuckDBPyConnection, run: Callable[[str], None]) -> None:
    """Read statements from the terminal and run them; Ctrl-C cancels a line, or a query."""
    _complete_names()
    click.echo(f"views: {', '.join(COLUMNS)}; .tables has their columns, .help the rest")
    held = ""
    while True:
        try:
            held += input("... " if held else "sql> ") + "\n"
            said = held.strip().rstrip(";").strip()
            if said.lower() in ("exit", "quit", ".quit", ".exit"):
                return
            if not said:
                held = ""
            elif said.startswith("."):
                held = ""
                _run_or_say(lambda command: _command(connection, command), said)
            elif held.rstrip().endswith(";"):
                query, held = held, ""
                _run_or_say(run, query)
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            held = ""
            click.echo()


def completions(text: str) -> list[str]:
    """Return what begins with ``text``: views, their columns, words of SQL, commands."""
    names = {*COLUMNS, *(column for columns in COLUMNS.values() for column in columns)}
    known = [*sorted(names), *_WORDS, *(command.split()[0] for command in _COMMANDS)]
    return [name for name in known if name.lower().startswith(text.lower())]


def _complete_names() -> None:
    """Give input() a history, and the Tab key names to complete."""
    with contextlib.suppress(ImportError):
        import readline

        def complete(text: str, state: int) -> str | None:
            return (*completions(text), None)[state] if state <= len(completions(text)) else None

        readline.set_completer(complete)
        # A dot begins commands, and no name has one within.
        readline.set_completer_delims(" \t\n,;()=<>+-*/\"'")
        editline = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if editline else "tab: complete")


def _command(connection: duckdb.DuckDBPyConnection, said: str) -> None:
    """Do one of the prompt's own commands."""
    command, _, of = said.partition(" ")
    if command == ".tables":
        rows = [(view, ", ".join(columns)) for view, columns in COLUMNS.items()]
        console().print(table("", ("view", "columns"), rows))
    elif command == ".schema" and of.strip() in COLUMNS:
        told = connection.sql(f"DESCRIBE {of.strip()}").fetchall()
        console().print(table("", ("column", "type"), [row[:2] for row in told]))
    elif command == ".schema":
        raise InputError(f".schema VIEW: the views are {', '.join(COLUMNS)}")
    elif command == ".help":
        console().print(table("", ("", ""), list(_COMMANDS.items())))
        click.echo("a statement ends with ';', and may go over several lines")
    else:
        raise InputError(f"{command}: there are {', '.join(_COMMANDS)}")


def _run_or_say(run: Callable[[str], None], query: str) -> None:
    """Run statements, or say in a line what is wrong with them."""
    try:
        run(query)
    except InputError as error:
        click.echo(printable(str(error)), err=True)
