"""Updates killed with SIGKILL at every named step, and at random moments, then run again.

    python -m benchmarks.update_crashes [--runs N] [--s3-runs N] [--seed N]

Each run lays out the references of a store, lets the store grow, and starts an update in a process
of its own that kills itself at one step, or is killed from outside at a random moment. A reader
looks all the time: it finds the old root with every record file as it was or as it will be, or the
new root with all of them new. The next update ends with the bytes of an undisturbed one, leaves
nothing temporary, and builds no region that was full. Runs onto S3 use ministack on
loopback, which must be installed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import crash_process
from benchmarks.crash_process import Command, Step
from benchmarks.crashes import (
    KILLED,
    REGION,
    Folder,
    Place,
    Prefix,
    drawn,
    seen_by_readers,
    start,
)
from benchmarks.s3_server import new_bucket, s3_server
from benchmarks.synthetic.formula import FormulaStore
from benchmarks.synthetic.server import Server, serve
from benchmarks.synthetic.zarr_stores import zarr_store

#: Chunks of each array before and after: two regions were full, the third was not.
BEFORE, AFTER = 2 * REGION + 1_000, 4 * REGION + 500


def store(chunks: int) -> FormulaStore:
    """Return a store whose arrays have that many chunks."""
    return zarr_store(
        [
            ("t", (chunks,), (1,), ("time",)),
            ("t_air", (chunks,), (1,), ("time",)),
            ("x", (5,), (1,), ("x",)),
        ]
    )


@dataclass(frozen=True)
class Undisturbed:
    """References before and after an update that nothing happened to, and its steps."""

    before: dict[str, bytes]
    after: dict[str, bytes]
    steps: list[str]


def start_update(
    server: Server, place: Place, folder: Path, kill_at: Step | None = None
) -> Command:
    """Start an update that kills itself at a step, or at none."""
    return crash_process.start(
        [
            *("update", place.out, "--json", "--concurrency", "2"),
            f"--store-option=endpoint={server.endpoint}",
            *place.arguments(),
        ],
        folder,
        kill_at,
    )


def undisturbed(place: Place, folder: Path) -> Undisturbed:
    """Build and update once, undisturbed."""
    with serve(store(BEFORE), process=False) as server:
        code, _, error = start(server, place, folder / "built").end()
        assert code == 0, error
    before = place.files()
    with serve(store(AFTER), process=False) as server:
        update = start_update(server, place, folder / "updated")
        code, said, error = update.end()
        assert code == 0, error
    assert json.loads(said)["present"] == 2 * AFTER + 5
    assert not place.unfinished()
    return Undisturbed(before, seen_by_readers(place.files()), update.steps)


@dataclass
class Reader:
    """Looks at the references all the time."""

    place: Place
    wanted: Undisturbed
    wrong: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Look once."""
        # The root first: what it promises must be there from then on.
        root = self.place.files().get(".zmetadata")
        found = seen_by_readers(self.place.files())
        old, new = seen_by_readers(self.wanted.before), self.wanted.after
        if root == new[".zmetadata"]:
            if found != new:
                self.wrong.append("the new root, and files that are not new")
        elif root == old[".zmetadata"]:
            for key, data in old.items():
                if key != ".zmetadata" and found.get(key) not in (data, new[key]):
                    self.wrong.append(f"the old root, and {key} neither old nor new")
        else:
            self.wrong.append("another root, or none")

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Look again and again meanwhile."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(self.place.pause):
                self.look()

        thread = threading.Thread(target=go_on, name="reader")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.look()
            assert not self.wrong, self.wrong


def check(
    wanted: Undisturbed,
    place: Place,
    folder: Path,
    kill_at: Step | None = None,
    moments: Sequence[float] = (),
) -> str:
    """Kill an update at a step, or after some seconds (again and again); run it again; check all.

    Returns the name of the step that it was killed at.
    """
    place.lay(wanted.before)
    latency = 0.02 if moments else 0
    reader = Reader(place, wanted)
    with serve(store(AFTER), latency=latency, process=False) as server, reader.looking():
        step = "a random moment" if kill_at is None else kill_at.name
        for number, after in enumerate(moments or (None,)):
            killed = start_update(server, place, folder / f"killed-{number}", kill_at)
            if after is not None:
                time.sleep(after)
                killed.kill()
            code, _, error = killed.end()
            assert code == KILLED or (moments and code == 0), error
        code, said, error = start_update(server, place, folder / "again").end()
        assert code == 0, error
    result = json.loads(said)
    assert result["present"] == 2 * AFTER + 5
    # Of each array the region that was not full and the two that came; and the small one.
    assert result["partitions_built"] <= 2 * 3 + 1, "a region that was full was built again"
    assert seen_by_readers(place.files()) == wanted.after, "the update that was resumed differs"
    assert not place.unfinished(), f"left behind: {place.unfinished()}"
    return step


def kill_all(
    make_place: Callable[[Path], Place], runs: int, chance: random.Random
) -> collections.Counter[str]:
    """Kill that many updates: three quarters at steps, the others at random moments."""
    killed: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = undisturbed(make_place(folder / "first"), folder)
        for number, at in enumerate(drawn(wanted.steps, runs - runs // 4, chance)):
            there = folder / f"step-{number}"
            killed[check(wanted, make_place(there / "out"), there, at)] += 1
            shutil.rmtree(there)
        for number in range(runs // 4):
            there = folder / f"moment-{number}"
            moments = [chance.uniform(0.05, 1.2) for _ in range(3 if number % 3 == 2 else 1)]
            killed[check(wanted, make_place(there / "out"), there, moments=moments)] += 1
            shutil.rmtree(there)
    assert killed.keys() >= set(wanted.steps), "a step was never killed at"
    return killed


def main() -> None:
    """Print how many updates were killed where, all of which were finished by the next."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=80)
    parser.add_argument("--s3-runs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    local: collections.Counter[str] = collections.Counter()
    remote: collections.Counter[str] = collections.Counter()
    if arguments.runs:
        local = kill_all(Folder, arguments.runs, chance)
    if arguments.s3_runs:
        with tempfile.TemporaryDirectory() as name, s3_server(Path(name)) as server:
            remote = kill_all(
                lambda _: Prefix(new_bucket(server.endpoint)), arguments.s3_runs, chance
            )
    print(
        f"{local.total()} updates on a disk and {remote.total()} on S3 killed, and finished by the "
        "next to the same bytes"
    )
    table = Table(box=None)
    table.add_column("killed at")
    for place in ("disk", "S3"):
        table.add_column(place, justify="right")
    for name in sorted(local | remote):
        table.add_row(name, str(local[name]), str(remote[name]))
    Console(width=100, highlight=False).print(table)


if __name__ == "__main__":
    main()
