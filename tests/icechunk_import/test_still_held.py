"""Arrays that others deleted, cut or moved on the branch are imported again, as no commit says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import zarr

import icechunk
import parchunk


def by_others(repo: str, deed: Callable[[zarr.Group], Any], branch: str = "main") -> None:
    """Commit what somebody does to the root group of a branch."""
    storage = icechunk.local_filesystem_storage(repo)
    session = icechunk.Repository.open(storage).writable_session(branch)
    deed(zarr.open_group(session.store))
    session.commit("by others")


def delete(name: str) -> Callable[[zarr.Group], None]:
    def deed(root: zarr.Group) -> None:
        del root[name]

    return deed


def cut(root: zarr.Group) -> None:
    root["air"].resize((5, 4, 6))


@pytest.mark.parametrize(
    ("deed", "regions", "publish"),
    [
        (delete("air"), [0, 1, 2], True),
        (delete("deep"), [0, 1, 2], False),
        (delete("height"), [], True),
        (cut, [1, 2], False),
    ],
)
def test_what_others_took_away_is_imported_again(
    deed, regions, publish, grow, build, opened, assert_equal, tmp_path
):
    source, repo = grow(12), str(tmp_path / "repo")
    out = build(source, split="time", region=4)
    parchunk.to_icechunk(out, repo)
    by_others(repo, deed)
    result = parchunk.to_icechunk(out, repo, publish=publish)
    assert [commit.region for commit in result.commits] == [None, *regions]
    assert "what an import had brought" in " ".join(result.notes)
    assert_equal(zarr.open_group(source, mode="r"), opened(repo))
    assert not parchunk.audit(out, icechunk=repo).findings
    last = parchunk.to_icechunk(out, repo, publish=publish)
    assert (last.commits, last.notes) == ((), ())


def test_an_array_that_others_made_anew_in_other_chunks_is_refused(grow, build, tmp_path):
    repo = str(tmp_path / "repo")
    out = build(grow(4), split="time", region=2, include=["air"])
    parchunk.to_icechunk(out, repo)

    def replace(root: zarr.Group) -> None:
        held = root["air"]
        del root["air"]
        root.create_array("air", shape=held.shape, chunks=held.shape, dtype=held.dtype)

    by_others(repo, replace)
    with pytest.raises(parchunk.InputError, match="already has an array 'air' of other chunks"):
        parchunk.to_icechunk(out, repo)


def test_regions_of_an_array_that_was_made_anew_come_one_by_one(grow, build, opened, tmp_path):
    """The commit that makes it anew says that it is empty. A chunk that went is not left behind."""
    source, repo = grow(12), str(tmp_path / "repo")
    out = build(source, split="time", region=4, include=["air"])
    parchunk.to_icechunk(out, repo)
    by_others(repo, cut)
    (source / "air/c/9/0/0").unlink()
    grow(16)
    parchunk.update(out, regions=2)
    first = parchunk.to_icechunk(out, repo, regions=[1])
    assert [commit.region for commit in first.commits] == [None, 1]
    assert first.remaining == (2, 3)
    assert [c.region for c in parchunk.to_icechunk(out, repo).commits] == [2, 3]
    wanted = zarr.open_group(source, mode="r")["air"][...].tolist()
    assert repr(opened(repo)["air"][...].tolist()) == repr(wanted)
    assert not [f for f in parchunk.audit(out, icechunk=repo).findings if "differs" in f.message]


def test_what_was_appended_to_and_is_gone_is_refused(grow, build, tmp_path):
    first, second = grow(8), grow(8, "second")
    arrays = {"include": ["air"], "split": "time", "region": 4}
    repo = str(tmp_path / "repo")
    parchunk.to_icechunk(build(first, **arrays), repo)
    out = build(second, "behind", **arrays)
    stored = icechunk.Repository.open(icechunk.local_filesystem_storage(repo))
    with pytest.raises(parchunk.InputError, match="no virtual chunk container") as error:
        parchunk.to_icechunk(out, repo, append="time")
    exec(str(error.value).partition("and run: ")[2], {"repo": stored})
    assert parchunk.to_icechunk(out, repo, append="time").finished
    assert parchunk.to_icechunk(out, repo, append="time").commits == ()
    by_others(repo, lambda root: root["air"].resize((11, 4, 6)))
    with pytest.raises(parchunk.InputError, match=r"11 elements in .* fewer than when it was app"):
        parchunk.to_icechunk(out, repo, append="time")
    by_others(repo, delete("air"))
    with pytest.raises(parchunk.InputError, match=r"air: is in .*, and not in"):
        parchunk.to_icechunk(out, repo, append="time")
    assert set(stored.list_branches()) == {"main"}
