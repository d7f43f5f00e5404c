"""References are set in a fork with icechunk 1.x, and never in one that knows other arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.forks import Setter
from parchunk.icechunk_import.limits import Limits


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each run of references went into another session than the committed one."""
    found: list[bool] = []
    real = Setter.set

    def noted(self: Setter, calls: Any) -> int:
        found.append(self._fork is not None)
        return real(self, calls)

    monkeypatch.setattr(Setter, "set", noted)
    return found


@pytest.mark.parametrize("merged_at", [1, 500_000])
def test_forks_are_for_regions_and_1x_alone(
    grow, build, used, opened, assert_equal, tmp_path, merged_at
):
    source, limits = grow(12), Limits(merged_at=merged_at)
    out = build(source, split="time", region=4)
    parchunk.to_icechunk(out, str(tmp_path / "repo"), limits=limits)
    whole, regions = 3, 2 * 3
    assert used == [False] * whole + [not adapter.takes_arrays()] * regions
    assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo"))


def test_a_repository_in_memory_cannot_be_forked(grow, build, in_memory, used):
    source = grow(8)
    repo = in_memory(source)
    assert parchunk.to_icechunk(build(source, split="time", region=4), repo).finished
    assert used
    assert not any(used)
    air = zarr.open_group(repo.readonly_session("main").store, mode="r")["air"]
    np.testing.assert_array_equal(air[...], zarr.open_array(source / "air")[...])


def test_an_array_that_another_writer_made_anew_gets_its_references(
    grow, build, opened, made_anew_after, tmp_path
):
    """The new one has the same name and metadata, but is not the one that an old fork knows."""
    repo = str(tmp_path / "repo")
    out = build(grow(12), split="time", region=4, include=["air"])
    made_anew_after(repo, 3)  # the hierarchy and two regions
    assert parchunk.to_icechunk(out, repo).finished
    air = opened(Path(repo))["air"]
    assert np.isnan(air[:8]).all()
    assert air[8, 0, 0] == 193
