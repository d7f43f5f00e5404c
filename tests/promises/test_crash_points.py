"""Killed at any step, a build resumes to the same bytes, and no reader sees a part of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import crash_places, crashes
from instruments.synthetic.zarr_stores import zarr_store

import parchunk


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> crashes.Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    return crashes.undisturbed(crash_places.Folder(folder / "out"), folder)


@pytest.fixture(scope="module")
def undisturbed_on_s3(
    tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str
) -> crashes.Undisturbed:
    bucket = crashes.new_bucket(s3_endpoint)
    return crashes.undisturbed(crash_places.Prefix(bucket), tmp_path_factory.mktemp("undisturbed"))


#: Steps of a local build that are of no kind of object; the plan before is that of an update.
OTHERS = ("rename", "delete previous.json", "delete labels.parquet")
NAMES = ("lease", "plan", "record file", "strays", "receipt", "root", "release")
#: The one of several of that name, as a share of all: not always the first.
STEPS = [(f"{when} {name}", 0.6) for name in NAMES for when in ("before", "after")]


def one_of(wanted: crashes.Undisturbed, name: str, share: float) -> crashes.Step:
    steps = crashes.steps_of(wanted.steps)[name]
    return steps[int(share * (len(steps) - 1))]


def test_steps_are_what_they_are_thought_to_be(undisturbed: crashes.Undisturbed) -> None:
    """A crash test that kills nowhere proves nothing."""
    steps = undisturbed.steps
    assert steps[0] == "before lease"
    assert [step for step in steps if "plan" in step] == ["before plan", "after plan"]
    assert steps.count("before receipt") == steps.count("after receipt") == undisturbed.partitions
    assert steps.count("before record file") >= undisturbed.partitions
    assert steps.count("before rename") == steps.count("after rename") > undisturbed.partitions
    assert steps.index("before root") > max(i for i, s in enumerate(steps) if "receipt" in s)
    others = {f"{when} {what}" for when in ("before", "after") for what in OTHERS}
    assert set(steps) == {name for name, _ in STEPS} | others


@pytest.mark.parametrize(("name", "share"), [*STEPS, ("before rename", 0.5), ("after rename", 0.9)])
def test_killed_at_a_step_of_a_local_build(
    undisturbed: crashes.Undisturbed, tmp_path: Path, name: str, share: float
) -> None:
    at = one_of(undisturbed, name, share)
    assert crashes.check(undisturbed, crash_places.Folder(tmp_path / "out"), tmp_path, at) == name


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.parametrize(
    ("name", "share"), [*STEPS[1::2], ("before record file", 0.9), ("before root", 0.0)]
)  # `python -m benchmarks.crashes` takes them all
def test_killed_at_a_step_of_a_build_on_s3(
    undisturbed_on_s3: crashes.Undisturbed, tmp_path: Path, bucket: Any, name: str, share: float
) -> None:
    at = one_of(undisturbed_on_s3, name, share)
    assert crashes.check(undisturbed_on_s3, crash_places.Prefix(bucket), tmp_path, at) == name


@pytest.mark.slow
def test_killed_at_random_moments_in_a_row(
    undisturbed: crashes.Undisturbed, tmp_path: Path
) -> None:
    crashes.check(
        undisturbed, crash_places.Folder(tmp_path / "out"), tmp_path, moments=(0.1, 0.35, 0.2, 0.25)
    )


def test_root_is_the_last_thing_written(undisturbed: crashes.Undisturbed) -> None:
    after = undisturbed.steps[undisturbed.steps.index("before root") :]
    assert not [step for step in after if "record" in step or "receipt" in step]
    assert json.loads(undisturbed.files[".zmetadata"])["zarr_consolidated_format"] == 1


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
    (out / ".zmetadata").unlink()  # as one killed right before its end has left it
    with pytest.raises(parchunk.InputError, match="unfinished"):
        parchunk.open_dataset(str(out))
    for name in ("theirs", ".parchunk/theirs"):
        other = tmp_path / name.replace("/", "-") / name
        other.parent.mkdir(parents=True)
        other.write_text("theirs")
        with pytest.raises(parchunk.InputError, match="did not write"):
            parchunk.build(parchunk.plan(str(source)), str(tmp_path / name.replace("/", "-")))
