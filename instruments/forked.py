"""Processes that cost little: forked from a server that has imported most of what they need.

A new interpreter that imports parchunk and zarr works a second before it begins; tests that kill
processes start hundreds of them.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
# Not icechunk: version 2 starts threads when it is imported, which no fork has, and waits for them.
_FORKS.set_forkserver_preload(["instruments.crash_process"])


@dataclass(frozen=True)
class Fork:
    """A process that runs, and the folder where it puts what it says."""

    process: Any
    folder: Path

    def end(self, timeout: float = 250) -> tuple[int, str, str]:
        """Wait for it; return its exit code, standard output and standard error."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, "it does not end"
        return self.process.exitcode, self.text("said"), self.text("error")

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()

    def text(self, name: str) -> str:
        """Return what it has put into a file of its folder."""
        path = self.folder / name  # killed early, it has not written any
        return path.read_text() if path.exists() else ""


def start(folder: Path, target: Callable[..., None], *arguments: Any) -> Fork:
    """Call ``target`` with the arguments, all of which can be pickled, in a process of its own."""
    folder.mkdir(parents=True)
    process = _FORKS.Process(target=_run, args=(folder, target, arguments))
    process.start()
    return Fork(process, folder)


def _run(folder: Path, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    for descriptor, name in ((1, "said"), (2, "error")):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    target(*arguments)
