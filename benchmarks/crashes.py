"""Builds killed with SIGKILL at every named step, and at random moments, then resumed.

    python -m benchmarks.crashes [--runs N] [--s3-runs N] [--seed N]

Each run starts a build in a process of its own that kills itself at one step (before or after a
write, a rename, a receipt, the root, the lease's release), or is killed from outside at a random
moment, some of them three times in a row. Then: no root that readers could open stands there, at
any time, unless everything is written; the resume lists nothing of finished partitions; it ends
with the bytes of an undisturbed build and leaves nothing temporary, no upload either. Runs onto S3
use ministack on loopback, which must be installed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from instruments.crash_process import Command, Step
from instruments.s3_server import new_bucket, s3_server
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.rules import HashFraction
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from rich.console import Console
from rich.table import Table

from benchmarks.crash_places import Folder, Place, Prefix
from instruments import crash_process

CHUNKS = 12_000
REGION = 3_000
KILLED = -signal.SIGKILL


def store() -> FormulaStore:
    """Return the store that is built: two split arrays, one with gaps, and a whole one."""
    return zarr_store(
        [
            ("t", (CHUNKS,), (1,), ("time",)),
            ("t_air", (CHUNKS,), (1,), ("time",)),
            ("x", (5,), (1,), ("x",)),
        ],
        present={"t_air": HashFraction(0.95)},
        extra={"t/stray.tmp": b"left behind"},
    )


@dataclass(frozen=True)
class Undisturbed:
    """A build that nothing happened to: its steps, partitions and what readers see of it."""

    steps: list[str]
    partitions: int
    present: int
    files: dict[str, bytes]


def seen_by_readers(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the root and all record files."""
    return {key: data for key, data in files.items() if not key.startswith(".parchunk/")}


