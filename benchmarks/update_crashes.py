"""Updates killed with SIGKILL at every named step, and at random moments, then run again.

    python -m benchmarks.update_crashes [--runs N] [--s3-runs N] [--seed N]

Each run lays out the references of a store, lets the store grow, fills its gaps and rewrites all of
its chunks, and starts an update of what came and of region 0, in a process of its own that kills
itself at one step (before or after a write or a delete), or is killed from outside at a random
moment. A reader looks all the time: it finds the old root with every record file as it was or as it
will be, or the new root with all of them new. The next update, which is not told of region 0 again,
ends with the bytes of an undisturbed one, leaves nothing temporary, and builds nothing else; the
audit finds nothing. Runs onto S3 use ministack on loopback, which must be installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from instruments.crash_process import Command, Step
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.rules import HashedSizes, LeadingRange
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store

from benchmarks.crash_places import Place
from benchmarks.crashes import (
    REGION,
    Reader,
    kill,
    kill_and_print,
    seen_by_readers,
    start,
)
from instruments import crash_process

#: Chunks of each array before and after: two regions were full, the third was not.
BEFORE, AFTER = 2 * REGION + 1_000, 4 * REGION + 500


#: What an update is asked beyond what it looks for itself.
ASKED = ("--regions", "0")


def store(chunks: int) -> FormulaStore:
    """Return a store whose arrays have that many chunks; before it grows, with gaps in one."""
    early = chunks == BEFORE
    return zarr_store(
        [
            ("t", (chunks,), (1,), ("time",)),
            ("t_air", (chunks,), (1,), ("time",)),
            ("x", (5,), (1,), ("x",)),
        ],
        size=HashedSizes(seed=0 if early else 1),
        # The gap is in region 1, which was as long as it is now.
        present={"t_air": LeadingRange(0, 2 * REGION - 7)} if early else None,
    )


@dataclass(frozen=True)
class Undisturbed:
    """References before and after an update that nothing happened to, and its steps."""

    before: dict[str, bytes]
    after: dict[str, bytes]
    steps: list[str]


def start_update(
    server: Server,
    place: Place,
    folder: Path,
    kill_at: Step | None = None,
    asked: Sequence[str] = ASKED,
) -> Command:
    """Start an update that kills itself at a step, or at none."""
    return crash_process.start(
        [
            *("update", place.out, "--json", "--concurrency", "2", *asked),
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


def neither_old_nor_new(place: Place, wanted: Undisturbed) -> str:
    """Say what a reader finds that is not of the old references, or of the new ones."""
    # The root first: what it promises must be there from then on.
    root = place.files().get(".zmetadata")
    found = seen_by_readers(place.files())
    old, new = seen_by_readers(wanted.before), wanted.after
    if root == new[".zmetadata"]:
        return "" if found == new else "the new root, and files that are not new"
    if root != old[".zmetadata"]:
        return "another root, or none"
    odd = [
        key
        for key, data in old.items()
        if key != ".zmetadata" and found.get(key) not in (data, new[key])
    ]
    return f"the old root, and {odd[0]} neither old nor new" if odd else ""


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
    reader = Reader(place, partial(neither_old_nor_new, place, wanted))
    with serve(store(AFTER), latency=latency, process=False) as server, reader.looking():
        step = kill(partial(start_update, server, place), folder, kill_at, moments)
        kept = ".parchunk/update.json" in place.files()
        code, said, error = start_update(
            server, place, folder / "again", asked=() if kept else ASKED
        ).end()
        assert code == 0, error
    result = json.loads(said)
    assert result["present"] == 2 * AFTER + 5
    # Of each array the region that was named, the one that was not full and the two that came; the
    # one with a gap; and the small array.
    assert result["partitions_built"] <= 2 * 4 + 1 + 1, "a region that was full was built again"
    audited = crash_process.start(
        ["audit", place.out, *place.arguments()], folder / "audited"
    ).end()
    assert audited[0] == 0, audited[1]
    assert seen_by_readers(place.files()) == wanted.after, "the update that was resumed differs"
    assert not place.unfinished(), f"left behind: {place.unfinished()}"
    return step


def main() -> None:
    """Print how many updates were killed where, all of which were finished by the next."""
    kill_and_print(sys.modules[__name__], "updates", runs=80, s3_runs=40)


if __name__ == "__main__":
    main()
