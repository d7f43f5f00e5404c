"""``parchunk build --part``: which part, and what it came to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import click

from parchunk.building.part import PartResult
from parchunk.cli.array_jobs import parse_part
from parchunk.cli.summary import print_summary, retried, summary
from parchunk.cli.tables import console, say
from parchunk.errors import InputError
from parchunk.wording import count, counted, duration


def share_of(part: str, workers: int, overwrite: bool, dask: str | None) -> tuple[int, int]:
    """Return which part, of how many.

    Raises
    ------
    InputError
        When it says none, or comes with what parts cannot have.
    """
    if overwrite:
        raise InputError(
            "--part with --overwrite: each part would delete what the others did; delete OUT "
            "first, or name another"
        )
    if workers > 1:
        raise InputError("--part with --workers: a part is one process; run more parts")
    if dask is not None:
        raise InputError("--part with --dask: a part is one process; give one of both")
    return parse_part(part, os.environ)


def show_part(
    done: PartResult,
    as_json: bool,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
) -> None:
    """Print what a part came to."""
    if as_json:
        click.echo(json.dumps(part_summary(done)))
    else:
        print_part(done, store_options, output_options)


def part_summary(done: PartResult) -> dict[str, Any]:
    """Return what a part came to as JSON values; ``published`` has the whole build's."""
    task = done.task
    return {
        "part": done.part,
        "parts": done.of,
        "task": task.task,
        "partitions": len(task.receipts),
        "partitions_built": task.built,
        "partitions_left": done.left,
        "list_requests": task.requests,
        "list_requests_least": task.requests_least,
        "get_requests": task.gets,
        "retries": task.retries,
        "too_busy": task.busy,
        "seconds": round(task.seconds, 3),
        "peak_memory_bytes": task.peak_memory,
        "notes": list(task.notes),
        "published": None if done.published is None else summary(done.published),
    }


def print_part(
    done: PartResult,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
) -> None:
    """Print what a part came to, and the whole build if it was the last one."""
    out, task = console(), done.task
    say(
        out,
        f"part {done.part} of {done.of} ({task.task}): {counted(len(task.receipts), 'partition')} "
        f"({count(task.built)} built now), {counted(task.requests, 'LIST request')}, "
        f"{retried(task)}, {duration(task.seconds)}",
    )
    for note in task.notes:
        say(out, f"note: {note}")
    if done.published is None:
        left = counted(done.left, "partition is", "partitions are")
        say(out, f"{left} left to other parts; the last one publishes")
    else:
        say(out, "all parts are done: published")
        print_summary(done.published, store_options, output_options)
