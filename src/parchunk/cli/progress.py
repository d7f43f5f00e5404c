"""Progress of a command, unless it is not wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from parchunk.showing.bars import LOG_EVERY, bar_shown, waits_shown


@contextmanager
def progress_shown(
    quiet: bool, doing: str, every: float = LOG_EVERY
) -> Iterator[Callable[..., None]]:
    """Yield what is called with how far a command is; ``quiet`` shows what it waits for alone."""
    if quiet:
        yield waits_shown()
        return
    with bar_shown(doing, every) as show:
        yield show
