"""Random histories of datasets of every shape, compared with what stock zarr reads of the stores.

    python -m benchmarks.quiet_histories [--histories N] [--first N] [--shape NAME] [--served SHARE]

Each seed draws a dataset (one store with shards beside plain arrays, months along a leading or a
later dimension, runs that are stacked, stores side by side or below groups, series of them), and
how it is referenced: by a listing or inventories, at once or in parts, with globs, which change.
Stores grow, shrink, come, go and move, chunks are written and deleted, and in between run builds,
updates, relocations, imports into Icechunk and audits; a share of OUTs is on an S3 server on
loopback, which cuts some commands short. At each quiet moment, after a command that ended well, the
bytes of every chunk and the values that fsspec and zarr get through OUT are compared with what zarr
reads of the stores, an audit with both, and what an update says of its changes with the rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from random import Random

from instruments.recorder import recorder

from benchmarks.history_requests import be_quick
from benchmarks.quiet.course import SHAPES, Course, Wrong
from benchmarks.quiet.ending import end
from benchmarks.quiet.importing import import_now


def live(seed: int, folder: Path, served: float, shape: str) -> Course:
    """Let a history happen, to a good end; what went wrong is told."""
    (folder / "served/bucket").mkdir(parents=True)
    by_server = Random(seed).random() < served
    serving = recorder(folder / "served") if by_server else nullcontext()
    with serving as server:
        if server is not None:
            server.modified = None
        chosen = {each.__name__: each for each in SHAPES}.get(shape)
        one = Course(seed, folder, server, chosen)
        try:
            for _ in range(one.dice.randint(2, 7)):
                one.step()
                if one.agrees and one.dice.random() < 0.5:
                    import_now(one)
            end(one)
            import_now(one)
        except Exception as error:
            one.counts["WRONG"] += 1
            one.told.append(f"WRONG {error}")
            if not isinstance(error, Wrong):
                one.told.append(traceback.format_exc())
    return one


def main() -> None:
    """Print how many histories ended well, and what happened in those that did not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shape", default="", choices=[each.__name__ for each in SHAPES])
    parser.add_argument("--served", type=float, default=0.3)
    parser.add_argument("--refusals", action="store_true", help="print what was refused, too")
    given = parser.parse_args()
    be_quick()
    began, counts, refused = time.monotonic(), Counter[str](), Counter[str]()
    for seed in range(given.first, given.first + given.histories):
        with tempfile.TemporaryDirectory() as folder:
            one = live(seed, Path(folder), given.served, given.shape)
        if one.counts["WRONG"]:
            print(f"seed {seed}:", *one.told, sep="\n  ", flush=True)
        else:
            print(f"seed {seed} ended well, {time.monotonic() - began:.0f} s", flush=True)
        counts += one.counts
        refused.update(one.refusals)
    if given.refusals:
        print(*(f"{times} x {text}" for text, times in refused.most_common()), sep="\n")
    print(
        f"{given.histories} histories from seed {given.first}, {counts['WRONG']} ended wrong, "
        f"{time.monotonic() - began:.0f} s"
    )
    print(", ".join(f"{what}: {count}" for what, count in sorted(counts.items())))
    sys.exit(1 if counts["WRONG"] else 0)


if __name__ == "__main__":
    main()
