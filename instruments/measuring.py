"""Seconds, processor seconds and peak memory of one function in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import parchunk.public  # noqa: F401 (so that its imports are not counted)


def measured(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run a function; return its result with seconds, cpu_seconds and MiB of peak growth.

    The peak grows from what the process (its imports and inputs) already took.
    """
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return {
        **result,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "mib": (after.ru_maxrss - before.ru_maxrss) / 1024,
    }


def in_process(module: str, *arguments: object) -> dict[str, Any]:
    """Run ``python -m module --one arguments`` and return the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--one", *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    measurement: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measurement
