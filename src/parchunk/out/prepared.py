"""What an update or a relocation has prepared in OUT/.parchunk/next, and if it takes its place."""

from __future__ import annotations

import json

from parchunk.errors import InputError
from parchunk.out.output import NEXT, PREPARED_FOR, PREPARED_ROOT, Output


def is_switching(output: Output) -> bool:
    """Whether what was prepared is complete, and taking the place of what was published."""
    return output.get(PREPARED_ROOT) is not None


def is_relocation(output: Output) -> bool:
    """Whether what is prepared is by a relocation, and not by an update."""
    try:
        found = json.loads(output.get(PREPARED_FOR) or b"{}")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("relocating") is True


def refuse_between(output: Output) -> None:
    """Refuse an OUT of which a part is of one layout and a part of another.

    Raises
    ------
    InputError
        Naming what finishes it.
    """
    if is_switching(output):
        doing, command = "replaced by an update", "parchunk update OUT"
        if is_relocation(output):
            doing, command = "relocated", "the same parchunk relocate again"
        raise InputError(
            f"{output.url} is being {doing}: wait for it if it runs, else run {command}, which "
            "finishes that in a moment"
        )


def discard_prepared(output: Output, but: str = "") -> None:
    """Delete what was prepared and is not complete, if anything, ``but`` one object."""
    paths = [path for path in output.paths(NEXT) if path != but]
    if paths:
        output.delete(PREPARED_ROOT)
        output.clear(paths)
