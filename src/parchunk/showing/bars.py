"""A bar on a terminal or in a notebook, a log line now and then elsewhere."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from parchunk.showing.pace import NEARLY, Rate
from parchunk.wording import count, duration, short_count

#: Seconds between two log lines, and between two changes of a notebook's bar.
LOG_EVERY, _NOTEBOOK_EVERY = 10.0, 0.2
#: Seconds by which rates are taken, and before which nothing is said of what is to come.
_WINDOW, _SURE = 60.0, 3.0
#: Columns that the bar itself takes at least, and what is said of how much of it is done.
_LEAST, _PERCENT = 6, 5


class HowFar(Protocol):
    """How far something is: a share, in words, and what is counted meanwhile."""

    @property
    def share(self) -> float | None:
        """Return what is done of 1; None where that is not known."""

    @property
    def place(self) -> tuple[int, int, str]:
        """Return how many are done, of how many, and of what."""

    @property
    def counted(self) -> tuple[int, str] | None:
        """Return a count whose rate tells how fast it goes, and of what it is."""

    @property
    def others(self) -> tuple[str, ...]:
        """Return further counts in words."""

    @property
    def waiting(self) -> str:
        """Return what is waited for; "" while it goes on."""


class _Telling:
    """What is said of how far something is, with its rate and how long the rest takes."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shares, self._counts = Rate(_WINDOW), Rate(_WINDOW)
        self._waiting = ""

    def waits(self, now: HowFar) -> str:
        """Return what is waited for, once; "" where that is said, or nothing is."""
        before, self._waiting = self._waiting, now.waiting
        return "" if before == now.waiting else now.waiting

    def parts(self, now: HowFar, number: Callable[[int], str]) -> tuple[list[str], str]:
        """Return how far it is in words, the most telling first, and how long the rest takes."""
        moment = time.monotonic()
        done, total, what = now.place
        said = [f"{number(done)} of {number(total)} {what}"]
        if now.counted is not None:
            counted, what = now.counted
            rate = self._counts.take(moment, counted)
            said.append(f"{number(counted)} {what}")
            said += [] if rate is None else [f"{number(int(rate))}/s"]
        speed = None if now.share is None else self._shares.take(moment, now.share)
        left = ""
        if now.share is not None and speed and moment - self._began > _SURE:
            left = "" if now.share >= NEARLY and done < total else duration((1 - now.share) / speed)
        return [*said, *now.others], left


@contextmanager
def bar_shown(doing: str, every: float = LOG_EVERY) -> Iterator[Callable[[HowFar], None]]:
    """Yield what is called with how far something is.

    On a terminal and in a notebook it draws a bar, elsewhere a line ``every`` so many seconds. What
    is waited for is said once, and at once.
    """
    telling = _Telling()
    if in_notebook():
        yield _notebook_bar(doing, telling)
    elif sys.stderr.isatty():
        with _terminal_bar(doing, telling) as show:
            yield show
    else:
        last, say = time.monotonic(), waits_shown()

        def log(now: HowFar) -> None:
            nonlocal last
            say(now)
            if not now.waiting and time.monotonic() - last >= every:
                last = time.monotonic()
                said, left = telling.parts(now, count)
                said += [f"about {left} to go"] if left else []
                print(", ".join(said), file=sys.stderr, flush=True)

        yield log


def waits_shown() -> Callable[[HowFar], None]:
    """Return what is called with how far something is, and says only what is waited for, once."""
    telling = _Telling()

    def log(now: HowFar) -> None:
        waits = telling.waits(now)
        if waits:
            print(waits, file=sys.stderr, flush=True)

    return log


def in_notebook() -> bool:
    """Return whether what is displayed goes to a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


@contextmanager
def _terminal_bar(doing: str, telling: _Telling) -> Iterator[Callable[[HowFar], None]]:
    """Yield what draws one line that is never wider than the terminal."""
    console = Console(stderr=True, highlight=False)
    fixed = Column(no_wrap=True)
    with Progress(
        TextColumn("{task.fields[head]}", table_column=fixed, markup=False),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=_LEAST)),
        TextColumn("{task.fields[tail]}", table_column=fixed, markup=False),
        console=console,
        transient=True,
        expand=True,
    ) as bar:
        task = bar.add_task("", total=None, head=doing, tail="")

        def show(now: HowFar) -> None:
            waits = telling.waits(now)
            if waits:  # above the bar, where it stays
                console.print(waits, markup=False, soft_wrap=True)
            said, left = telling.parts(now, short_count)
            percent = "" if now.share is None else f"{int(now.share * 100):3d} %"
            ends = [f"{left} left"] if left else []
            room = console.width - len(doing) - _LEAST - 2
            words = _fitting(said, ends, room - _PERCENT - 1)
            tail = " ".join(filter(None, [percent, ", ".join(words)]))
            done = None if now.share is None else 1.0
            bar.update(task, total=done, completed=now.share or 0.0, tail=tail)

        yield show


def _fitting(said: list[str], ends: list[str], room: int) -> list[str]:
    """Return as much as there is room for: what comes last first, then the others in order."""
    for kept in range(len(said), -1, -1):
        found = [*said[:kept], *ends]
        if len(", ".join(found)) <= room:
            return found
    return []


def _notebook_bar(doing: str, telling: _Telling) -> Callable[[HowFar], None]:
    """Return what draws a bar in the output of a cell, and draws over it from then on."""
    display = import_module("IPython.display")
    handle = display.display(display.HTML(_bar_html(doing, None, "")), display_id=True)
    last, shown = 0.0, ""

    def show(now: HowFar) -> None:
        nonlocal last, shown
        at_once = now.share is None or now.share >= 1 or now.waiting != shown
        if time.monotonic() - last < _NOTEBOOK_EVERY and not at_once:
            return
        last, shown = time.monotonic(), now.waiting
        said, left = telling.parts(now, short_count)
        text = now.waiting or ", ".join([*said, *([f"{left} left"] if left else [])])
        handle.update(display.HTML(_bar_html(doing, now.share, text)))

    return show


def _bar_html(doing: str, share: float | None, text: str) -> str:
    value = "" if share is None else f' value="{share:.4f}"'
    return f"<div>{html.escape(doing)} <progress{value}></progress> {html.escape(text)}</div>"