def receipts_in(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the receipts."""
    return {k: data for k, data in files.items() if k.startswith(".parchunk/receipts/")}


def start(server: Server, place: Place, folder: Path, kill_at: Step | None = None) -> Command:
    """Start a build that kills itself at a step, or at none."""
    options = (f"endpoint={server.endpoint}", "region=us-east-1", "skip_signature=true")
    return crash_process.start(
        [
            *("build", f"s3://{server.bucket}", place.out, "--region", str(REGION), "--json"),
            *("--concurrency", "2", *(f"--store-option={option}" for option in options)),
            *place.arguments(),
        ],
        folder,
        kill_at,
    )


def undisturbed(place: Place, folder: Path) -> Undisturbed:
    """Build once, undisturbed."""
    with serve(store(), process=False) as server:
        build = start(server, place, folder / "undisturbed")
        code, said, error = build.end()
    assert code == 0, error
    files = place.files()
    present = json.loads(said)["present"]
    assert present == sum(array.count for array in store().arrays)
    assert not place.unfinished()
    return Undisturbed(build.steps, len(receipts_in(files)), present, seen_by_readers(files))


@dataclass
class Reader:
    """Looks at OUT all the time; ``problem`` says what is wrong with what it finds, or nothing."""

    place: Place
    problem: Callable[[], str]
    wrong: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Look once."""
        if found := self.problem():
            self.wrong.append(found)

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Look again and again meanwhile."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(self.place.pause):
                try:
                    self.look()
                except Exception as error:
                    self.wrong.append(f"a look failed: {error!r}")

        thread = threading.Thread(target=go_on, name="reader")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.look()
            assert not self.wrong, self.wrong


def part_of_a_store(place: Place, wanted: Undisturbed) -> str:
    """Say so when a store can be opened that is not whole."""
    if place.holds_root() and seen_by_readers(place.files()) != wanted.files:
        return "a part of a store was found"
    return ""


def kill(
    begin: Callable[[Path, Step | None], Command],
    folder: Path,
    kill_at: Step | None,
    moments: Sequence[float],
) -> str:
    """Let a command kill itself at a step, or kill it after some seconds, again and again.

    ``begin`` starts it with a folder of its own. Returns the name of the step.
    """
    for number, after in enumerate(moments or (None,)):
        killed = begin(folder / f"killed-{number}", kill_at)
        if after is not None:
            time.sleep(after)
            killed.kill()
        code, _, error = killed.end()
        assert code == KILLED or (moments and code == 0), error
        assert kill_at is None or kill_at.name in killed.steps
    return "a random moment" if kill_at is None else kill_at.name


def check(
    wanted: Undisturbed,
    place: Place,
    folder: Path,
    kill_at: Step | None = None,
    moments: Sequence[float] = (),
) -> str:
    """Kill a build at a step, or after some seconds (again and again); resume and check all.

    Returns the name of the step that it was killed at.
    """
    reader = Reader(place, partial(part_of_a_store, place, wanted))
    with serve(store(), latency=0.02 if moments else 0, process=False) as server, reader.looking():
        step = kill(partial(start, server, place), folder, kill_at, moments)
        files = place.files()
        done = receipts_in(files)
        server.reset()
        again = start(server, place, folder / "resumed")
        code, said, error = again.end()
        assert code == 0, error
        listed = {str(asked["prefix"]) for asked in server.lists() if not asked["delimiter"]}
    result = json.loads(said)
    assert result["partitions_built"] == wanted.partitions - len(done)
    assert result["present"] == wanted.present
    for array in store().arrays:
        mine = [key for key in done if key.split("/")[2] == array.name]
        if len(mine) == (1 if array.name == "x" else CHUNKS // REGION):
            assert f"{array.name}/" not in listed, f"{array.name} was done, and listed again"
    files = place.files()
    assert receipts_in(files).items() >= done.items(), "a receipt was written again"
    assert seen_by_readers(files) == wanted.files, "the resumed build differs"
    assert not place.unfinished(), f"left behind: {place.unfinished()}"
    return step


def steps_of(names: Sequence[str]) -> dict[str, list[Step]]:
    """Return every step by its name, given the names in the order in which they were noted."""
    return {
        name: [Step(name, number) for number in range(count)]
        for name, count in collections.Counter(names).items()
    }


def drawn(names: Sequence[str], runs: int, chance: random.Random) -> list[Step]:
    """Return steps to kill at: one of each name, and then each one, as far as they reach."""
    by_name = list(steps_of(names).values())
    steps = [step for those in by_name for step in those]
    chance.shuffle(steps)
    return [*map(chance.choice, by_name), *itertools.islice(itertools.cycle(steps), runs)][:runs]


class Job(Protocol):
    """What is killed: `undisturbed` and `check` of this module, or of one like it."""

    def undisturbed(self, place: Place, folder: Path) -> Any:
        """Do it once; the value has the ``steps`` that it took."""

    def check(
        self,
        wanted: Any,
        place: Place,
        folder: Path,
        kill_at: Step | None = None,
        moments: Sequence[float] = (),
    ) -> str:
        """Kill it, have it finished, and check all; return the name of the step."""


def kill_all(
    job: Job, make_place: Callable[[Path], Place], runs: int, chance: random.Random
) -> collections.Counter[str]:
    """Kill that many: three quarters at steps, the others at random moments."""
    killed: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = job.undisturbed(make_place(folder / "first"), folder)
        if runs - runs // 4 < (names := len(set(wanted.steps))):
            raise SystemExit(
                f"{runs} runs, of which every fourth is killed at a random moment, are too few for "
                f"{names} steps: give {-(-4 * names // 3)} or more, or 0"
            )
        for number, at in enumerate(drawn(wanted.steps, runs - runs // 4, chance)):
            there = folder / f"step-{number}"
            killed[job.check(wanted, make_place(there / "out"), there, at)] += 1
            shutil.rmtree(there)
        for number in range(runs // 4):
            there = folder / f"moment-{number}"
            times = 3 if number % 3 == 2 else 1
            moments = [chance.uniform(0.05, 1.2) for _ in range(times)]
            killed[job.check(wanted, make_place(there / "out"), there, moments=moments)] += 1
            shutil.rmtree(there)
    assert killed.keys() >= set(wanted.steps), "a step was never killed at"
    return killed


def kill_and_print(job: Job, what: str, runs: int, s3_runs: int) -> None:
    """Kill on a disk and on S3, as the command line asks; print how often, and where."""
    parser = argparse.ArgumentParser(description=f"Kill {what} at every step, and resume them.")
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--s3-runs", type=int, default=s3_runs)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    began = time.monotonic()
    local: collections.Counter[str] = collections.Counter()
    remote: collections.Counter[str] = collections.Counter()
    if arguments.runs:
        local = kill_all(job, Folder, arguments.runs, chance)
    if arguments.s3_runs:
        with tempfile.TemporaryDirectory() as name, s3_server(Path(name)) as server:
            remote = kill_all(
                job, lambda _: Prefix(new_bucket(server.endpoint)), arguments.s3_runs, chance
            )
    print(
        f"{local.total()} {what} onto a disk and {remote.total()} onto S3 killed and resumed to "
        f"the same bytes, {time.monotonic() - began:.0f} s"
    )
    table = Table(box=None)
    table.add_column("killed at")
    for place in ("disk", "S3"):
        table.add_column(place, justify="right")
    for name in sorted(local | remote):
        table.add_row(name, str(local[name]), str(remote[name]))
    Console(width=100, highlight=False).print(table)


def main() -> None:
    """Print how many builds were killed where, all of which resumed."""
    kill_and_print(sys.modules[__name__], "builds", runs=300, s3_runs=200)


if __name__ == "__main__":
    main()
