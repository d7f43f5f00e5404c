"""Parts killed, doubled and in any order come to the bytes of one build, and one publishes."""

import random
from pathlib import Path
from typing import Any

import pytest
from benchmarks import crashes, part_crashes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> crashes.Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    return crashes.undisturbed(crashes.Folder(folder / "out"), folder)


@pytest.mark.parametrize("seed", [3])  # `python -m benchmarks.part_crashes` takes hundreds
def test_parts_on_a_disk(undisturbed: crashes.Undisturbed, tmp_path: Path, seed: int) -> None:
    place = crashes.Folder(tmp_path / "out")
    done = part_crashes.check(undisturbed, place, tmp_path, random.Random(seed))
    assert done["killed at a step"] + done["killed at a moment"]


@pytest.mark.s3
@pytest.mark.slow
def test_parts_on_s3(undisturbed: crashes.Undisturbed, tmp_path: Path, bucket: Any) -> None:
    place = crashes.Prefix(bucket)
    done = part_crashes.check(undisturbed, place, tmp_path, random.Random(1))
    assert done["ended"]
