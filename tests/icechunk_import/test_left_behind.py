"""Arrays that are on a branch from an earlier import, and not in OUT: told of, and left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.branches import Branch
from parchunk.icechunk_import.history import Entry


def grow(source: Path, steps: int, *names: str) -> None:
    """Write arrays of so many steps; others stay as they are."""
    group = zarr.open_group(source, mode="a")
    for name in names:
        if name in group:
            array: Any = group[name]
            array.resize((steps, 4))
        else:
            array = group.create_array(
                name, shape=(steps, 4), chunks=(4, 4), dtype="f8", dimension_names=("time", "x")
            )
        array[...] = np.arange(steps * 4).reshape(steps, 4) + 1


@pytest.fixture
def source(tmp_path: Path) -> Path:
    grow(tmp_path / "s", 16, "air", "rain")
    return tmp_path / "s"


@pytest.fixture
def repo(tmp_path: Path) -> str:
    return str(tmp_path / "repo")


@pytest.fixture
def out(source: Path, repo: str, tmp_path: Path) -> str:
    """References of which rain is gone, and air has grown, since they were imported."""
    out = str(tmp_path / "out")
    parchunk.build(parchunk.plan(str(source), split="time", region=8), out)
    parchunk.to_icechunk(out, repo)
    del zarr.open_group(source)["rain"]
    grow(source, 24, "air")
    parchunk.update(out, allow_gone=True)
    return out


def test_it_is_told_when_deleting_it_loses_nothing(out: str, repo: str) -> None:
    """A commit beside an import that is aside would keep that from being published."""
    part = parchunk.to_icechunk(out, repo, publish=True, regions=[0])
    assert (part.remaining != (), part.notes) == (True, ())
    (note,) = parchunk.to_icechunk(out, repo, publish=True).notes
    assert note.startswith("rain is on branch main")
    exec(note.partition("run: ")[2], {"repo": parchunk.open_icechunk(repo)})
    grow(Path(out).parent / "s", 32, "air")
    parchunk.update(out)
    assert parchunk.to_icechunk(out, repo, publish=True).notes == ()


def test_it_is_told_by_the_import_that_ends_one_which_was_cut_short(out: str, repo: str) -> None:
    def cut(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parchunk.to_icechunk(out, repo, progress=cut)
    again = parchunk.to_icechunk(out, repo)
    assert None not in {commit.region for commit in again.commits}  # the hierarchy was in
    (note,) = again.notes
    assert note.startswith("rain is on branch main")
    assert parchunk.to_icechunk(out, repo).notes == ()


def test_living_arrays_of_another_out_are_not_called_gone(
    source: Path, repo: str, tmp_path: Path
) -> None:
    notes: list[str] = []
    for name in ("air", "rain"):
        plan = parchunk.plan(str(source), include=[name], split="time", region=8)
        parchunk.build(plan, str(tmp_path / name))
        notes += parchunk.to_icechunk(str(tmp_path / name), repo).notes
    (note,) = notes
    assert "not in OUT: it stays as it was then, which is right if it is another OUT's" in note
    (found,) = parchunk.audit(str(tmp_path / "air"), icechunk=repo).findings
    assert (found.array, found.severity) == ("rain", "notice")
    assert "if it is of other references" in found.remedy


def test_each_night_as_much_of_the_history_is_looked_at(
    source: Path, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an array has come in one of them."""
    looked: list[int] = []
    made = adapter.made_arrays

    def counted(*arguments: Any) -> Any:
        looked[-1] += 1
        return made(*arguments)

    out = str(tmp_path / "out")
    parchunk.build(parchunk.plan(str(source), split="time", region=8), out)
    parchunk.to_icechunk(out, repo)
    monkeypatch.setattr(adapter, "made_arrays", counted)
    for night in range(1, 6):
        grow(source, 16 + 4 * night, "air", "rain", *["snow"] * (night > 1))
        parchunk.update(out)
        looked.append(0)
        parchunk.to_icechunk(out, repo)
    assert looked[1] == looked[-1] > 0


def test_what_an_import_made_anew_after_others_is_an_imports() -> None:
    import icechunk

    repository = icechunk.Repository.create(icechunk.in_memory_storage())

    def commit(by_import: bool, change: Callable[[zarr.Group], object]) -> None:
        entry = Entry("hierarchy", "c", "f", "s", 0, 0, 0, arrays="digest")
        session = repository.writable_session("main")
        change(zarr.open_group(session.store))
        session.commit("x", metadata=entry.to_metadata() if by_import else {})

    def make(group: zarr.Group) -> None:
        group.create_array("a", shape=(2,), dtype="i4", overwrite=True)

    def delete(group: zarr.Group) -> None:
        del group["a"]

    commit(True, make)
    for change in (delete, make, delete):
        commit(False, change)
    commit(True, make)
    branch = Branch(repository, "memory", "main")
    assert branch.imported() == {"a"}
    assert branch.has_imported("a")
