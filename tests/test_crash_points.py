"""Killed at any step, a build resumes to the same bytes, and no reader sees a part of it."""

import json
from pathlib import Path

import pytest

from benchmarks import crashes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> crashes.Undisturbed:
    return crashes.undisturbed(tmp_path_factory.mktemp("undisturbed"))


def test_steps_are_what_they_are_thought_to_be(undisturbed: crashes.Undisturbed) -> None:
    """A crash test that kills nowhere proves nothing."""
    steps = undisturbed.steps
    assert steps[0] == "before lease"
    assert [step for step in steps if "plan" in step] == ["before plan", "after plan"]
    assert steps.count("before receipt") == steps.count("after receipt") == undisturbed.partitions
    assert steps.count("before record file") >= undisturbed.partitions
    assert steps.count("before rename") == steps.count("after rename") > undisturbed.partitions
    assert steps.index("before root") > max(i for i, s in enumerate(steps) if "receipt" in s)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.06, 0.1, 0.2, 0.4, 0.6, 0.8, 0.93, 0.97, 0.99, 1.0])
def test_killed_at_a_step_of_a_local_build(
    undisturbed: crashes.Undisturbed, tmp_path: Path, share: float
) -> None:
    at = round(share * (len(undisturbed.steps) - 1))
    crashes.check_local(undisturbed, tmp_path, at)


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_killed_at_a_step_of_a_build_on_s3(
    undisturbed: crashes.Undisturbed, tmp_path: Path, bucket: object, share: float
) -> None:
    steps = crashes.undisturbed_s3(tmp_path / "first", bucket, "first").steps
    crashes.check_s3(undisturbed, tmp_path, bucket, round(share * (len(steps) - 1)))


def test_root_is_the_last_thing_written(undisturbed: crashes.Undisturbed) -> None:
    after = undisturbed.steps[undisturbed.steps.index("before root") :]
    assert not [step for step in after if "record" in step or "receipt" in step]
    assert json.loads(undisturbed.files[".zmetadata"])["zarr_consolidated_format"] == 1
