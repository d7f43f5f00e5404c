"""Where the processor time of a build goes, stage by stage, in nanoseconds a reference.

    python -m benchmarks.stages [--chunks N]

One build of an in-memory store and one of an in-process listing, each in a process of its own
after a small one that imports. Every stage is timed with its own thread's processor clock, so what
other threads and other programs do does not count; stages inside stages are taken off the outer
ones. "other" is what is in none: threads, queues, receipts, the Python between the stages.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from instruments.measuring import in_process
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from rich.console import Console
from rich.table import Table

import parchunk
from benchmarks.versus_virtualizarr import LEVELS, filled
from parchunk.keys import spelling
from parchunk.listing import tally, walker
from parchunk.out.local import LocalOutput
from parchunk.planning import from_source, source_again
from parchunk.writing import record_writer

STORES = {"memory": "obstore's MemoryStore", "twin": "in-process listing"}
STAGES: dict[str, tuple[Any, str]] = {
    "the store's listing, page by page": (walker.Listing, "_stream"),
    "joining pages": (walker, "join"),
    "checking the order": (walker, "in_order"),
    "keys to chunk numbers": (tally, "parse_paths"),
    "sizes to their places": (tally.Tally, "take"),
    "spelling paths": (spelling.PathBuilder, "build"),
    "Parquet": (record_writer, "encode"),
    "checksums": (record_writer, "digest"),
    "writing files": (LocalOutput, "put"),
    "reading metadata": (from_source, "read_hierarchy"),
    "reading metadata again": (source_again, "read_known"),
}


class Clock:
    """Processor seconds by stage, each without the stages inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = threading.local()
        self._lock = threading.Lock()

    def timed(self, stage: str, call: Callable[[], Any]) -> Any:
        """Run ``call`` as a part of ``stage``."""
        outer = getattr(self._inside, "seconds", 0.0)
        self._inside.seconds = 0.0
        began = time.thread_time()
        try:
            return call()
        finally:
            took = time.thread_time() - began
            with self._lock:
                self.seconds[stage] += took - self._inside.seconds
            self._inside.seconds = outer + took

    def watch(self, stage: str, owner: Any, name: str) -> None:
        """Time every call of ``owner.name``; of a generator, every step."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            made = self.timed(stage, lambda: function(*arguments, **named))
            return self._steps(stage, made) if hasattr(made, "__next__") else made

        setattr(owner, name, watched)

    def _steps(self, stage: str, steps: Any) -> Any:
        end = object()
        while (step := self.timed(stage, lambda: next(steps, end))) is not end:
            yield step


def source_of(kind: str, chunks: int) -> parchunk.Source:
    """Return a source of about ``chunks`` chunks."""
    if kind == "memory":
        return parchunk.Source(store=filled(chunks), prefix="s.zarr", url="memory://s.zarr")
    store = zarr_store([("t", (chunks // LEVELS, LEVELS), (1, 1), ("time", "level"))])
    return parchunk.Source(store=FormulaListing(store), url="s3://formula/s.zarr")  # type: ignore[arg-type]


def build(source: parchunk.Source) -> int:
    """Plan and build; return the number of references."""
    with tempfile.TemporaryDirectory() as folder:
        return parchunk.build(parchunk.plan(source), f"{folder}/refs.parquet").present


def one(kind: str, chunks: int) -> dict[str, Any]:
    """Measure one build here."""
    build(source_of(kind, LEVELS))
    source, clock = source_of(kind, chunks), Clock()
    for stage, (owner, name) in STAGES.items():
        clock.watch(stage, owner, name)
    began = time.process_time()
    references = build(source)
    seconds = time.process_time() - began
    stages = dict.fromkeys(STAGES, 0.0) | clock.seconds
    return {"references": references, "total": seconds, "stages": stages}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--one", choices=list(STORES), help="measure here, print JSON")
    arguments = parser.parse_args()
    chunks = arguments.chunks // LEVELS * LEVELS
    if arguments.one:
        print(json.dumps(one(arguments.one, chunks)))
        return
    found = {kind: in_process("benchmarks.stages", kind, "--chunks", chunks) for kind in STORES}
    table = Table(title=f"{chunks:,} chunks, processor ns a reference", title_justify="left")
    table.box = None
    table.add_column("stage")
    for kind in STORES:
        table.add_column(STORES[kind], justify="right")
        table.add_column("share", justify="right")
    for stage in (*STAGES, "other", "all"):
        cells = []
        for measurement in found.values():
            total, stages = measurement["total"], measurement["stages"]
            rest = {"other": total - sum(stages.values()), "all": total}
            seconds = stages.get(stage, rest.get(stage))
            cells += [f"{seconds / measurement['references'] * 1e9:,.0f}", f"{seconds / total:.0%}"]
        table.add_row(stage, *cells)
    Console(width=120, highlight=False).print(table)


if __name__ == "__main__":
    main()
