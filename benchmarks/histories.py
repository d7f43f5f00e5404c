"""Random histories of OUT and its source on object storage, with kills, lost answers and 503s.

    python -m benchmarks.histories [--histories N] [--first N] [--imports SHARE] [--beside SHARE]

Each seed draws a store, or several that are joined, and what happens to it: it grows, shrinks, is
respelled, written anew, copied elsewhere; arrays come, go or get other chunks; stores come and go.
In between run the commands that go with it, as processes: killed with SIGKILL at a random write of
theirs, before or after it has taken place, with answers that are lost after writes, with bursts of
503, with a source that changes meanwhile, or with another command beside them, on this machine or
on two whose clocks differ. A share of them is imported into Icechunk repositories, whose branch
others move and whose garbage they collect. Source, OUT and REPO are on an S3 server on loopback,
which honours conditional writes or does not. After every write readers see rows that were true;
audits tell what is unfinished; every remedy that is printed is followed, and leads to the bytes of
a fresh build, with which the audit, stock readers and the repository agree.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from benchmarks.history import History, Wrong, history
from benchmarks.history_end import end
from benchmarks.history_requests import be_quick


def live(one: History) -> None:
    """Let a history happen, to a good end; raise Wrong, or what else went wrong."""
    for _ in range(one.dice.randint(3, 8)):
        one.step()
    end(one)


def main() -> None:
    """Print how many histories ended well, and what happened in those that did not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--imports", type=float, default=0.35)
    parser.add_argument("--beside", type=float, default=0.15)
    given = parser.parse_args()
    be_quick()
    began, wrong, counts = time.monotonic(), 0, Counter[str]()
    for seed in range(given.first, given.first + given.histories):
        with (
            tempfile.TemporaryDirectory() as folder,
            history(seed, Path(folder), given.imports, given.beside) as one,
        ):
            try:
                live(one)
                print(f"seed {seed} ended well, {time.monotonic() - began:.0f} s", flush=True)
            except Exception as error:
                wrong += 1
                print(f"seed {seed} ({one.server.conditions}): WRONG {error}", *one.told, sep="\n")
                if not isinstance(error, Wrong):
                    traceback.print_exc()
                sys.stdout.flush()
            counts += one.counts
    print(
        f"{given.histories} histories from seed {given.first}, {wrong} ended wrong, "
        f"{time.monotonic() - began:.0f} s"
    )
    print(", ".join(f"{what}: {count}" for what, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
