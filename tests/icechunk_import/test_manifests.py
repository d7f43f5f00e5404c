"""Small regions share manifests, so that commits stay as short as they were; large ones do not."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import pytest
import zarr
from instruments.recorder import recorder

import parchunk
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.manifests import manifest_length, regions_a_manifest, written_again
from parchunk.planning.plan import ArrayPlan


@pytest.fixture
def planned(grow):
    """The plan of 12 steps of 4 chunks each, one a region, and its array of those."""
    plan = parchunk.plan(str(grow(12)), split="time", region=2)
    return plan, plan.by_name["air"]


def of(array: ArrayPlan, regions: int, inner: int) -> ArrayPlan:
    """The array with so many regions of one chunk by ``inner``."""
    spec = replace(array.spec, shape=(regions, inner, 1), chunks=(1, 1, 1))
    return replace(array, spec=spec, region_chunks=1)


@pytest.mark.parametrize(
    ("regions", "references", "shared"),
    [(462, 96, 32), (50, 20_000, 1), (1_000, 1_000_000, 1), (100_000, 96, 512), (1, 1, 16)],
)
def test_manifests_hold_a_power_of_two_of_small_regions(planned, regions, references, shared):
    array = of(planned[1], regions, references)
    assert regions_a_manifest(array) == shared
    assert manifest_length(array) == shared


@pytest.mark.parametrize("references", [1, 7, 96, 1_000, 30_000])
def test_no_manifest_is_much_larger_than_a_region_for_the_sake_of_few(planned, references):
    for regions in (2, 50, 3_000, 1_000_000):
        array = of(planned[1], regions, references)
        assert regions_a_manifest(array) * references <= 50_000 * 1.5


def test_what_is_written_again_is_what_other_regions_have_in_a_manifest(planned):
    plan, air = planned
    assert written_again(plan, "height") == 0
    assert written_again(plan, "air") == (regions_a_manifest(air) - 1) * 8


def test_unequal_regions_share_manifests_by_their_mean_length(planned):
    array = replace(of(planned[1], 100, 20_000), cuts=(0, 91, *range(92, 101)))
    assert array.regions == 10
    assert manifest_length(array) == 10


def manifests(repo: str) -> int:
    """How many manifests the tip of main has."""
    repository = parchunk.open_icechunk(repo)
    held = repository.inspect_snapshot(repository.lookup_branch("main"))
    return len((json.loads(held) if isinstance(held, str) else held)["manifests"])


def test_a_repository_gets_longer_manifests_as_regions_come(
    grow, build, opened, assert_equal, tmp_path
):
    """Chunks imported before are in the new ones, and none is in two."""
    out, repo = build(grow(12), split="time", region=2), str(tmp_path / "repo")
    before = parchunk.plan(str(tmp_path / "source"), split="time", region=2).by_name["air"]
    parchunk.to_icechunk(out, repo)
    few = manifests(repo)
    assert few < 6 * 2
    source = grow(48)
    parchunk.update(out)
    after = parchunk.plan(str(source), split="time", region=2).by_name["air"]
    assert regions_a_manifest(after) > regions_a_manifest(before) > 1
    assert len(parchunk.to_icechunk(out, repo).commits) == 1 + 18
    assert manifests(repo) < few + 18
    assert_equal(zarr.open_group(source, mode="r"), opened(repo))
    assert not parchunk.audit(out, icechunk=repo).findings


def test_a_commit_writes_manifests_of_several_arrays_at_a_time(grow, build, tmp_path):
    """Each is a request that is waited for: here none is answered before another one has come."""
    if not adapter.writes_together():
        pytest.skip("this icechunk writes one at a time")
    out = build(grow(8), split="time", region=4, include=["air", "deep/rain"])
    (tmp_path / "bkt").mkdir()
    with recorder(tmp_path) as served:
        served.modified = time.time()
        served.meeting = threading.Barrier(2, timeout=250)
        options = {"endpoint": served.endpoint, "region": "us-east-1", "skip_signature": "true"}
        result = parchunk.to_icechunk(out, "s3://bkt/repo", repo_options=options)
    assert result.finished
    assert len(list((tmp_path / "bkt/repo/manifests").iterdir())) == 4
    assert not served.meeting.broken
