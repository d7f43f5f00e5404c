"""What `benchmarks.stages` times: a name that nobody calls any more would be timed as nothing."""

from __future__ import annotations

import pytest
from benchmarks.stages import STORES
from instruments.measuring import in_process


@pytest.mark.parametrize("kind", STORES)
def test_every_stage_is_passed_through(kind: str) -> None:
    found = in_process("benchmarks.stages", kind, "--chunks", 5_000)
    assert found["references"] > 1_000
    assert [stage for stage, seconds in found["stages"].items() if not seconds] == []
