"""Builds killed with SIGKILL at every named step, and at random moments, then resumed.

    python -m benchmarks.crashes [--runs N] [--seed N]

Each run starts a build in a process of its own that kills itself at one step (before or after a
write, a rename, a receipt, the root), or is killed from outside at a random moment. Then: no root
that readers could open stands there unless everything is written; the resume lists nothing of
finished partitions; it ends with the bytes of an undisturbed build and leaves nothing temporary.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.synthetic.formula import FormulaStore, zarr_store
from benchmarks.synthetic.server import Server, serve

ROOT = Path(__file__).parents[1]
CHUNKS = 12_000
REGION = 3_000


def store() -> FormulaStore:
    """Return the store that is built: two split arrays and a whole one."""
    return zarr_store(
        [
            ("t", (CHUNKS,), (1,), ("time",)),
            ("t_air", (CHUNKS,), (1,), ("time",)),
            ("x", (5,), (1,), ("x",)),
        ]
    )


@dataclass(frozen=True)
class Undisturbed:
    """A build that nothing happened to: its steps, partitions and what readers see of it."""

    steps: list[str]
    partitions: int
    files: dict[str, bytes]


# The child ------------------------------------------------------------------------------------


def step_of(path: str) -> str:
    """Return what a test calls the write of ``path``."""
    name = path.rsplit("/", 1)[-1]
    if "/receipts/" in path:
        return "receipt"
    if name.startswith("refs."):
        return "record file"
    return {".zmetadata": "root", "plan.json": "plan", "lease.json": "lease"}.get(name, name)


def child(kill_at: int, steps_file: str, arguments: list[str]) -> None:
    """Run the command line; note each step, and kill this process at the one of that number."""
    from parchunk.cli.main import main
    from parchunk.output import Output

    lock_file = os.open(steps_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count = 0

    def step(name: str) -> None:
        nonlocal count
        os.write(lock_file, (name + "\n").encode())
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        count += 1

    put, put_if, replace = Output.put, Output.put_if, Path.replace

    def noted_put(self: Output, path: str, data: Any) -> None:
        step(f"before {step_of(path)}")
        put(self, path, data)
        step(f"after {step_of(path)}")

    def noted_put_if(self: Output, path: str, data: bytes, seen: str | None) -> str | None:
        step(f"before {step_of(path)}")
        found = put_if(self, path, data, seen)
        step(f"after {step_of(path)}")
        return found

    def noted_replace(self: Path, target: Any) -> Path:
        step("before rename")
        found = replace(self, target)
        step("after rename")
        return found

    Output.put, Output.put_if, Path.replace = noted_put, noted_put_if, noted_replace  # type: ignore[method-assign,assignment]
    main(arguments)


def start(
    server: Server, out: str, steps: Path, kill_at: int = -1, more: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Start a build that kills itself at a step (-1: at none)."""
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.crashes", "--child", str(kill_at), str(steps)),
            *("build", f"s3://{server.bucket}", out, "--region", str(REGION), "--json"),
            *("--concurrency", "2", "--store-option", f"endpoint={server.endpoint}"),
            *("--store-option=region=us-east-1", "--store-option=skip_signature=true", *more),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


# The checks -----------------------------------------------------------------------------------


