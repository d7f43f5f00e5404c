"""Processes of this machine: which of them a number means, and whether that one is gone."""

from __future__ import annotations

import os
from pathlib import Path


def process_space() -> str:
    """Return which processes this one can see: containers may share a host's name."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def started(pid: int) -> str:
    """Return when a process began, in whatever unit the system has, or nothing."""
    try:
        # Fields after the command, which is in parentheses and may hold spaces; the 22nd of all.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""


def is_gone(pid: int, began: str) -> bool:
    """Whether a process that this one could see is there no more; ``began`` is what `started` said.

    False where that cannot be told.
    """
    if pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    # A process of the same number that began at another time is another process.
    return began != started(pid) != ""
