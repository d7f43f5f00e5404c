"""Stores joined and updated by processes that are killed: the next one ends as though none was."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from instruments.crash_process import Step
from tests.many_stores import Made, write

import parchunk
from instruments import crash_process
from parchunk.cli.main import run
from parchunk.out.unfinished import Unfinished

Published = Callable[[Path], dict[str, bytes]]
Reader = Callable[..., zarr.Group]


def months(folder: Path, count: int) -> list[Path]:
    """Write stores of two steps each, whose values tell where they are.

    With ``SIZES`` each but the first begins within a record file.
    """
    return [
        write(
            folder / f"{at}.zarr",
            {
                "air": Made(np.arange(6).reshape(2, 3) + 6 * at + 1, ("time", "x"), (1, 3)),
                "rain": Made(np.arange(2) + 2 * at + 1, ("time",), (1,), {"units": "mm"}),
                "time": Made(np.arange(2) + 2 * at, ("time",)),
            },
        )
        for at in range(count)
    ]


def command(folder: Path, *arguments: object, kill_at: Step | None = None) -> list[str]:
    """Run a command to its end, or to where it is killed; return its steps."""
    started = crash_process.start([*map(str, arguments), "--no-progress"], folder, kill_at)
    code, _, error = started.end()
    assert code == (0 if kill_at is None else -signal.SIGKILL), error
    return started.steps


#: Record files of three rows: of two or three stores.
SIZES = ("--record-size", "3")
#: Steps that a process is killed at, in the middle of those of one name; one ends a store's part.
TELLING = (
    "after plan", "before record file", "before receipt", "after receipt", "before root",
    "after root",
)  # fmt: skip


def telling(steps: list[str]) -> list[Step]:
    """Return a step of each kind that is told of, and the first that ends a store's part."""
    found = [Step(name, steps.count(name) // 2) for name in TELLING if name in steps]
    assert len(found) == len(TELLING), sorted(set(steps))
    return [*found, Step("after receipt", 0)]


def check(out: Path, open_references: Reader, stores: tuple[int, ...]) -> None:
    """Whoever reads sees as many stores whole as it may, and nothing in between."""
    air = open_references(out)["air"][...]
    assert len(air) in {2 * count for count in stores}
    np.testing.assert_array_equal(air, np.arange(air.size).reshape(air.shape) + 1)


@pytest.mark.slow
def test_a_killed_build_of_stores_is_finished_by_the_next(
    tmp_path: Path, published: Published, open_references: Reader
) -> None:
    paths = months(tmp_path / "in", 3)
    whole = tmp_path / "whole"
    asked = ("--concat", "time", *SIZES)
    steps = command(tmp_path / "said", "build", *paths, whole, *asked)
    wanted = published(whole)
    check(whole, open_references, (3,))
    for number, at in enumerate(telling(steps)):
        out = tmp_path / f"out{number}"
        command(tmp_path / f"killed{number}", "build", *paths, out, *asked, kill_at=at)
        assert (out / ".zmetadata").exists() == (at.name == "after root"), at
        command(tmp_path / f"again{number}", "build", *paths, out, *asked)
        assert published(out) == wanted, at
        shutil.rmtree(out)


@pytest.mark.slow
def test_a_killed_update_with_a_new_store_is_finished_by_the_next(
    tmp_path: Path, published: Published, open_references: Reader
) -> None:
    paths = months(tmp_path / "in", 4)
    first, whole = tmp_path / "first", tmp_path / "whole"
    parchunk.build(parchunk.plan(paths[:2], concat="time", record_size=3), first)
    shutil.copytree(first, whole)
    steps = command(tmp_path / "said", "update", whole, *paths[2:])
    wanted = published(whole)
    check(whole, open_references, (4,))
    for number, at in enumerate(telling(steps)):
        out = tmp_path / f"out{number}"
        shutil.copytree(first, out)
        command(tmp_path / f"killed{number}", "update", out, *paths[2:], kill_at=at)
        if (out / ".zmetadata").exists():
            check(out, open_references, (2, 4))
        else:  # the longer coordinate takes the old one's place, and the next command ends that
            assert (out / ".parchunk" / "next").exists()
        command(tmp_path / f"again{number}", "update", out, *paths[2:])
        assert published(out) == wanted, at
        assert parchunk.audit(out).exit_code == 0, at
        shutil.rmtree(out)


def _end(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("at", "builds"),
    [("replacing.carry_out", True), ("update.save_plan", True), ("update.forget", False)],
)
def test_stores_that_were_given_are_taken_in_without_being_told_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    published: Published,
    at: str,
    builds: bool,
) -> None:
    """Cut short while a replacement is prepared, or before the plan is written; by the next."""
    paths, out = months(tmp_path / "in", 5), tmp_path / "out"
    how: dict[str, Any] = {"record_size": 3, "stack": "run"}
    labels = list("ABCDE")  # they are kept, as one chunk that grows
    if at != "replacing.carry_out":
        how, labels = {"record_size": 3, "concat": "time", "inline_coordinates": False}, []
    for path in paths:
        shutil.rmtree(path / "time")
    first = parchunk.plan(paths[:2], labels=labels[:2], **how)
    parchunk.build(first, out)
    for number in (2, 3):
        with monkeypatch.context() as patched:
            patched.setattr(f"parchunk.building.{at}", _end)
            with pytest.raises(KeyboardInterrupt):
                parchunk.update(out, paths[number], labels=labels[number : number + 1])
        if builds:
            parchunk.build(first, out)
    parchunk.update(out, [*paths[3:]], labels=labels[3:])
    whole = tmp_path / "whole"
    parchunk.build(parchunk.plan(paths, labels=labels, **how), whole)
    assert published(out) == published(whole)
    assert not (out / ".parchunk/update.json").exists()


def test_the_command_that_ends_an_update_is_told_no_labels_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, out = months(tmp_path / "in", 3), tmp_path / "out"
    for path in paths:
        shutil.rmtree(path / "time")
    parchunk.build(parchunk.plan(paths[:2], stack="run", labels="A,B", record_size=3), out)
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.replacing.carry_out", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(out, paths[2], labels="C")
    assert run(["update", str(out), "--no-progress"]) == 0
    stores = parchunk.status(out).plan.stores
    assert stores is not None
    assert stores.joining.labels == ("A", "B", "C")


def test_a_store_that_was_given_and_is_not_to_come_is_told_with_how_to_do_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given to an update that was cut short, it is in the way of all later ones, or comes."""
    first, wrong, right = months(tmp_path / "in", 3)
    out = tmp_path / "out"
    parchunk.build(parchunk.plan([first], concat="time", record_size=3), out)
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.replacing.carry_out", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(out, wrong)
    taken = shutil.copytree(out, tmp_path / "taken")
    result = parchunk.update(taken)
    assert result.notes[0].endswith(f"cut short is done, too: {wrong}")
    shutil.rmtree(wrong)
    asked = out / ".parchunk/next/.parchunk/asked.json"
    with pytest.raises(parchunk.InputError, match="no Zarr metadata") as refused:
        parchunk.update(out, right)
    assert f"had been given {wrong}: where that is not to come" in str(refused.value)
    assert str(asked) in str(refused.value)
    asked.write_text(json.dumps({**json.loads(asked.read_text()), "stores": [], "labels": []}))
    result = parchunk.update(out, right)
    assert result.plan.stores is not None
    assert [one.url for one in result.plan.stores.stores] == [str(first), str(right)]
    assert not any("had been given" in note for note in result.notes)


def test_what_was_to_be_left_out_is_without_being_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "s.zarr", tmp_path / "out"
    values = np.arange(6).reshape(2, 3) + 1
    write(path, {"air": Made(values, ("y", "x"))})
    parchunk.build(parchunk.plan(path), out)
    write(path, {"air": Made(values, ("y", "x"), (1, 3)), "big": Made(values, ("y", "x"))})
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.replacing.carry_out", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(out, exclude="big")
    with pytest.raises(parchunk.InputError, match="unfinished"):  # and passed over by no relocation
        parchunk.relocate(out, tmp_path / "moved")
    assert list(parchunk.update(out).plan.by_name) == ["air"]
    assert parchunk.update(out).plan.exclude == ("big",)


def test_what_came_to_several_updates_is_asked_for_once() -> None:
    one = Unfinished((), (), True, "plan", stores=("a", "b"), labels=("A", "B"), exclude=("x",))
    two = replace(one, stores=("b", "c"), labels=("B", "C"), exclude=("y",), skip_unsupported=True)
    both = one.joined(two)
    assert (both.stores, both.labels, both.exclude) == (("a", "b", "c"), (*"ABC",), ("x", "y"))
    assert both.skip_unsupported
    assert Unfinished.from_json(json.loads(json.dumps(both.to_json()))) == both
