"""Inputs that were interesting or broke something once, for every target of the fuzzer."""

from pathlib import Path

import pytest
from tests.fuzz.targets import TARGETS

SEEDS = sorted((Path(__file__).parent / "seeds").glob("*/*"))


def test_every_target_has_seeds() -> None:
    assert {path.parent.name for path in SEEDS} == set(TARGETS)


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_seed(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())
