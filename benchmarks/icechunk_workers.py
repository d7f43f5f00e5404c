"""What workers take off the process that imports into Icechunk, and what is left to it.

    python -m benchmarks.icechunk_workers [--references N] [--regions N] [--workers N]

The references are those of a synthetic store. They are imported by one process, and with workers
that set them, each time into a repository of its own. Processor seconds say more than the clock's
where a machine does other things: those of the importing process, of its workers, and of the
former those that it spent in commits, in setting references itself, and in taking over (unpickling
and merging) what workers had set. Commits are one after another, and bound what workers can save.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import parchunk
from benchmarks.icechunk import build_references
from parchunk.icechunk_import.forks import Setter

#: References of a step, in the array that is imported.
STEP = (100, 100)
#: What is counted by itself: which method, and what the table calls it.
PARTS = (
    (icechunk.Session, "commit", "committing"),
    (Setter, "set", "setting"),
    (Setter, "take", "taking over"),
)


def counted(owner: Any, name: str, part: str, spent: Counter[str]) -> Callable[[], None]:
    """Count the processor seconds of a method in ``spent``; return what undoes that."""
    real = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.process_time()
        try:
            return real(*args, **kwargs)
        finally:
            spent[part] += time.process_time() - began  # type: ignore[assignment]

    setattr(owner, name, timed)
    return lambda: setattr(owner, name, real)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=1_200_000)
    parser.add_argument("--regions", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    icechunk.set_logs_filter("error")
    steps = max(arguments.references // (STEP[0] * STEP[1]), arguments.regions)
    spent: Counter[str] = Counter()
    undo = [counted(*part, spent) for part in PARTS]
    with tempfile.TemporaryDirectory() as temporary:
        out = build_references(Path(temporary), steps, STEP, -(-steps // arguments.regions))
        print(f"icechunk {icechunk.__version__}")
        columns = ("seconds", "processor seconds here", "of workers", *(part[2] for part in PARTS))
        print(f"| workers | {' | '.join(columns)} |\n|---:{'|---:' * len(columns)}|")
        for workers in (1, arguments.workers):
            spent.clear()
            before, began = os.times(), time.monotonic()
            result = parchunk.to_icechunk(out, f"{temporary}/repo-{workers}", workers=workers)
            seconds, after = time.monotonic() - began, os.times()
            assert result.finished
            own = after.user + after.system - before.user - before.system
            theirs = after.children_user + after.children_system
            theirs -= before.children_user + before.children_system
            figures = (seconds, own, theirs, *(spent[part[2]] for part in PARTS))
            print(f"| {workers} | {' | '.join(f'{one:.1f}' for one in figures)} |", flush=True)
    for one in undo:
        one()


if __name__ == "__main__":
    main()
