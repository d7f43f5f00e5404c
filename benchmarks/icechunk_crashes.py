"""Imports into Icechunk killed with SIGKILL at every named step, then resumed.

    python -m benchmarks.icechunk_crashes [--moments N] [--seed N]

Each run starts an import with ``publish`` in a process of its own that kills itself at one step:
before or after the repository is created, documents are put, references are set, chunks are
deleted, a commit, a branch made, moved or deleted. Then: readers of the branch see what was there
before or everything; the resumed import ends with the documents, references and values of an
undisturbed one, and with its history: no region is committed twice. Into a new repository, over an
earlier import whose source has grown, changed and lost chunks since, and over imports with the same
regions and then with others, between which a chunk was gone; each with OUT and REPO on a disk, and
in S3, on a server on loopback. With ``--moments`` instead N of each, twice each, at random moments
behind their steps: amid commits and writes.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from instruments.s3_server import S3Bucket, new_bucket, s3_server
from rich.console import Console
from rich.table import Table

import parchunk
from instruments import forked

#: How OUT and REPO are reached; None on the disk.
Options = dict[str, str] | None
#: Chunks of up to this many bytes become chunks of the repository: those of ``rain``.
INLINED = 64


@dataclass(frozen=True)
class Case:
    """An import to be disturbed: of ``out``, over the repository ``start`` where there is one.

    ``bucket`` is where ``out`` is and repositories are made, if not on the disk. ``steps`` are
    those of an undisturbed import, ``state`` is what the branch has after it, and ``before`` what
    it had.
    """

    source: Path
    out: str
    start: Path | None
    bucket: S3Bucket | None
    steps: list[str]
    before: Any
    state: Any


Make = Callable[[Path, S3Bucket | None], Case]


# The child ------------------------------------------------------------------------------------


def child(
    kill_at: int, steps_file: Path, out: str, repo: str, options: Options, after: float = 0.0
) -> None:
    """Import; note each step, and kill this process at the one of that number.

    Where it is to be ``after`` that, in seconds, this goes on meanwhile.
    """
    import icechunk
    from parchunk.icechunk_import import adapter

    icechunk.set_logs_filter("error")
    file = os.open(steps_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count = 0

    def step(name: str) -> None:
        nonlocal count
        os.write(file, (name + "\n").encode())
        if count == kill_at and after:
            threading.Timer(after, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        count += 1

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def noting(*args: Any, **kwargs: Any) -> Any:
            step(f"before {name}")
            result = call(*args, **kwargs)
            step(f"after {name}")
            return result

        return noting

    prepare = adapter.prepare
    adapter.prepare = lambda *args: noted("set", prepare(*args))
    for name, call in (("put", "put"), ("delete", "delete")):
        setattr(adapter, call, noted(name, getattr(adapter, call)))
    for name, owner, call in (
        ("create", icechunk.Repository, "create"),
        ("commit", icechunk.Session, "commit"),
        ("branch", icechunk.Repository, "create_branch"),
        ("publish", icechunk.Repository, "reset_branch"),
        ("clean up", icechunk.Repository, "delete_branch"),
    ):
        setattr(owner, call, noted(name, getattr(owner, call)))
    import_into(out, repo, options)


def import_into(out: str, repo: str, options: Options) -> parchunk.icechunk_import.ImportResult:
    """Import, to be published when all is in."""
    return parchunk.to_icechunk(
        out, repo, publish=True, output_options=options, repo_options=options
    )


def run_child(kill_at: int, folder: Path, out: str, repo: str, options: Options) -> list[str]:
    """Import in a process that kills itself at a step (-1: at none); return its steps."""
    started = forked.start(folder, child, kill_at, folder / "steps", out, repo, options)
    code, _, error = started.end()
    assert code == (0 if kill_at < 0 else -signal.SIGKILL), error
    return started.text("steps").splitlines()


# The cases ------------------------------------------------------------------------------------


def write_source(path: Path, steps: int) -> None:
    """Write two split arrays and a whole one, or lengthen the split ones that are there."""
    root = zarr.open_group(path, mode="a", zarr_format=3)
    if "air" not in root:
        names = ("time", "x")
        root.create_array("air", shape=(0, 40), chunks=(1, 20), dtype="f8", dimension_names=names)
        root.create_array("rain", shape=(0, 4), chunks=(2, 2), dtype="i2", dimension_names=names)
        height = root.create_array("height", shape=(40,), chunks=(20,), dtype="f8")
        height[...] = np.arange(40)
    for name in ("air", "rain"):
        old = root[name].shape[0]
        width = root[name].shape[1]
        root[name].resize((steps, width))
        root[name][old:] = np.arange(1, steps * width + 1).reshape(steps, width)[old:]


def build(source: Path, out: str, options: Options = None, region: int = 4) -> str:
    """Build references in regions of four steps."""
    plan = parchunk.plan(str(source), split="time", region=region, inline_threshold=INLINED)
    return parchunk.build(plan, out, output_options=options).url


def new_case(folder: Path, bucket: S3Bucket | None = None) -> Case:
    """Return an import of three regions into a new repository."""
    write_source(folder / "source", 12)
    return _case(folder, None, bucket)


def update_case(folder: Path, bucket: S3Bucket | None = None) -> Case:
    """Return an import over an earlier one, of a source that changed since."""
    source = folder / "source"
    write_source(source, 10)
    parchunk.to_icechunk(build(source, str(folder / "earlier")), str(folder / "start"))
    write_source(source, 16)
    root = zarr.open_group(source)
    root["air"][1] = -1
    root["rain"][1] = -1
    for key in ("air/c/2/0", "air/c/9/1", "rain/c/0/1"):
        (source / key).unlink()
    return _case(folder, folder / "start", bucket)


def regions_case(folder: Path, bucket: S3Bucket | None = None) -> Case:
    """Return an import over one with other regions, over one with the same as now.

    A chunk was gone in between, and another one is now.
    """
    source = folder / "source"
    chunk, aside = source / "air/c/5/0", folder / "aside"
    write_source(source, 12)
    for number, region in enumerate((4, 6)):
        out = build(source, str(folder / f"earlier{number}"), region=region)
        parchunk.to_icechunk(out, str(folder / "start"))
        if not number:
            chunk.rename(aside)
    aside.rename(chunk)
    (source / "air/c/8/1").unlink()
    return _case(folder, folder / "start", bucket)


def _case(folder: Path, start: Path | None, bucket: S3Bucket | None) -> Case:
    options = options_of(bucket)
    out = build(folder / "source", _place(folder / "out", bucket), options)
    repo = begin(start, folder / "undisturbed", bucket)
    before = None if start is None else state_of(repo, options)
    steps = run_child(-1, folder / "run", out, repo, options)
    state = state_of(repo, options)
    return Case(folder / "source", out, start, bucket, steps, before, state)


def options_of(bucket: S3Bucket | None) -> Options:
    """Return the options to reach a bucket."""
    return None if bucket is None else bucket.options


def begin(start: Path | None, repo: Path, bucket: S3Bucket | None) -> str:
    """Return where to import: ``repo``, or the folder of its name in the bucket.

    It holds what ``start`` does.
    """
    if start is not None:
        if bucket is None:
            shutil.copytree(start, repo)
        else:
            bucket.upload(start, _key(repo))
    return _place(repo, bucket)


def _place(path: Path, bucket: S3Bucket | None) -> str:
    return str(path) if bucket is None else f"s3://{bucket.name}/{_key(path)}"


def _key(path: Path) -> str:
    # the last two names tell runs apart
    return "/".join(path.parts[-2:])


def state_of(repo: str, options: Options) -> Any:
    """Return what readers of the branch get: documents, references, and what each commit was."""
    from parchunk.icechunk_import import adapter

    opened = parchunk.open_icechunk(repo, repo_options=options)
    session = opened.readonly_session("main")
    arrays = {}
    for name in ("air", "rain", "height"):
        document = adapter.get(session.store, f"{name}/zarr.json")
        if document is None:
            return None
        chunks: list[Any] = []
        rank = len(json.loads(document)["shape"])
        for held in adapter.held_chunks(session, f"/{name}", rank):
            nothing = [None] * len(held.indices)
            offsets, lengths = (
                nothing if column is None else column.tolist()
                for column in (held.offsets, held.lengths)
            )
            places = held.locations or nothing
            # of a chunk that is no reference only the place is told, and it is a new one each time
            chunks += [
                (tuple(index), place, *((offset, length) if place else ()))
                for index, place, offset, length in zip(
                    held.indices.tolist(), places, offsets, lengths, strict=True
                )
            ]
        arrays[name] = (json.loads(document), sorted(chunks))
    commits = [dict(commit.metadata) for commit in opened.ancestry(branch="main")]
    return arrays, commits


# The check ------------------------------------------------------------------------------------


def check(case: Case, folder: Path, kill_at: int) -> str:
    """Kill an import at a step, resume it and check all; return the step's name."""
    options = options_of(case.bucket)
    repo = begin(case.start, folder / "repo", case.bucket)
    steps = run_child(kill_at, folder / "run", case.out, repo, options)
    assert steps == case.steps[: kill_at + 1]
    _look(case, repo, steps)
    _resume(case, repo)
    return steps[-1]


