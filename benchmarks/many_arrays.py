"""Memory and time of each command by the number of arrays: what an array costs it.

    python -m benchmarks.many_arrays [--arrays FEW MANY | N] [--traced]   default: 4,000 and 16,000

References of arrays of 96 chunks, a thousand of them in a group, are built with in-process
listings, and each command is run on them in a process of its own, which has run it on a few arrays
before. An update is of a copy of the references, and asks a server on loopback that has the same
arrays, or a group of 1,000 more. "the store alone" is what a build with its plan asks of the
in-process store, which is part of what that takes: all keys, and all documents twice. "MiB" is the
growth of the peak resident size over imports and the source, which has been listed once before: it
keeps some of that. "KiB an array" is its slope between FEW and MANY arrays, and "ms an array" that
of processor seconds; "traced" is that of what Python and numpy had allocated at most, and kept, in
a second run with `tracemalloc`. Of N arrays alone the whole growth is told, and all processor
seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from instruments.measuring import in_process, measured
from instruments.synthetic.server import serve

import parchunk
from benchmarks.hostile import opened, with_arrays
from parchunk.cli.main import run
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan

#: Arrays that a command is run on first, for its imports.
_FIRST = 3


def command(*arguments: str) -> None:
    """Run a command of the command line, whose output is not shown."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(list(arguments)) == 0


def store(out: str) -> parchunk.Source:
    """Return the store that the references in OUT are of: OUT's name says how many arrays."""
    return opened(with_arrays(int(Path(out).name)))


def build(out: str, source: parchunk.Source) -> None:
    """Build the references."""
    parchunk.build(parchunk.plan(source), out)


def listed(source: parchunk.Source) -> Any:
    """Have the store list all keys, and return it."""
    listing: Any = source.store
    for _ in listing.list(chunk_size=10_000, return_arrow=True):
        pass
    return listing


def asked(source: parchunk.Source) -> None:
    """Have the store list all keys, and give all documents twice, as plan and build have it."""
    listing = listed(source)
    for key in 2 * list(listing.store.documents()):
        listing.get(key)


def update(out: str, options: dict[str, str]) -> None:
    """Bring the references up to what the store holds."""
    parchunk.update(out, store_options=options)


#: Updates, by name, and how many arrays have come.
UPDATES = {"update, nothing to do": 0, "update, a group more": 1_000}

#: What is measured, by name; each is given OUT and its source, or how that is reached, which was
#: made before. A build begins anew in each process, whatever another one has left.
COMMANDS: dict[str, Callable[[str, Any], object]] = {
    "the store alone": lambda out, source: asked(source),
    "plan": lambda out, source: parchunk.plan(source),
    "build": lambda out, source: build(f"{out}.{os.getpid()}", source),
    "build, nothing to do": build,
    "plan.json read": lambda out, source: load_plan(open_output(out)),
    "status": lambda out, source: command("status", out),
    "status --json": lambda out, source: command("status", out, "--json"),
    "sql": lambda out, source: command("sql", out, "SELECT count(*) FROM arrays"),
    "open_dataset": lambda out, source: parchunk.open_dataset(out, group="g0"),
    "audit": lambda out, source: parchunk.audit(out),
    "audit --json": lambda out, source: command("audit", out, "--json"),
    "audit --report": lambda out, source: command("audit", out, "--report", f"{out}.html"),
    "audit --against-source": lambda out, source: parchunk.audit(
        out, against_source=True, source=source
    ),
    **dict.fromkeys(UPDATES, update),
}


@contextlib.contextmanager
def given(name: str, out: str) -> Iterator[tuple[str, Any]]:
    """Yield what a command is given."""
    if name not in UPDATES:
        source = store(out)
        listed(source)  # which keeps 0.4 KiB of each array: no command's
        yield out, source
        return
    with tempfile.TemporaryDirectory(dir=Path(out).parent) as folder:
        copy = shutil.copytree(out, f"{folder}/{Path(out).name}")
        arrays = int(Path(out).name) + UPDATES[name]
        with serve(with_arrays(arrays, "store.zarr")) as server:
            yield (
                str(copy),
                {
                    "endpoint": server.endpoint,
                    "region": "us-east-1",
                    "skip_signature": "true",
                    "allow_http": "true",
                },
            )


def one(name: str, out: str, traced: bool) -> dict[str, Any]:
    """Run a command, and return what it took."""
    held: list[object] = []
    with tempfile.TemporaryDirectory() as folder:
        first = f"{folder}/{_FIRST}"
        build(first, store(first))
        with given(name, first) as (place, source):
            COMMANDS[name](place, source)
    with given(name, out) as (place, source):

        def step() -> dict[str, Any]:
            held.append(COMMANDS[name](place, source))
            return {}

        if not traced:
            return measured(step)
        tracemalloc.start()
        step()
        kept, peak = tracemalloc.get_traced_memory()
        return {"kept": kept / 2**20, "peak": peak / 2**20}


def built(folder: str, *counts: int) -> None:
    """Build references of so many arrays, unless they are there."""
    for count in counts:
        if not Path(f"{folder}/{count}").exists():
            in_process("benchmarks.many_arrays", "build, nothing to do", f"{folder}/{count}", "")


def print_whole(count: int, commands: list[str], folder: str | None) -> None:
    """Print what commands take of so many arrays."""
    print(f"| command, {count:,} arrays | MiB | processor seconds |")
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or temporary
        built(place, count)
        for name in commands:
            took = in_process("benchmarks.many_arrays", name, f"{place}/{count}", "")
            print(f"| {name} | {took['mib']:.0f} | {took['cpu_seconds']:.1f} |", flush=True)


def main() -> None:
    """Print the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arrays", nargs="+", type=int, default=[4_000, 16_000])
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=COMMANDS)
    parser.add_argument("--dir", help="where references are written, and left")
    parser.add_argument("--traced", action="store_true", help="what Python had allocated, too")
    parser.add_argument("--one", nargs=3, help="measure here, print JSON")
    arguments = parser.parse_args()
    if arguments.one:
        name, out, traced = arguments.one
        print(json.dumps(one(name, out, traced == "traced")))
        return
    if len(arguments.arrays) == 1:
        print_whole(arguments.arrays[0], arguments.commands, arguments.dir)
        return
    few, many = arguments.arrays
    ways = ("", "traced") if arguments.traced else ("",)
    print(f"| command | MiB, {few:,} | MiB, {many:,} | KiB an array | ms an array |", end="")
    print(" traced, at most | kept |" if arguments.traced else "")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.dir or temporary
        built(folder, few, many)
        for name in arguments.commands:
            low: dict[str, float] = {}
            high: dict[str, float] = {}
            for way in ways:
                low |= in_process("benchmarks.many_arrays", name, f"{folder}/{few}", way)
                high |= in_process("benchmarks.many_arrays", name, f"{folder}/{many}", way)
            slope = {key: (high[key] - low[key]) / (many - few) for key in low}
            cells = [
                name,
                f"{low['mib']:.0f}",
                f"{high['mib']:.0f}",
                f"{slope['mib'] * 1024:.1f}",
                f"{slope['cpu_seconds'] * 1000:.2f}",
                *(f"{slope[key] * 1024:.1f}" for key in ("peak", "kept") if key in slope),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
