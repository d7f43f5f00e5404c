"""Errors as a person at a prompt reads them: a line and a note, not pages of threads.

What is raised holds nothing of what was under way.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from parchunk.errors import ParchunkError

_PACKAGE = Path(__file__).parents[1]
_NOTED = "raised in parchunk/"


def note_place(error: ParchunkError) -> None:
    """Note in an error that comes from within where it was raised, once."""
    place = _place(error)
    if place and not any(note.startswith(_NOTED) for note in getattr(error, "__notes__", ())):
        error.add_note(place)


def let_go(error: BaseException, before: BaseException | None) -> None:
    """Clear the frames that led to an error, and to what it came of, of all that they hold.

    Those that led to ``before`` are the caller's, who was handling that already.

    A future holds the error that its call raised, and who asked for the result, a frame of that
    error's, holds the future: such a ring keeps the sizes of a build and its connections until the
    garbage collector comes, which sees nothing of how much that is.
    """
    left, seen = [error], {id(before)}
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            left += filter(None, (one.__cause__, one.__context__))


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