def check_moments(case: Case, folder: Path, draw: random.Random, kills: int = 2) -> int:
    """Kill an import amid what it does, again and again; resume it and check all.

    Each is killed up to some thousandths of a second after one of its steps, both drawn. Returns
    how many were killed before they had ended.
    """
    options = options_of(case.bucket)
    repo = begin(case.start, folder / "repo", case.bucket)
    steps: list[str] = []
    killed = 0
    for number in range(kills):
        begun, after = draw.randrange(1, len(case.steps)), draw.uniform(0, 0.02)
        run = folder / f"run-{number}"
        # By itself: who looked at it from outside could come late.
        of = (begun - 1, run / "steps", case.out, repo, options, after)
        started = forked.start(run, child, *of)
        code, _, error = started.end()
        assert code in (0, -signal.SIGKILL), error
        killed += code != 0
        steps += started.text("steps").splitlines()
        _look(case, repo, steps)
    _resume(case, repo)
    return killed


def _look(case: Case, repo: str, steps: Sequence[str]) -> None:
    """Look as a reader does, where there is a repository."""
    if "after create" in steps or case.start is not None:
        now = state_of(repo, options_of(case.bucket))
        assert now in (case.before, case.state), "a reader could open a part"


def _resume(case: Case, repo: str) -> None:
    """Import once more, and check that all is as though nothing had happened."""
    options = options_of(case.bucket)
    result = import_into(case.out, repo, options)
    assert result.published
    assert state_of(repo, options) == case.state, "the resumed import differs"
    opened = parchunk.open_icechunk(repo, repo_options=options)
    assert set(opened.list_branches()) == {"main"}
    theirs = zarr.open_group(case.source, mode="r")
    ours = zarr.open_group(opened.readonly_session("main").store, mode="r")
    for name in ("air", "rain", "height"):
        assert np.array_equal(theirs[name][...], ours[name][...]), name
    assert import_into(case.out, repo, options).commits == ()


