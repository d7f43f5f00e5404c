"""Options of many stores: which, and how they are put together."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from parchunk.cli.options import Options
from parchunk.errors import InputError
from parchunk.planning.joining.gathering import JOINS
from parchunk.planning.joining.given import read_sources
from parchunk.planning.joining.joining import STATIC

#: What makes one dataset of several stores.
joining_options = Options(
    click.option(
        "--concat",
        metavar="DIM",
        help="Several stores: one after another along a dimension that they have.",
    ),
    click.option(
        "--stack",
        metavar="DIM",
        help="Several stores: each one index of a new leading dimension.",
    ),
    click.option(
        "--labels",
        default="",
        metavar="A,B,..",
        help="With --stack: the new dimension's coordinate, a date, whole number or name "
        "for each store.",
    ),
    click.option(
        "--merge",
        is_flag=True,
        help="Several stores: their arrays side by side; beside --concat or --stack, "
        "stores of the same arrays are joined first.",
    ),
    click.option(
        "--sources",
        multiple=True,
        metavar="FILE",
        help="Stores as a file names them, one a line; - for stdin.",
    ),
    click.option(
        "--join",
        type=click.Choice(JOINS),
        default="exact",
        show_default=True,
        help="Arrays that only some stores have: refuse them, leave them out, or take "
        "their chunks elsewhere for missing.",
    ),
    click.option(
        "--static",
        type=click.Choice(STATIC),
        default="equal",
        show_default=True,
        help="Arrays without the dimension: compare them in all stores, or believe the first.",
    ),
    click.option(
        "--inline-coordinates/--no-inline-coordinates",
        default=True,
        show_default=True,
        help="Read the coordinates of dimensions and keep them in OUT: producers write "
        "them anew, and opening costs no request. With --concat: the dimension's, joined.",
    ),
)


def stores_given(
    src: tuple[str, ...], files: tuple[str, ...], needed: str = "SRC"
) -> str | list[str]:
    """Return the stores that the command line names; one alone as itself.

    Raises
    ------
    InputError
        When there is none, or a file of them cannot be read.
    """
    given = list(src)
    for file in files:
        given += map(str, read_sources(_lines(file), file))
    if not given:
        raise InputError(f"give {needed}: SRC is a store, or several, or --sources FILE")
    return given[0] if len(given) == 1 else given


def _lines(file: str) -> list[str]:
    try:
        if file == "-":
            return sys.stdin.read().splitlines()
        return Path(file).read_text().splitlines()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"--sources {file} cannot be read: {reason}") from None
