"""The command line, forked, with nobody at the other end of its output."""

import os
from pathlib import Path

from instruments import forked
from parchunk.cli.main import main


def ended(folder: Path, arguments: list[str], *, errors: bool = False) -> tuple[int, str]:
    """Run the command; return its exit code and what it said on stderr, if anybody listens there.

    A fork has imported what it needs, and ends as its interpreter does but for the last flush of
    streams.
    """
    code, said, error = forked.start(folder, _run, arguments, errors).end()
    assert not said
    return code, error


def _run(arguments: list[str], errors: bool) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for descriptor in (1, 2) if errors else (1,):
        os.dup2(writing, descriptor)
    os.close(writing)
    main(arguments)
