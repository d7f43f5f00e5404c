"""Updates of sources that became shorter, killed at random steps, while the source goes on.

The long form is drawn with ``PARCHUNK_EXAMPLES=20``: `tests/examples.py`.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from instruments.crash_process import Step
from tests.examples import examples
from tests.many_stores import Made, write

import parchunk
from instruments import crash_process

Published = Callable[[Path], dict[str, bytes]]
Reader = Callable[..., zarr.Group]

#: Elements along time at first, and what a source may have later; regions are of 8.
LENGTH, LENGTHS = 26, (3, 8, 13, 21, 26, 30)


def values(start: int, stop: int) -> np.ndarray[Any, Any]:
    """Return what elements hold, wherever they are stored and whenever they were written."""
    return 1 + np.arange(start * 6, stop * 6, dtype="i4").reshape(-1, 6)


def resized(path: Path, start: int, stop: int, shards: bool) -> Path:
    """Write a store of the elements ``start`` to ``stop``, or let it have so many from now on."""
    if not path.exists():
        lengths = values(start, stop)
        arrays = {
            "air": Made(lengths, ("t", "x"), (2, 3), {}, (4, 6) if shards else None),
            "rain": Made(lengths[:, 0], ("t",), (4,)),
            "t": Made(np.arange(start, stop), ("t",)),
        }
        return write(path, arrays, 3)
    for name, of in (("air", values(start, stop)), ("rain", values(start, stop)[:, 0]),
                     ("t", np.arange(start, stop))):  # fmt: skip
        array = zarr.open_array(path / name, mode="r+")
        array.resize(of.shape)
        array[...] = of
    return path


class Scenario:
    """One store, or two that follow each other, the second of which changes its length."""

    def __init__(self, folder: Path, many: bool, shards: bool) -> None:
        self.paths = [folder / "a", folder / "b"][: 1 + many]
        self.first = 8 if many else 0
        self.shards = shards
        if many:
            resized(self.paths[0], 0, self.first, shards)
        self.resize(LENGTH)

    def resize(self, length: int) -> None:
        resized(self.paths[-1], self.first, max(length, self.first + 1), self.shards)

    def build(self, out: Path) -> Path:
        given: Any = [str(path) for path in self.paths]
        how = {"concat": "t"} if self.first else {}
        if not how:
            given = given[0]
        parchunk.build(parchunk.plan(given, **how, split="t", region=8, record_size=4), out)
        return out


def update(out: Path, folder: Path, kill_at: Step | None = None) -> tuple[list[str], bool]:
    """Update in a process of its own; return its steps, and whether it was killed."""
    asked = ["update", str(out), "--allow-shrink", "--no-progress"]
    command = crash_process.start(asked, folder, kill_at)
    code, _, error = command.end()
    assert code in (0, -signal.SIGKILL if kill_at else 0), error
    return command.steps, code != 0


def seen(out: Path, open_references: Reader) -> int | None:
    """Return how long the references are for stock readers; None while they find none."""
    if not (out / ".zmetadata").exists():
        return None
    root = open_references(out)
    length = int(root["air"].shape[0])
    assert root["rain"].shape == (length,)
    return length


@pytest.mark.slow
@pytest.mark.parametrize(
    ("many", "shards"), [(False, False), (False, True), (True, False)], ids=str
)
def test_killed_anywhere_it_ends_as_a_fresh_build(
    tmp_path: Path, published: Published, open_references: Reader, many: bool, shards: bool
) -> None:
    """Killed once or twice, between which the source may grow again, or become shorter still."""
    source = Scenario(tmp_path / "in", many, shards)
    first = source.build(tmp_path / "first")
    for seed in range(examples(1)):
        draw = random.Random(f"{seed} {many} {shards}")
        folder = tmp_path / f"{seed}"
        lengths = [draw.choice([n for n in LENGTHS if n < LENGTH])]
        source.resize(lengths[0])
        whole = shutil.copytree(first, folder / "whole")
        steps, _ = update(whole, folder / "said")
        steps = [name for name in steps if "rename" not in name and "lease" not in name]
        out = shutil.copytree(first, folder / "out")
        allowed = {LENGTH, None}
        for again in range(draw.choice((1, 1, 2))):
            at = draw.randrange(len(steps))
            kill_at = Step(steps[at], steps[:at].count(steps[at]))
            allowed |= {max(length, source.first + 1) for length in lengths}
            _, killed = update(out, folder / f"killed{again}", kill_at)
            assert killed or again, "it was to do what the undisturbed one did"
            assert seen(out, open_references) in allowed, (seed, kill_at)
            if draw.random() < 0.5:
                lengths.append(draw.choice(LENGTHS))
                source.resize(lengths[-1])
        update(out, folder / "finished")
        source.build(folder / "fresh")
        assert published(out) == published(folder / "fresh"), (seed, lengths)
        found = open_references(out)
        expected = values(0, max(lengths[-1], source.first + 1))
        np.testing.assert_array_equal(found["air"][...], expected)
        np.testing.assert_array_equal(found["rain"][...], expected[:, 0])
        assert parchunk.audit(out).exit_code == 0, (seed, lengths)
        # Killed when all files there were deleted, it leaves empty folders.
        assert not [path for path in (out / ".parchunk/next").rglob("*") if path.is_file()]
        source.resize(LENGTH)
        shutil.rmtree(folder)
