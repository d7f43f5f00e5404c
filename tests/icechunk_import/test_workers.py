"""Workers set references in forks: what is committed is the same, in the same order."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import icechunk
import parchunk
from instruments import forked
from parchunk.cli.main import run
from parchunk.icechunk_import.forks import Setter


@pytest.fixture
def threads() -> Iterator[Executor]:
    """An executor of this process: forks are pickled and sent to it all the same."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each fork that a worker had set could be merged."""
    found: list[bool] = []
    real = Setter.take

    def noted(self: Setter, forked: Any) -> bool:
        found.append(real(self, forked))
        return found[-1]

    monkeypatch.setattr(Setter, "take", noted)
    return found


def contents(commits: list[Any]) -> list[Any]:
    return [commit.metadata["parchunk"] for commit in commits]


def test_processes_commit_what_one_alone_does(
    grow, build, commits, opened, assert_equal, taken, tmp_path, capsys
):
    source = grow(12)
    out = build(source, split="time", region=4, inline_threshold=40)
    parchunk.to_icechunk(out, str(tmp_path / "alone"))
    arguments = ["to-icechunk", out, str(tmp_path / "repo"), "--workers", "2"]
    assert run([*arguments, "--json"]) == 0
    assert taken == [True] * 3
    assert contents(commits(tmp_path / "repo")) == contents(commits(tmp_path / "alone"))
    assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo"))
    assert run(arguments) == 0
    assert "everything is in already" in capsys.readouterr().out


def test_what_an_earlier_import_had_and_is_gone_is_deleted(
    grow, build, commits, opened, assert_equal, indices, threads, taken, tmp_path
):
    source = grow(12)
    out = build(source, split="time", region=4)
    repo = str(tmp_path / "repo")
    assert parchunk.to_icechunk(out, repo, executor=threads).finished
    (source / "air/c/5/1/0").unlink()
    parchunk.update(out, regions=1)
    result = parchunk.to_icechunk(out, repo, executor=threads)
    assert [(commit.region, commit.deleted) for commit in result.commits] == [(1, 1)]
    assert taken == [True] * 4
    assert (5, 1, 0) not in indices(repo, "air")
    assert_equal(zarr.open_group(source, mode="r"), opened(repo))


def test_a_fork_of_before_is_not_used_over_commits_of_others(
    grow, build, opened, threads, taken, made_anew_after, tmp_path
):
    """An array that was made anew has its name, and a fork that knows the one before has not."""
    repo = str(tmp_path / "repo")
    source = grow(12)
    out = build(source, split="time", region=2, include=["air"])
    made_anew_after(repo, 3)  # the hierarchy and two regions
    assert parchunk.to_icechunk(out, repo, executor=threads).finished
    # Two regions were in, and all the others had been begun by then.
    assert taken == [True, True, False, False, False, False]
    air = opened(Path(repo))["air"]
    assert np.isnan(air[:4]).all()
    np.testing.assert_array_equal(air[4:], zarr.open_array(source / "air")[4:])


def test_a_repository_in_memory_is_set_here(grow, build, in_memory, threads, taken):
    source = grow(8)
    repo = in_memory(source)
    out = build(source, split="time", region=4)
    assert parchunk.to_icechunk(out, repo, executor=threads).finished
    assert not taken
    air = zarr.open_group(repo.readonly_session("main").store, mode="r")["air"]
    np.testing.assert_array_equal(air[...], zarr.open_array(source / "air")[...])


def test_memory_for_a_commit_alone_has_none_for_workers(grow, build, tmp_path):
    """What the least bound is that an import is taken for, it is taken for with workers, too."""
    out = build(grow(12), split="time", region=4)
    with pytest.raises(parchunk.InputError, match="give --memory") as refused:
        parchunk.to_icechunk(out, str(tmp_path / "repo"), memory="1MiB")
    least = str(refused.value).rpartition(" ")[2]
    result = parchunk.to_icechunk(out, str(tmp_path / "repo"), memory=least, workers=3)
    assert result.finished
    assert result.notes[-1].startswith("no worker was at work")
    some = parchunk.to_icechunk(out, str(tmp_path / "more"), memory=least, workers=1)
    assert not some.notes


def test_workers_that_die_are_reported_and_the_next_import_finishes(
    grow, build, commits, opened, assert_equal, monkeypatch, tmp_path
):
    """They die as soon as they are there: no region is set, whatever else this machine does."""
    source = grow(12)
    out, repo = build(source, split="time", region=4), str(tmp_path / "repo")
    before = multiprocessing.active_children()
    started = SpawnProcess.start

    def start_and_die(process: SpawnProcess) -> None:
        started(process)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(SpawnProcess, "start", start_and_die)
        with pytest.raises(parchunk.SourceError, match=r"died, .* run again to resume"):
            parchunk.to_icechunk(out, repo, workers=2)
    assert multiprocessing.active_children() == before
    assert len(commits(repo)) == 1
    assert parchunk.to_icechunk(out, repo).finished
    assert len(commits(repo)) == 4
    assert_equal(zarr.open_group(source, mode="r"), opened(repo))


def killed_after(out: str, repo: str, number: int) -> None:
    """Import with workers, and kill this process after so many commits."""

    icechunk.set_logs_filter("error")
    real = icechunk.Session.commit
    made: list[str] = []

    def commit(self: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(real(self, *args, **kwargs))
        if len(made) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return made[-1]

    icechunk.Session.commit = commit
    with ThreadPoolExecutor(2) as pool:
        parchunk.to_icechunk(out, repo, executor=pool)


def test_killed_with_regions_set_ahead(grow, build, commits, opened, assert_equal, tmp_path):
    source = grow(16)
    out, repo = build(source, split="time", region=4), str(tmp_path / "repo")
    code, _, error = forked.start(tmp_path / "run", killed_after, out, repo, 3).end()
    assert code == -signal.SIGKILL, error
    with ThreadPoolExecutor(2) as pool:
        assert parchunk.to_icechunk(out, repo, executor=pool).finished
    regions = Counter(entry["region"] for entry in contents(commits(repo)))
    assert regions == {None: 1, 0: 1, 1: 1, 2: 1, 3: 1}
    assert_equal(zarr.open_group(source, mode="r"), opened(repo))


class Failing(Executor):
    """The first call fails; the others wait for good."""

    def __init__(self) -> None:
        self.calls: list[Future[Any]] = []

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self.calls.append(Future())
        if len(self.calls) == 1:
            self.calls[0].set_exception(parchunk.OutputError("no reference was taken"))
        return self.calls[-1]


def test_an_executor_is_left_with_nothing_to_do(grow, build, tmp_path):
    executor, out = Failing(), build(grow(16), split="time", region=4)
    with pytest.raises(parchunk.OutputError, match="no reference was taken"):
        parchunk.to_icechunk(out, str(tmp_path / "repo"), executor=executor)
    assert [call.cancelled() for call in executor.calls] == [False, True, True, True]


def test_credentials_of_the_repository_are_not_sent_to_a_cluster(grow, build, threads, tmp_path):
    out = build(grow(8), split="time", region=4)
    with pytest.raises(parchunk.InputError, match=r"secret_access_key.* environment"):
        parchunk.to_icechunk(
            out,
            "s3://bucket/repo",
            executor=threads,
            repo_options={"region": "us-east-1", "aws_secret_access_key": "HUSH"},
        )
