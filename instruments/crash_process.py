"""The command line in a process of its own that notes its steps, and kills itself or waits at one.

What it runs is the command line as users run it, in a process that is forked.
"""

from __future__ import annotations

import collections
import itertools
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

# What a child needs, imported once by the server that it is forked from: zarr and arro3 as a run
# would import them on its way, and pandas, which Arrow imports for its first array.
import arro3.core  # noqa: F401
import pyarrow as pa
import zarr  # noqa: F401

import parchunk.cli.audit
import parchunk.cli.build
import parchunk.cli.update
import parchunk.public  # noqa: F401
from instruments import forked
from parchunk.cli.main import main
from parchunk.out.local import LocalOutput
from parchunk.out.remote import RemoteOutput
from parchunk.stores import opening

pa.array([0])


#: What a process that waits at a step looks for in its folder, and for how many seconds at most.
_GO_ON, _LONGEST = "go on", 250


class Step(NamedTuple):
    """One step of a run: threads take turns, so only those of one name have an order."""

    name: str
    number: int


@dataclass(frozen=True)
class Command(forked.Fork):
    """A command line that runs, and where it puts what it says and which steps it takes."""

    @property
    def steps(self) -> list[str]:
        """The steps that it has begun."""
        return self.text("steps").splitlines()

    def go_on(self) -> None:
        """Let it go on from the step that it waits at."""
        (self.folder / _GO_ON).touch()


def start(
    arguments: list[str],
    folder: Path,
    kill_at: Step | None = None,
    retries: int | None = None,
    wait_at: Step | None = None,
) -> Command:
    """Start the command line; it kills itself at a step, or waits there until `Command.go_on`.

    ``retries`` are those of its clients in place of their minutes of patience.
    """
    started = forked.start(folder, _run, arguments, folder, kill_at, retries, wait_at)
    return Command(started.process, folder)


def step_of(path: str) -> str:
    """Return what a test calls the write of ``path``."""
    name = path.rsplit("/", 1)[-1]
    if "/receipts/" in path or "/blocks/" in path:
        return "receipt"
    if "/strays/" in path:
        return "strays"
    if "/claims/" in path:
        return "claim"
    if name.startswith("refs."):
        return "record file"
    return {".zmetadata": "root", "plan.json": "plan", "lease.json": "lease"}.get(name, name)


def _run(
    arguments: list[str],
    folder: Path,
    kill_at: Step | None,
    retries: int | None,
    wait_at: Step | None,
) -> None:
    _note_steps(folder, kill_at, wait_at)
    if retries is not None:
        opening.RETRY["max_retries"] = retries
    main(arguments)


def _note_steps(folder: Path, kill_at: Step | None, wait_at: Step | None) -> None:
    """Write down each step as it begins or has ended, and end with it when it is the one."""
    file = os.open(folder / "steps", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    counts: dict[str, itertools.count[int]] = collections.defaultdict(itertools.count)

    def step(name: str) -> None:
        os.write(file, (name + "\n").encode())
        now = Step(name, next(counts[name]))
        if now == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        until = time.monotonic() + _LONGEST
        while now == wait_at and not (folder / _GO_ON).exists() and time.monotonic() < until:
            time.sleep(0.01)

    for kind in (LocalOutput, RemoteOutput):
        _note_writes(kind, step)
    replace = os.replace

    def noted_replace(source: Any, target: Any) -> None:
        Path(target).parent.stat()  # without the folder it is no step, but fails
        step("before rename")
        replace(source, target)
        step("after rename")

    os.replace = noted_replace  # type: ignore[assignment]


def _note_writes(kind: type[LocalOutput | RemoteOutput], step: Callable[[str], None]) -> None:
    """Have outputs of a kind note what they write and delete."""
    put, put_if, delete, delete_if = kind.put, kind.put_if, kind.delete, kind.delete_if
    move = kind.move

    def noted_put(self: Any, path: str, data: Any) -> None:
        step(f"before {step_of(path)}")
        put(self, path, data)
        step(f"after {step_of(path)}")

    def noted_put_if(self: Any, path: str, data: bytes, seen: str | None) -> str | None:
        step(f"before {step_of(path)}")
        found = put_if(self, path, data, seen)
        step(f"after {step_of(path)}")
        return found

    def noted_delete(self: Any, path: str) -> None:
        # The lease is given back by deleting it, which has its own name.
        name = "release" if step_of(path) == "lease" else f"delete {step_of(path)}"
        step(f"before {name}")
        delete(self, path)
        step(f"after {name}")

    def noted_delete_if(self: Any, path: str, seen: str) -> None:
        step("before release")
        delete_if(self, path, seen)
        step("after release")

    def noted_move(self: Any, path: str, to: str) -> None:
        step(f"before move {step_of(to)}")
        move(self, path, to)
        step(f"after move {step_of(to)}")

    kind.move = noted_move  # type: ignore[method-assign]
    kind.put, kind.put_if = noted_put, noted_put_if  # type: ignore[method-assign]
    kind.delete, kind.delete_if = noted_delete, noted_delete_if  # type: ignore[method-assign]
