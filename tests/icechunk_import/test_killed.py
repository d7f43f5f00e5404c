"""SIGKILL at named steps and during a commit: the next import finishes, nothing is in twice."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from typing import Any

import pytest
import zarr
from benchmarks import icechunk_crashes
from instruments.s3_server import new_bucket
from tests.examples import TIMES

import icechunk
import parchunk
from instruments import forked
from parchunk.icechunk_import import adapter


def import_killed_during_a_commit(out: str, repo: str, number: int, delay: float) -> None:
    """Import, and kill this process so long after the commit of that number has begun."""
    import icechunk

    icechunk.set_logs_filter("error")
    real = icechunk.Session.commit
    begun = itertools.count(1)

    def commit(self: Any, *args: Any, **kwargs: Any) -> Any:
        if next(begun) == number:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
            real(self, *args, **kwargs)
            time.sleep(60)
        return real(self, *args, **kwargs)

    icechunk.Session.commit = commit
    parchunk.to_icechunk(out, repo)


@pytest.mark.parametrize("left", ["snapshots", "transactions"])
@pytest.mark.parametrize("where", ["disk", pytest.param("S3", marks=pytest.mark.s3)])
def test_a_repository_whose_creation_was_cut_short_is_created(
    where, left, grow, build, tmp_path, request, assert_equal
):
    """With icechunk 2; the other one cannot, and what to do is said."""
    source = grow(8)
    out, repo, options = build(source, split="time", region=4), tmp_path / "repo", None
    whole = tmp_path / "whole"
    icechunk.Repository.create(icechunk.local_filesystem_storage(str(whole)))
    data = (whole / "snapshots/1CECHNKREP0F1RSTCMT0").read_bytes()
    name = f"{left}/1CECHNKREP0F1RSTCMT0"
    if where == "disk":
        (repo / left).mkdir(parents=True)
        (repo / name).write_bytes(data)
    else:
        bucket = request.getfixturevalue("bucket")
        bucket.put(f"repo/{name}", data)
        repo, options = f"s3://{bucket.name}/repo", bucket.options
    if not adapter.goes_on_creating():
        with pytest.raises(parchunk.InputError, match="whose creation was cut short: delete it"):
            parchunk.to_icechunk(out, str(repo), repo_options=options)
        return
    result = parchunk.to_icechunk(out, str(repo), repo_options=options)
    assert (result.created, result.finished) == (True, True)
    held = parchunk.open_icechunk(str(repo), repo_options=options).readonly_session("main")
    assert_equal(zarr.open_group(source, mode="r"), zarr.open_group(held.store, mode="r"))


def test_a_repository_that_lost_its_beginning_is_no_creation_cut_short(grow, build, tmp_path):
    """As one that is being copied: what others committed would be gone, or deleted as was said."""
    out, repo = build(grow(8), split="time", region=4), tmp_path / "repo"
    made = icechunk.Repository.create(icechunk.local_filesystem_storage(str(repo)))
    session = made.writable_session("main")
    zarr.open_group(session.store, mode="w")
    session.commit("of others")
    (repo / "repo").unlink(missing_ok=True)  # icechunk 2
    shutil.rmtree(repo / "refs", ignore_errors=True)  # icechunk 1
    there = sorted(repo.rglob("*"))
    with pytest.raises(parchunk.InputError, match="is no Icechunk repository: name another REPO"):
        parchunk.to_icechunk(out, str(repo))
    assert sorted(repo.rglob("*")) == there


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.001, 0.004, 0.02])
@pytest.mark.parametrize("commit", [1, 3])
def test_killed_during_a_commit(
    commit, delay, grow, build, tmp_path, opened, assert_equal, commits
):
    """The next import of the four regions finishes it, and each of them is in just once."""
    source = grow(16)
    out, repo = build(source, split="time", region=4), str(tmp_path / "repo")
    killed = forked.start(tmp_path / "run", import_killed_during_a_commit, out, repo, commit, delay)
    code, _, error = killed.end()
    assert code == -signal.SIGKILL, error
    assert parchunk.to_icechunk(out, repo).finished
    assert_equal(zarr.open_group(source, mode="r"), opened(repo))
    regions = Counter(
        found.metadata["parchunk"]["region"]
        for found in commits(repo)
        if found.metadata["parchunk"]["kind"] == "region"
    )
    assert regions == {0: 1, 1: 1, 2: 1, 3: 1}
    assert parchunk.to_icechunk(out, repo).commits == ()


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, icechunk_crashes.Case]:
    return {
        "new": icechunk_crashes.new_case(tmp_path_factory.mktemp("new")),
        "update": icechunk_crashes.update_case(tmp_path_factory.mktemp("update")),
        "regions": icechunk_crashes.regions_case(tmp_path_factory.mktemp("regions")),
    }


def test_steps_are_what_they_are_thought_to_be(cases):
    """A crash test that kills nowhere proves nothing."""
    steps = cases["new"].steps
    assert steps.count("before commit") == steps.count("after commit") == 4
    assert steps[:2] == ["before create", "after create"]
    assert steps[-4:-1] == ["before publish", "after publish", "before clean up"]
    assert steps.count("before set") == 4  # the whole array's and one a region
    assert cases["update"].steps.count("after delete") > 1


@pytest.mark.parametrize(
    ("name", "step", "occurrence"),
    [
        ("new", "before create", 0),
        ("new", "after put", 0),
        ("new", "after set", 2),
        ("new", "before commit", -1),
        ("new", "after commit", 1),
        ("new", "after publish", 0),
        ("update", "after branch", 0),
        ("update", "after delete", 2),
        ("update", "before publish", 0),
        ("update", "after clean up", 0),
        ("regions", "after set", 0),
        ("regions", "after commit", 1),
        ("regions", "after delete", 0),
        ("regions", "before publish", 0),
    ],
)
def test_killed_at_a_named_step(name, step, occurrence, cases, tmp_path):
    """All of them: `python -m benchmarks.icechunk_crashes`."""
    case = cases[name]
    at = [number for number, found in enumerate(case.steps) if found == step][occurrence]
    assert icechunk_crashes.check(case, tmp_path, at) == step


@pytest.fixture(scope="module")
def cases_in_s3(
    tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str
) -> dict[str, icechunk_crashes.Case]:
    bucket = new_bucket(s3_endpoint)
    return {
        "new": icechunk_crashes.new_case(tmp_path_factory.mktemp("new"), bucket),
        "update": icechunk_crashes.update_case(tmp_path_factory.mktemp("update"), bucket),
    }


@pytest.mark.s3
@pytest.mark.parametrize(
    ("name", "step", "occurrence"),
    [
        ("new", "after create", 0),
        ("new", "after set", 2),
        ("new", "after commit", 1),
        ("new", "before publish", 0),
        ("update", "after delete", 2),
        ("update", "before commit", -1),
        ("update", "after publish", 0),
    ],
)
def test_killed_with_all_in_s3(name, step, occurrence, cases_in_s3, tmp_path):
    case = cases_in_s3[name]
    assert case.out.startswith("s3://")
    at = [number for number, found in enumerate(case.steps) if found == step][occurrence]
    assert icechunk_crashes.check(case, tmp_path, at) == step


@pytest.mark.s3
@pytest.mark.slow
def test_killed_twice_amid_its_requests_to_s3(cases_in_s3, tmp_path):
    """Of all cases and many moments: `python -m benchmarks.icechunk_crashes --moments 12`."""
    draw = random.Random(f"update {TIMES}")
    assert icechunk_crashes.check_moments(cases_in_s3["update"], tmp_path, draw)