def kill_everywhere(make: Make, bucket: S3Bucket | None) -> collections.Counter[str]:
    """Kill an import at each of its steps; return how many of each name there were."""
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        case = make(Path(folder), bucket)
        for kill_at in range(len(case.steps)):
            with tempfile.TemporaryDirectory() as run:
                counts[check(case, Path(run), kill_at)] += 1
    return counts


def kill_at_moments(
    make: Make, bucket: S3Bucket | None, runs: int, seed: int
) -> collections.Counter[str]:
    """Kill as many imports at random moments, twice each; return how many were killed."""
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        case = make(Path(folder), bucket)
        for number in range(runs):
            draw = random.Random(f"{seed} {number}")
            with tempfile.TemporaryDirectory() as run:
                counts["a random moment"] += check_moments(case, Path(run), draw)
    return counts


def main() -> None:
    """Print how many imports were killed where, all of which resumed."""
    import icechunk

    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--moments", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    icechunk.set_logs_filter("error")
    kill = partial(kill_at_moments, runs=given.moments, seed=given.seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server:
        killed = {
            f"{what}, {where}": (kill if given.moments else kill_everywhere)(make, bucket)
            for where, bucket in (("disk", None), ("S3", new_bucket(server.endpoint)))
            for what, make in (
                ("new", new_case),
                ("update", update_case),
                ("regions", regions_case),
            )
        }
    total = sum(counts.total() for counts in killed.values())
    table = Table(
        title=f"icechunk {icechunk.__version__}: {total} imports killed and resumed to the same "
        f"content and history, {time.monotonic() - began:.0f} s",
        box=None,
        title_justify="left",
    )
    table.add_column("killed")
    for name in killed:
        table.add_column(name, justify="right")
    for step in dict.fromkeys(step for counts in killed.values() for step in counts):
        table.add_row(step, *(str(counts[step]) for counts in killed.values()))
    Console(width=100, highlight=False).print(table)


if __name__ == "__main__":
    main()
