"""What an update has prepared in OUT/.parchunk/next, and whether it is taking its place."""

from __future__ import annotations

from parchunk.errors import InputError
from parchunk.out.output import NEXT, PREPARED_ROOT, Output


def is_switching(output: Output) -> bool:
    """Whether what was prepared is complete, and taking the place of what was published."""
    return output.get(PREPARED_ROOT) is not None


def refuse_between(output: Output) -> None:
    """Refuse an OUT of which a part is of one layout and a part of another.

    Raises
    ------
    InputError
        Naming what finishes it.
    """
    if is_switching(output):
        raise InputError(
            f"{output.url} is being replaced by an update: wait for it if it runs, else run "
            "parchunk update OUT, which finishes that in a moment"
        )


def discard_prepared(output: Output, but: str = "") -> None:
    """Delete what an update prepared and did not complete, if anything, ``but`` one object."""
    paths = [path for path in output.paths(NEXT) if path != but]
    if paths:
        output.delete(PREPARED_ROOT)
        output.clear(paths)
