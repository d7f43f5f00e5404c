"""Killed at any moment, a build goes on where it was and comes to the same bytes."""

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.synthetic.formula import HashFraction, zarr_store
from benchmarks.synthetic.server import serve

import parchunk
from parchunk.output import Output
from parchunk.receipts import read_receipts

STORE = zarr_store(
    [
        ("v", (120, 500), (1, 1), ("time", "x")),
        ("w", (120, 100), (1, 1), ("time", "x")),
        ("time", (120,), (120,), ("time",)),
    ],
    present=HashFraction(0.95),
)
ARGUMENTS = ("--region", "10", "--record-size", "1000", "--concurrency", "2", "--workers", "1")


@pytest.mark.slow
def test_sigkill_at_random_moments(
    tmp_path: Path,
    parchunk_process: Callable[..., subprocess.Popen[str]],
    published: Callable[[Path], dict[str, bytes]],
) -> None:
    moments = random.Random(7)
    with serve(STORE, latency=0.02) as server:
        options = [
            f"--store-option={option}"
            for option in (f"endpoint={server.endpoint}", "skip_signature=true", "region=x")
        ]

        def start(out: Path) -> subprocess.Popen[str]:
            return parchunk_process("build", "s3://formula", out, *ARGUMENTS, *options)

        whole = start(tmp_path / "whole")
        _, errors = whole.communicate(timeout=60)
        assert whole.returncode == 0, errors
        wanted = published(tmp_path / "whole")
        assert ".zmetadata" in wanted
        out = tmp_path / "killed"
        opened = Output.open(str(out))
        # Moments within the run proper: from the first thing that is written on.
        for kill in range(6):
            process = start(out)
            began = time.monotonic()
            while not (out / ".parchunk").exists() and time.monotonic() - began < 30:
                time.sleep(0.005)
            time.sleep(moments.uniform(0, 0.5) if kill else 0)
            process.kill()
            process.communicate(timeout=30)
            if process.returncode == 0:
                break
            assert not (out / ".zmetadata").exists()
            if (out / ".parchunk" / "plan.json").exists():
                with pytest.raises(parchunk.InputError, match="unfinished"):
                    parchunk.open_dataset(str(out))
        plan = parchunk.plan(
            "s3://formula",
            region=10,
            record_size=1000,
            store_options={"endpoint": server.endpoint, "skip_signature": "true", "region": "x"},
        )
        done = set(read_receipts(opened, plan)) if out.exists() else set()
        server.reset()
        result: Any = parchunk.build(plan, str(out))
        listed = [e for e in server.lists() if e["delimiter"] is None]
        for array in ("v", "w", "time"):
            mine = {region for name, region in done if name == array}
            regions = {p.region for p in plan.partitions() if p.array == array}
            if mine == regions:
                assert not [e for e in listed if e["prefix"] == f"{array}/"]
        assert result.built == len(list(plan.partitions())) - len(done)
    assert published(out) == wanted
    assert not (out / ".parchunk" / "tmp").exists()


def test_a_build_killed_before_its_plan_was_written(tmp_path: Path) -> None:
    source = tmp_path / "s"
    for key, body in zarr_store([("v", (3,), (1,), ("x",))]).documents().items():
        (source / key).parent.mkdir(parents=True, exist_ok=True)
        (source / key).write_bytes(body)
    out = tmp_path / "refs"
    (out / ".parchunk" / "tmp").mkdir(parents=True)
    (out / ".parchunk" / "tmp" / "0123").write_bytes(b"half a plan")
    parchunk.build(parchunk.plan(str(source)), str(out))
    assert (out / ".zmetadata").exists()
    for name in ("theirs", ".parchunk/theirs"):
        other = tmp_path / name.replace("/", "-") / name
        other.parent.mkdir(parents=True)
        other.write_text("theirs")
        with pytest.raises(parchunk.InputError, match="did not write"):
            parchunk.build(parchunk.plan(str(source)), str(tmp_path / name.replace("/", "-")))
