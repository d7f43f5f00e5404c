"""Branches: where an import commits, who commits beside it, and what readers see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr

import icechunk
import parchunk


def test_a_branch_is_made_from_main(grow, build, opened, tmp_path):
    out = build(grow(4), split="time", region=2)
    result = parchunk.to_icechunk(out, str(tmp_path / "repo"), branch="daily")
    assert result.finished
    assert "air" not in _members(tmp_path / "repo", "main")
    assert opened(tmp_path / "repo", "daily")["air"][3, 3, 5] == 96


def test_a_branch_is_not_made_beside_a_tag_of_its_name(grow, build, tmp_path):
    out = build(grow(4), split="time", region=2)
    repo = str(tmp_path / "repo")
    parchunk.to_icechunk(out, repo)
    store = parchunk.open_icechunk(repo)
    store.create_tag("v1", store.lookup_branch("main"))
    for how in ({}, {"publish": True}):
        with pytest.raises(parchunk.InputError, match=r"v1 is a tag of .*/repo, which") as error:
            parchunk.to_icechunk(out, repo, branch="v1", **how)
    assert set(store.list_branches()) == {"main"}
    exec(str(error.value).partition("and run: ")[2], {"repo": store})
    assert parchunk.to_icechunk(out, repo, branch="v1").commits == ()


def test_a_refused_import_leaves_no_branch_and_the_remedy_works(grow, build, tmp_path):
    """A branch that is made has what main has: to name another one would be refused, too."""
    repo = tmp_path / "repo"
    store = icechunk.Repository.create(icechunk.local_filesystem_storage(str(repo)))
    empty = store.lookup_branch("main")
    session = store.writable_session("main")
    zarr.create_array(session.store, name="air", shape=(1,), chunks=(1,), dtype="i1")
    session.commit("theirs")
    out = build(grow(4), split="time", region=2)
    with pytest.raises(parchunk.InputError, match="no virtual chunk container") as error:
        parchunk.to_icechunk(out, str(repo))
    scope = {"repo": store}
    exec(str(error.value).partition("and run: ")[2], scope)
    for how in ({"branch": "daily"}, {"branch": "daily", "publish": True}, {"publish": True}):
        with pytest.raises(parchunk.InputError, match="already has an array 'air' that is not"):
            parchunk.to_icechunk(out, str(repo), **how)
        assert set(store.list_branches()) == {"main"}
    with pytest.raises(parchunk.InputError, match="--workers must be 1"):
        parchunk.to_icechunk(out, str(repo), branch="daily", workers=0)
    assert set(store.list_branches()) == {"main"}
    store.create_branch("daily", empty)  # the remedy
    assert parchunk.to_icechunk(out, str(repo), branch="daily").finished


def test_publishing_moves_the_branch_when_all_is_in(
    grow, build, opened, commits, assert_equal, tmp_path
):
    source = grow(12)
    out = build(source, split="time", region=4)
    repo = str(tmp_path / "repo")
    first = parchunk.to_icechunk(out, repo, publish=True, regions=[0, 1])
    assert not first.published
    assert first.on_side == "parchunk-import-main"
    assert not _members(repo, "main")
    second = parchunk.to_icechunk(out, repo, publish=True)
    assert second.published
    assert [commit.region for commit in second.commits] == [2]
    assert_equal(zarr.open_group(source, mode="r"), opened(repo))
    assert set(parchunk.open_icechunk(repo).list_branches()) == {"main"}
    third = parchunk.to_icechunk(out, repo, publish=True)
    assert third.commits == ()
    assert third.published
    assert len(commits(repo)) == 4


def test_readers_of_a_published_branch_see_an_update_whole_or_not_at_all(
    grow, build, opened, assert_equal, tmp_path
):
    repo = str(tmp_path / "repo")
    parchunk.to_icechunk(build(grow(8), split="time", region=4), repo, publish=True)
    out = build(grow(16), split="time", region=4)
    parchunk.to_icechunk(out, repo, publish=True, regions=[2])
    assert opened(repo)["air"].shape == (8, 4, 6)
    assert parchunk.to_icechunk(out, repo, publish=True).published
    assert_equal(zarr.open_group(tmp_path / "source", mode="r"), opened(repo))


def test_publishing_does_not_lose_commits_of_others(grow, build, opened, tmp_path):
    repo = str(tmp_path / "repo")
    out = build(grow(8), split="time", region=4)
    parchunk.to_icechunk(out, repo, publish=True, regions=[0])
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(repo))
    session = repository.writable_session("main")
    zarr.create_group(session.store).create_array("mine", shape=(3,), dtype="i4")
    session.commit("mine")
    with pytest.raises(parchunk.InputError, match="has got commits since") as told:
        parchunk.to_icechunk(out, repo, publish=True)
    assert "repo.delete_branch('parchunk-import-main')" in str(told.value)
    repository.delete_branch("parchunk-import-main")
    assert parchunk.to_icechunk(out, repo, publish=True).published
    assert set(_members(repo, "main")) >= {"mine", "air"}


def test_a_commit_of_another_writer_is_rebased_over(
    grow, build, opened, assert_equal, monkeypatch, tmp_path
):
    repo = str(tmp_path / "repo")
    out = build(grow(8), split="time", region=4)
    parchunk.to_icechunk(out, repo, regions=[0])
    _commit_before(monkeypatch, repo, lambda group: group.create_array("b", shape=(2,), dtype="i4"))
    assert parchunk.to_icechunk(out, repo).finished
    assert "b" in _members(repo, "main")
    assert opened(repo)["air"][7, 3, 5] == 192


def test_a_conflict_is_reported_in_one_line(grow, build, monkeypatch, tmp_path):
    repo = str(tmp_path / "repo")
    out = build(grow(8), split="time", region=4)
    parchunk.to_icechunk(out, repo, regions=[0])

    def write(group: zarr.Group) -> None:
        group["air"][7] = 0

    _commit_before(monkeypatch, repo, write)
    with pytest.raises(
        parchunk.OutputError, match="another writer changed the same arrays"
    ) as told:
        parchunk.to_icechunk(out, repo)
    assert "\n" not in str(told.value)
    assert "run the same import again" in str(told.value)


def test_the_same_import_in_another_process_wins_quietly(grow, build, monkeypatch, tmp_path):
    repo = str(tmp_path / "repo")
    out = build(grow(8), split="time", region=4)
    parchunk.to_icechunk(out, repo, regions=[0])
    real = icechunk.Session.commit
    calls = []

    def commit(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(self)
        if len(calls) == 1:
            parchunk.to_icechunk(out, repo)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(icechunk.Session, "commit", commit)
    result = parchunk.to_icechunk(out, repo)
    assert len(calls) == 3, "its own, the other one's, its own over that"
    assert result.finished
    assert result.commits == ()


def _commit_before(
    monkeypatch: pytest.MonkeyPatch, repo: str, change: Callable[[zarr.Group], Any]
) -> None:
    """Let another writer commit ``change`` just before the import's next commit."""
    real = icechunk.Session.commit
    done = []

    def commit(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not done:
            done.append(1)
            other = icechunk.Repository.open(icechunk.local_filesystem_storage(repo))
            session = other.writable_session("main")
            change(zarr.open_group(session.store))
            real(session, "another writer")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(icechunk.Session, "commit", commit)


def _members(repo: str | Path, branch: str) -> list[str]:
    session = parchunk.open_icechunk(str(repo)).readonly_session(branch)
    try:
        return [name for name, _ in zarr.open_group(session.store, mode="r").members()]
    except FileNotFoundError:
        return []


def test_an_array_of_others_is_not_taken_over_when_the_source_gets_one_of_its_name(
    grow, build, opened, tmp_path
):
    """Of the same chunks and data type; one that an import made first, and others anew, is."""
    source, repo = grow(4), str(tmp_path / "repo")
    out = build(source, split="time", region=2)
    parchunk.to_icechunk(out, repo)
    options: dict[str, Any] = {"shape": (4,), "chunks": (1,), "dtype": "i4", "fill_value": 0}
    store = icechunk.Repository.open(icechunk.local_filesystem_storage(repo))
    session = store.writable_session("main")
    root = zarr.open_group(session.store)
    root.create_array("rain", dimension_names=["time"], **options)[...] = 9
    del root["height"]
    session.commit("theirs")
    zarr.open_group(source).create_array("rain", dimension_names=["time"], **options)[...] = 5
    parchunk.update(out)
    for _ in range(2):
        with pytest.raises(parchunk.InputError, match="an array 'rain' that is not parchunk's"):
            parchunk.to_icechunk(out, repo)
    assert opened(repo)["rain"][...].tolist() == [9] * 4
    assert parchunk.to_icechunk(out, repo, exclude="rain").finished
    assert opened(repo)["height"][3, 5] == 23
    session = store.writable_session("main")
    del zarr.open_group(session.store)["rain"]
    session.commit("theirs no more")
    assert parchunk.to_icechunk(out, repo).finished
    assert opened(repo)["rain"][...].tolist() == [5] * 4