def seen_by_readers(out: Path) -> dict[str, bytes]:
    """Return the root and all record files."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.relative_to(out).parts[0] != ".parchunk"
    }


def undisturbed(folder: Path) -> Undisturbed:
    """Build once, undisturbed, into a local folder."""
    with serve(store(), process=False) as server:
        build = start(server, str(folder / "out"), folder / "steps")
        said, error = build.communicate(timeout=120)
    assert build.returncode == 0, error
    steps = (folder / "steps").read_text().splitlines()
    result = json.loads(said)
    assert result["present"] == 2 * CHUNKS + 5
    receipts = list((folder / "out/.parchunk/receipts").rglob("*.json"))
    return Undisturbed(steps, len(receipts), seen_by_readers(folder / "out"))


def check_local(wanted: Undisturbed, folder: Path, kill_at: int, after: float = 0.0) -> str:
    """Kill a build at a step, or ``after`` seconds when that is -1; resume and check all.

    Returns the name of the step that it was killed at.
    """
    out, steps = folder / "out", folder / "steps"
    with serve(store(), latency=0.02 if kill_at < 0 else 0, process=False) as server:
        first = start(server, str(out), steps, kill_at)
        if kill_at < 0:
            time.sleep(after)
            first.kill()
        _, error = first.communicate(timeout=120)
        assert first.returncode in (-signal.SIGKILL, 0), error
        seen = steps.read_text().splitlines() if steps.exists() else ["start"]
        if (out / ".zmetadata").exists():
            assert seen_by_readers(out) == wanted.files, "a reader could open a part"
        done = {
            path.relative_to(out / ".parchunk/receipts").as_posix(): path.stat().st_mtime_ns
            for path in out.glob(".parchunk/receipts/**/*.json")
        }
        server.reset()
        again = start(server, str(out), folder / "again")
        said, error = again.communicate(timeout=120)
        assert again.returncode == 0, error
        listed = [asked for asked in server.lists() if asked["prefix"]]
    result = json.loads(said)
    check_resume(wanted, result, len(done), listed)
    for path, modified in done.items():
        assert (out / ".parchunk/receipts" / path).stat().st_mtime_ns == modified
    assert seen_by_readers(out) == wanted.files, "the resumed build differs"
    left = {path.name for path in (out / ".parchunk").iterdir()}
    assert left == {"plan.json", "receipts"}, f"left behind: {left}"
    return seen[-1] if seen else "start"


def check_resume(
    wanted: Undisturbed, result: dict[str, Any], done: int, listed: list[dict[str, Any]]
) -> None:
    """Check that finished partitions were not built again, and not listed when all were."""
    assert result["partitions_built"] == wanted.partitions - done
    assert result["present"] == 2 * CHUNKS + 5
    if done == wanted.partitions:
        assert result["list_requests"] == 0, listed


def undisturbed_s3(folder: Path, bucket: Any, prefix: str) -> Undisturbed:
    """Build once, undisturbed, onto S3."""
    folder.mkdir()
    more = tuple(f"--output-option={key}={value}" for key, value in bucket.options.items())
    with serve(store(), process=False) as server:
        build = start(server, f"s3://{bucket.name}/{prefix}", folder / "steps", more=more)
        _, error = build.communicate(timeout=120)
    assert build.returncode == 0, error
    steps = (folder / "steps").read_text().splitlines()
    return Undisturbed(steps, 0, s3_files(bucket, prefix))


def s3_files(bucket: Any, prefix: str) -> dict[str, bytes]:
    """Return everything below a prefix of a bucket."""
    found = bucket.store()
    return {
        entry["path"][len(prefix) + 1 :]: bytes(found.get(entry["path"]).bytes())
        for page in found.list(prefix)
        for entry in page
    }


def check_s3(wanted: Undisturbed, folder: Path, bucket: Any, kill_at: int) -> str:
    """Kill a build onto S3 at a step, resume it and check all."""
    more = tuple(f"--output-option={key}={value}" for key, value in bucket.options.items())
    out = f"s3://{bucket.name}/refs"
    with serve(store(), process=False) as server:
        first = start(server, out, folder / "steps", kill_at, more)
        _, error = first.communicate(timeout=120)
        assert first.returncode in (-signal.SIGKILL, 0), error
        seen = (folder / "steps").read_text().splitlines()
        files = s3_files(bucket, "refs")
        visible = {k: v for k, v in files.items() if not k.startswith(".parchunk/")}
        if ".zmetadata" in files:
            assert visible == wanted.files, "a reader could open a part"
        done = sum(key.startswith(".parchunk/receipts/") for key in files)
        server.reset()
        again = start(server, out, folder / "again", more=more)
        said, error = again.communicate(timeout=120)
        assert again.returncode == 0, error
        listed = server.lists()
    check_resume(wanted, json.loads(said), done, listed)
    files = s3_files(bucket, "refs")
    assert {k: v for k, v in files.items() if not k.startswith(".parchunk/")} == wanted.files
    own = {key for key in files if key.startswith(".parchunk/")}
    assert all(key == ".parchunk/plan.json" or "/receipts/" in key for key in own), own
    return seen[-1]


def main() -> None:
    """Print how many runs were killed where, all of which resumed."""
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    killed: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        wanted = undisturbed(Path(folder))
    for run in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            if run % 4 == 3:
                check_local(wanted, Path(folder), -1, chance.uniform(0.3, 3.0))
                killed["a random moment"] += 1
            else:
                at = run if run < len(wanted.steps) else chance.randrange(len(wanted.steps))
                killed[check_local(wanted, Path(folder), at)] += 1
    table = Table(
        title=f"{arguments.runs} builds killed and resumed to the same bytes, "
        f"{time.monotonic() - began:.0f} s",
        box=None,
        title_justify="left",
    )
    table.add_column("killed at")
    table.add_column("builds", justify="right")
    for name, count in sorted(killed.items()):
        table.add_row(name, str(count))
    Console(width=100, highlight=False).print(table)


if __name__ == "__main__":
    main()
