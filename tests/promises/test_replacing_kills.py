"""Updates that put other references in place of those that are there, killed at every step.

Whoever opens OUT sees all that was or all that is; while one takes the place of the other, nobody
can open it. The next update, or a build, finishes it.
"""

import json
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from instruments.crash_process import Step
from tests.made import named

import parchunk
from instruments import crash_process
from parchunk.building.effort import Effort
from parchunk.building.tasks import do_task, tasks_of
from parchunk.cli.main import run
from parchunk.errors import InputError
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output
from parchunk.out.output import PLAN, PREPARED_ROOT, ROOT
from parchunk.out.plan_file import load_plan
from parchunk.planning.source_again import open_source

Published = Callable[[Path], dict[str, bytes]]

STORE = {"air": ((20, 6), (2, 3)), "rain": ((20, 6), (4, 6)), "snow": ((20, 5), (1, 1))}


def write(source: Path, name: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    root = zarr.open_group(source, mode="a", zarr_format=3)
    array = root.create_array(
        name, shape=shape, chunks=chunks, dtype="i4", fill_value=-1, overwrite=True,
        **named(["t", f"x of {name}"], 3),
    )  # fmt: skip
    array[...] = 1 + np.arange(array.size).reshape(shape)


def change(source: Path) -> None:
    """Let `air` grow along x, `rain` be chunked otherwise, `snow` go, and `hail` come."""
    array = zarr.open_array(source / "air", mode="r+")
    array.resize((20, 9))
    array[:, 6:] = -5
    write(source, "rain", (20, 6), (2, 6))
    shutil.rmtree(source / "snow")
    write(source, "hail", (20, 2), (2, 1))


def references(out: Path) -> dict[str, Any]:
    """Return what stock fsspec sees: each array's shape, and where each of its chunks lies.

    Not values: what was rewritten is not there any more.
    """
    seen = fsspec.filesystem("reference", fo=str(out), skip_instance_cache=True).references
    root = json.loads(seen[".zmetadata"])["metadata"]
    found: dict[str, Any] = {}
    for key, document in root.items():
        if key.endswith("/.zarray"):
            name, shape, chunks = key[: -len("/.zarray")], document["shape"], document["chunks"]
            grid = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
            places = [seen[f"{name}/{'.'.join(map(str, at))}"] for at in np.ndindex(*grid)]
            found[name] = shape, places
    return found


#: Steps in the middle of which an update is killed, in their order.
TELLING = (
    "before record file",
    "after receipt",
    "before delete root",
    "before cleared",
    "before move record file",
    "before move plan",
    "before move root",
    "after move root",
)


@pytest.fixture
def states(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return a source that changed, its references before, and those of a fresh build now."""
    source, first, fresh = (tmp_path / name for name in ("s.zarr", "first", "fresh"))
    for name, (shape, chunks) in STORE.items():
        write(source, name, shape, chunks)
    options: dict[str, Any] = {"split": "t", "region": 8, "record_size": 4}
    parchunk.build(parchunk.plan(str(source), **options), str(first))
    change(source)
    parchunk.build(parchunk.plan(str(source), **options), str(fresh))
    return source, first, fresh


def update(out: Path, folder: Path, at: Step | None = None) -> tuple[int, list[str], str]:
    # Who finishes it need not allow again what was allowed.
    allowed = [] if (out / ".parchunk/next").exists() else ["--allow-gone"]
    arguments = ["update", str(out), "--no-progress", *allowed]
    command = crash_process.start(arguments, folder, at)
    code, _, error = command.end()
    return code, command.steps, error


def look(out: Path, first: dict[str, Any], now: dict[str, Any]) -> str:
    """Return what readers of OUT see, all of whom agree."""
    output = open_output(out)
    if output.get(ROOT) is None:
        with pytest.raises((FileNotFoundError, KeyError)):
            references(out)
        between = output.get(PREPARED_ROOT) is not None
        for read in (parchunk.open_dataset, parchunk.connect):
            with pytest.raises(InputError, match="run parchunk update" if between else ""):
                read(str(out))
        assert run(["audit", str(out)]) == (2 if between else 1)
        assert run(["status", str(out)]) == 1
        return "nothing"
    seen = references(out)
    assert seen in (first, now)
    with parchunk.open_dataset(str(out)) as opened:
        assert {name: list(opened[name].shape) for name in opened} == {
            name: shape for name, (shape, _) in seen.items()
        }
        assert (opened["air"][:, 6:].to_numpy() == -5).all()
    with parchunk.connect(str(out)) as connection:
        query = "SELECT array_name, count(*) FILTER (present) FROM refs GROUP BY array_name"
        assert {name for name, _ in connection.execute(query).fetchall()} == set(seen)
    return "first" if seen == first else "now"


@pytest.mark.slow
def test_killed_at_any_step_it_is_finished_by_the_next(
    tmp_path: Path,
    states: tuple[Path, Path, Path],
    published: Published,
) -> None:
    _, first, fresh = states
    before, now = references(first), references(fresh)
    whole = tmp_path / "whole"
    shutil.copytree(first, whole)
    code, steps, error = update(whole, tmp_path / "said")
    assert code == 0, error
    assert published(whole) == published(fresh)
    looked: list[str] = []
    for number, name in enumerate(TELLING):
        out = tmp_path / f"out{number}"
        shutil.copytree(first, out)
        # The root is deleted first; what deletes another later is not meant.
        at = Step(name, 0 if name == "before delete root" else steps.count(name) // 2)
        code, _, _ = update(out, tmp_path / f"killed{number}", at)
        assert code == -signal.SIGKILL, at
        looked.append(look(out, before, now))
        code, _, error = update(out, tmp_path / f"resumed{number}")
        assert code == 0, error
        assert published(out) == published(fresh), at
        assert not parchunk.audit(str(out), against_source=True).findings, at
        assert sorted(p.name for p in (out / ".parchunk").iterdir()) == ["plan.json", "receipts"]
        shutil.rmtree(out)
    # Readers see the old, then nothing for a moment, then the new.
    assert list(dict.fromkeys(looked)) == ["first", "nothing", "now"]


def _end(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_build_finishes_what_was_complete_and_forgets_what_was_not(
    states: tuple[Path, Path, Path], published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, first, fresh = states
    plan = parchunk.plan(str(source), split="t", region=8, record_size=4)
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.replacing.carry_out", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(first), allow_gone=True)
    assert (first / ".parchunk/next").exists()
    assert not parchunk.status(str(first)).finished
    with pytest.raises(InputError, match="another plan"):
        parchunk.build(plan, str(first))
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.out.switching._each", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(first), allow_gone=True)
    assert not (first / ".zmetadata").exists()
    assert parchunk.build(plan, str(first)).built == 0
    assert published(first) == published(fresh)
    assert not (first / ".parchunk/next").exists()


def test_what_was_allowed_of_one_that_was_cut_short_need_not_be_said_again(
    states: tuple[Path, Path, Path], published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But of what it saw, and of nothing that is lost since."""
    source, first, fresh = states
    with pytest.raises(InputError, match="--allow-gone if that is meant"):
        parchunk.update(str(first))
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.replacing.carry_out", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(first), allow_gone=True)
    status = parchunk.status(str(first))
    undone = status.partitions - status.done
    assert "to take the place of the references is not complete" in status.under_way.message(undone)
    (source / "air").rename(source.with_name("aside"))
    with pytest.raises(InputError, match=r"lost what was there \(air is gone\)"):
        parchunk.update(str(first))
    source.with_name("aside").rename(source / "air")
    parchunk.update(str(first))
    assert published(first) == published(fresh)
    assert parchunk.audit(str(first), against_source=True).complete
    assert not (first / ".parchunk/next").exists()


def test_tasks_stay_away_until_it_is_finished(
    states: tuple[Path, Path, Path], published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of before, run again meanwhile, wrote the rows of before where others had been moved."""
    source, first, fresh = states
    old = parchunk.plan(str(source), split="t", region=8, record_size=4)
    plan, output = load_plan(open_output(first)), open_output(first)
    (task,) = tasks_of(plan, open_source(plan), output, Effort(shared=True), 1)
    moves = iter(range(3))
    moved = LocalOutput.move

    def move(self: LocalOutput, path: str, to: str) -> None:
        if next(moves, None) is None:
            raise KeyboardInterrupt
        moved(self, path, to)

    for finish in (parchunk.publish, partial(parchunk.tasks, old), parchunk.update):
        out = first.with_name("again")
        shutil.copytree(first, out)
        moves = iter(range(3))
        with monkeypatch.context() as patched:
            patched.setattr(LocalOutput, "move", move)
            with pytest.raises(KeyboardInterrupt):
                parchunk.update(str(out), allow_gone=True)
        with pytest.raises(InputError, match="being replaced by an update: wait for it"):
            do_task(task, output=open_output(out))
        finish(str(out))
        assert published(out) == published(fresh)
        with pytest.raises(InputError, match="another plan"):
            do_task(task, output=open_output(out))
        shutil.rmtree(out)


def test_what_was_asked_of_one_that_was_cut_short_is_done_by_one_that_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks written anew, which nothing but the number of their region tells."""
    source, out = tmp_path / "s.zarr", tmp_path / "out"
    write(source, "air", (20, 6), (2, 3))
    parchunk.build(parchunk.plan(str(source), split="t", region=8, record_size=4), str(out))
    (source / "air/c/0/0").write_bytes(b"x" * 200)
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.update.forget", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(out), regions=[0])
    zarr.open_array(source / "air", mode="r+").resize((20, 9))
    parchunk.update(str(out))
    found = parchunk.audit(str(out), against_source=True).findings
    assert "changed-chunks" not in {one.kind for one in found}


@pytest.mark.parametrize("by", ["update", "build"])
def test_and_the_other_way_round_but_by_no_relocation(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that replaces was cut short; the source is what it was, but for what was asked for."""
    source, out = tmp_path / "s.zarr", tmp_path / "out"
    write(source, "air", (20, 6), (2, 3))
    plan = parchunk.plan(str(source), split="t", region=8, record_size=4)
    parchunk.build(plan, str(out))
    array = zarr.open_array(source / "air", mode="r+")
    array.resize((20, 9))
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.replacing.carry_out", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(out), regions=[0])
    array.resize((20, 6))
    shutil.copytree(source, tmp_path / "copy")
    (source / "air/c/0/0").write_bytes(b"x" * 200)
    with pytest.raises(InputError, match="is unfinished"):
        parchunk.relocate(str(out), tmp_path / "copy")
    parchunk.update(str(out)) if by == "update" else parchunk.build(plan, str(out))
    found = parchunk.audit(str(out), against_source=True).findings
    assert "changed-chunks" not in {one.kind for one in found}


def test_a_source_that_changed_back_is_updated_in_place(
    states: tuple[Path, Path, Path], published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was prepared is for another state: nothing of it is left."""
    source, first, _ = states
    wanted = published(first)
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.replacing.carry_out", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(first), allow_gone=True)
    shutil.rmtree(source)
    for name, (shape, chunks) in STORE.items():
        write(source, name, shape, chunks)
    parchunk.update(str(first))
    assert published(first) == wanted
    assert sorted(p.name for p in (first / ".parchunk").iterdir()) == [PLAN[10:], "receipts"]
