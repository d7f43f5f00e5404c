"""Parts of a build killed, doubled and begun in any order, until one of them publishes.

    python -m benchmarks.part_crashes [--runs N] [--s3-runs N] [--seed N]

Each run draws in how many parts a build is done, and runs them as processes of the command line,
some side by side, some twice, some killed with SIGKILL at a random moment or at a step, and a build
of the whole in one of ten. Parts that were killed are begun again later. A reader that looks all
the time finds no part of a store; the end has the bytes of one undisturbed build, every receipt
once, and nothing left behind. Runs onto S3 use ministack on loopback, which must be installed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from instruments.crash_process import Command, Step
from instruments.s3_server import new_bucket, s3_server
from instruments.synthetic.server import Server, serve

from benchmarks.crashes import (
    KILLED,
    REGION,
    Folder,
    Place,
    Prefix,
    Reader,
    Undisturbed,
    part_of_a_store,
    receipts_in,
    seen_by_readers,
    store,
    undisturbed,
)
from instruments import crash_process

STEPS = [
    Step(f"{when} {what}", number)
    for when in ("before", "after")
    for what, number in (
        ("claim", 0),
        ("lease", 0),
        ("plan", 0),
        ("record file", 1),
        ("receipt", 0),
        ("receipt", 1),
        ("root", 0),
        ("release", 0),
    )
]


def start(
    server: Server, place: Place, folder: Path, part: str, kill_at: Step | None = None
) -> Command:
    """Start a part (``2/3``), or the whole build (an empty one)."""
    options = (f"endpoint={server.endpoint}", "region=us-east-1", "skip_signature=true")
    return crash_process.start(
        [
            *("build", f"s3://{server.bucket}", place.out, "--region", str(REGION), "--json"),
            *("--concurrency", "2", *(f"--store-option={option}" for option in options)),
            *place.arguments(),
            *(("--part", part) if part else ()),
        ],
        folder,
        kill_at,
    )


def check(wanted: Undisturbed, place: Place, folder: Path, dice: random.Random) -> Counter[str]:
    """Run the parts of one build in a drawn way, and check all; return what was done how often."""
    of = dice.randint(1, 5)
    todo = [f"{part}/{of}" for part in range(1, of + 1)]
    todo += dice.choices(todo, k=dice.randint(0, 2)) + [""] * (dice.random() < 0.1)
    dice.shuffle(todo)
    done: Counter[str] = Counter()
    published, numbers = [], itertools.count()
    reader = Reader(place, partial(part_of_a_store, place, wanted))
    with serve(store(), latency=0.005, process=False) as server, reader.looking():
        while todo:
            together = [todo.pop() for _ in range(min(dice.randint(1, 3), len(todo)))]
            running = []
            for part in together:
                how = dice.choice(("whole", "whole", "step", "moment"))
                kill_at = dice.choice(STEPS) if how == "step" else None
                command = start(server, place, folder / f"{next(numbers)}", part, kill_at)
                running.append((part, how, command))
            for _, how, command in running:
                if how == "moment":
                    time.sleep(dice.uniform(0.05, 0.5))
                    command.kill()
            for part, how, command in running:
                code, said, error = command.end()
                if code == 0:
                    done["ended"] += 1
                    result = json.loads(said)
                    published += [result] if not part else filter(None, [result["published"]])
                    continue
                # A build of the whole, and tasks, keep each other away.
                refused = code == 2 and ("tasks are at work" in error or "being built" in error)
                assert refused or (code == KILLED and how != "whole"), (part, how, code, error)
                done["refused" if refused else f"killed at a {how}"] += 1
                todo.insert(0, part)
    assert published, "nobody published"
    assert {result["present"] for result in published} == {wanted.present}
    files = place.files()
    assert len(receipts_in(files)) == wanted.partitions
    assert seen_by_readers(files) == wanted.files, "the bytes differ"
    assert not place.unfinished(), f"left behind: {place.unfinished()}"
    return done


def run(make_place: Callable[[Path], Place], runs: int, dice: random.Random) -> Counter[str]:
    """Make that many runs."""
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = undisturbed(make_place(folder / "first"), folder)
        for number in range(runs):
            there = folder / f"run-{number}"
            done += check(wanted, make_place(there / "out"), there, dice)
    return done


def main() -> None:
    """Print how many parts were killed how, all of which came to the same bytes."""
    parser = argparse.ArgumentParser(description="Kill and double parts of builds.")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--s3-runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    began = time.monotonic()
    local = run(Folder, arguments.runs, dice)
    remote: Counter[str] = Counter()
    if arguments.s3_runs:
        with tempfile.TemporaryDirectory() as name, s3_server(Path(name)) as server:
            remote = run(lambda _: Prefix(new_bucket(server.endpoint)), arguments.s3_runs, dice)
    for place, runs, done in (("disk", arguments.runs, local), ("S3", arguments.s3_runs, remote)):
        said = ", ".join(f"{count:,} {what}" for what, count in sorted(done.items()))
        print(f"{place}: {runs} builds in parts, all of the same bytes: {said or 'none'}")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
