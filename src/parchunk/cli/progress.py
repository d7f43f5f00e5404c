"""Progress of a build: a bar on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from parchunk.building.results import Progress
from parchunk.wording import count, duration

#: Seconds between two log lines.
LOG_EVERY = 10.0


@contextmanager
def progress_shown(
    quiet: bool, every: float = LOG_EVERY
) -> Iterator[Callable[[Progress], None] | None]:
    """Yield what `parchunk.building.build.build` calls with its progress; None when ``quiet``.

    Elsewhere than on a terminal there is a line ``every`` so many seconds.
    """
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with Bar(
            TextColumn("{task.fields[label]}"),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True, highlight=False),
            transient=True,
        ) as bar:
            task = bar.add_task("", total=1, label="building", numbers="")

            def show(now: Progress) -> None:
                bar.update(task, completed=_share(now), numbers=_numbers(now), label=_label(now))

            yield show
    else:
        last = time.monotonic()

        def log(now: Progress) -> None:
            nonlocal last
            if time.monotonic() - last >= every:
                last = time.monotonic()
                click.echo(f"{_label(now)}: {_numbers(now)}", err=True)

        yield log


@contextmanager
def files_shown(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what an audit calls with the record files done and all; None when nothing is shown."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with Bar(console=Console(stderr=True, highlight=False), transient=True) as bar:
        task = bar.add_task("record files", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def _label(now: Progress) -> str:
    return f"{count(now.partitions)} of {count(now.partitions_total)} partitions"


def _share(now: Progress) -> float:
    """Return how much is done: what is receipted, or what the listings have met if more."""
    if not now.chunks_total:
        return now.partitions / max(now.partitions_total, 1)
    return min(max(now.chunks, now.listed) / now.chunks_total, 1.0)


def _numbers(now: Progress) -> str:
    rate = now.listed / now.seconds if now.seconds else 0.0
    parts = [
        f"{count(now.listed)} keys listed",
        f"{count(int(rate))}/s",
        f"{count(now.requests)} LIST requests",
    ]
    share = _share(now)
    if 0.02 < share < 1:
        parts.append(f"about {duration(now.seconds * (1 - share) / share)} to go")
    if now.retries:
        parts.append(f"{count(now.retries)} retries")
    return ", ".join(parts)
