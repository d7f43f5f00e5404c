"""Errors as a person at a prompt reads them: a line and a note, not pages of threads."""

from __future__ import annotations

import sys
from pathlib import Path

from parchunk.errors import ParchunkError

_PACKAGE = Path(__file__).parents[1]
_NOTED = "raised in parchunk/"


def note_place(error: ParchunkError) -> None:
    """Note in an error that comes from within where it was raised, once."""
    place = _place(error)
    if place and not any(note.startswith(_NOTED) for note in getattr(error, "__notes__", ())):
        error.add_note(place)


def at_prompt() -> bool:
    """Return whether a person reads what is raised: at Python's prompt, IPython's, a notebook's."""
    return hasattr(sys, "ps1")


def _place(error: ParchunkError) -> str:
    """Return the file and line of ours that raised an error, for who reports it."""
    found, frame = "", error.__traceback__
    while frame is not None:
        path = Path(frame.tb_frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE):
            found = f"{_NOTED}{path.relative_to(_PACKAGE).as_posix()}, line {frame.tb_lineno}"
        frame = frame.tb_next
    return found
