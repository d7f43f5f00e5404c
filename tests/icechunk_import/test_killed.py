"""SIGKILL between commits and during one: the next import finishes, and nothing is in twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections import Counter

import pytest
import zarr

import parchunk

HEAD = """
import os, signal, sys, threading, time
import icechunk, parchunk
icechunk.set_logs_filter("error")
out, repo, publish = sys.argv[1], sys.argv[2], sys.argv[3] == "True"

def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""

BETWEEN = """
made = []
real = icechunk.Session.commit
def commit(self, *args, **kwargs):
    if len(made) == {commits}:
        die()
    made.append(1)
    return real(self, *args, **kwargs)
icechunk.Session.commit = commit
parchunk.to_icechunk(out, repo, publish=publish)
"""

DURING = """
made = []
real = icechunk.Session.commit
def commit(self, *args, **kwargs):
    made.append(1)
    if len(made) == {commits}:
        timer = threading.Timer({delay}, die)
        timer.start()
        real(self, *args, **kwargs)
        time.sleep(5)
    return real(self, *args, **kwargs)
icechunk.Session.commit = commit
parchunk.to_icechunk(out, repo, publish=publish)
"""

PUBLISHING = """
real = icechunk.Repository.{call}
def call(self, *args, **kwargs):
    if "{when}" == "after":
        real(self, *args, **kwargs)
    die()
icechunk.Repository.{call} = call
parchunk.to_icechunk(out, repo, publish=True)
"""


def kill(code: str, out: str, repo: str, publish: bool) -> None:
    script = textwrap.dedent(HEAD) + code
    done = subprocess.run(
        [sys.executable, "-c", script, out, repo, str(publish)], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def check(grow, build, tmp_path, opened, assert_equal, commits):
    """Kill an import of four regions, finish it, and see that each is in just once."""
    source = grow(16)
    out = build(source, split="time", region=4)

    def run(code: str, publish: bool = False) -> None:
        repo = str(tmp_path / "repo")
        kill(code, out, repo, publish)
        result = parchunk.to_icechunk(out, repo, publish=publish)
        assert result.finished
        assert result.published == publish
        assert_equal(zarr.open_group(source, mode="r"), opened(repo))
        regions = Counter(
            commit.metadata["parchunk"]["region"]
            for commit in commits(repo)
            if commit.metadata["parchunk"]["kind"] == "region"
        )
        assert regions == {0: 1, 1: 1, 2: 1, 3: 1}
        assert parchunk.to_icechunk(out, repo, publish=publish).commits == ()

    return run


@pytest.mark.parametrize("publish", [False, True])
@pytest.mark.parametrize("commits_before", [0, 1, 3])
def test_killed_between_commits(commits_before, publish, check):
    check(BETWEEN.format(commits=commits_before), publish)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.02])
@pytest.mark.parametrize("commit", [1, 3])
def test_killed_during_a_commit(commit, delay, check):
    check(DURING.format(commits=commit, delay=delay))


@pytest.mark.parametrize("call", ["reset_branch", "delete_branch"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_publishing(call, when, check):
    check(PUBLISHING.format(call=call, when=when), publish=True)
