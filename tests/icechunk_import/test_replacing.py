"""Imports over imports: other regions, other splits, chunks that went and came back."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.examples import examples

import icechunk
import parchunk

NAMES = ("both", "along", "across")


class Lab:
    """A source whose chunks can be put aside and back, with times and all, and a repository."""

    def __init__(self, folder: Path, steps: int = 8, width: int = 6) -> None:
        self.folder = folder
        self.source = folder / "source"
        self.repo = str(folder / "repo")
        root = zarr.open_group(self.source, mode="w", zarr_format=3)
        for name, shape, chunks, dims in (
            ("both", (steps, width), (1, 2), ("t", "x")),
            ("along", (steps,), (1,), ("t",)),
            ("across", (width,), (1,), ("x",)),
        ):
            array = root.create_array(
                name, shape=shape, chunks=chunks, dtype="i4", dimension_names=dims, fill_value=0
            )
            array[...] = np.arange(1, array.size + 1).reshape(shape)

    def toggle(self, key: str) -> None:
        """Take a chunk away, or put it back as it was."""
        here, aside = self.source / key, self.folder / "aside" / key
        old, new = (here, aside) if here.exists() else (aside, here)
        if old.exists():
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(old, new)

    def resize(self, steps: int, width: int) -> None:
        """Set both lengths; what is cut off comes back as fill values."""
        root = zarr.open_group(self.source, mode="a")
        root["both"].resize((steps, width))
        root["along"].resize((steps,))
        root["across"].resize((width,))

    def load(self, regions: list[int] | None = None, **options: Any) -> parchunk.ImportResult:
        """Build and import."""
        out = str(self.folder / "out")
        parchunk.build(parchunk.plan(str(self.source), **options), out, overwrite=True)
        return parchunk.to_icechunk(out, self.repo, regions=regions)

    def check(self) -> None:
        """Compare all values with the source's, and the repository's chunks with its objects."""
        session = parchunk.open_icechunk(self.repo).readonly_session("main")
        theirs = zarr.open_group(self.source, mode="r")
        ours = zarr.open_group(session.store, mode="r")
        for name in NAMES:
            assert ours[name][...].tolist() == theirs[name][...].tolist(), name
        compared = parchunk.icechunk_import.compare_with_repo(
            str(self.folder / "out"), self.repo, sample=1000
        )
        assert compared.equal, compared.findings


def test_a_chunk_that_came_back_is_imported_by_the_regions_of_before(tmp_path):
    lab = Lab(tmp_path)
    lab.load(split="t", region=2)
    lab.toggle("both/c/7/0")
    lab.load(split="t", region=4)
    lab.check()
    lab.toggle("both/c/7/0")
    again = lab.load(split="t", region=2)
    # the record size is another, and so the whole array's content
    assert [commit.region for commit in again.commits] == [None, 0, 1, 2, 3]
    lab.check()
    assert lab.load(split="t", region=2).commits == ()


@pytest.mark.parametrize(
    ("before", "after", "gone"),
    [(4, 2, 0), (4, 2, 3), (2, 4, 7), (2, 2, 3), (4, 8, 7), (8, 2, 0), (8, 2, 3)],
)
def test_a_chunk_that_went_is_no_longer_referenced(tmp_path, before, after, gone):
    lab = Lab(tmp_path)
    lab.load(split="t", region=before)
    lab.toggle(f"both/c/{gone}/1")
    lab.load(split="t", region=after)
    lab.check()


def test_a_chunk_that_went_is_no_longer_referenced_where_its_import_has_expired(tmp_path):
    """The history that is left does not say that the branch ever had the chunk."""
    lab = Lab(tmp_path)
    lab.load(split="t", region=4)
    lab.resize(12, 6)
    lab.load(split="t", region=4)
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(lab.repo))
    commits = list(repo.ancestry(branch="main"))
    assert [c.metadata["parchunk"]["region"] for c in commits[:-1]] == [None, 1, 0, None]
    repo.expire_snapshots(commits[0].written_at - timedelta(microseconds=1))
    assert len(list(repo.ancestry(branch="main"))) == 2
    lab.toggle("both/c/3/1")
    lab.load(split="t", region=4)
    lab.check()


def test_only_regions_that_another_import_went_over_are_imported_again(tmp_path):
    lab = Lab(tmp_path)
    lab.load(split="t", region=2)
    lab.load(split="t", region=4, regions=[1])
    again = lab.load(split="t", region=2)
    assert [commit.region for commit in again.commits] == [None, 2, 3]
    lab.check()


def test_an_array_that_is_no_longer_whole_loses_the_chunks_that_are_gone(tmp_path):
    lab = Lab(tmp_path)
    lab.load(split="x", region=2)
    lab.toggle("along/c/3")
    again = lab.load(split="t", region=2)
    assert sum(commit.deleted for commit in again.commits) == 1
    lab.check()
    assert lab.load(split="t", region=2).commits == ()


def test_an_array_that_is_whole_again_is_imported_though_its_content_was_in_before(tmp_path):
    """Its hierarchy is older than the regions that went over its chunks."""
    lab = Lab(tmp_path)
    # one array without a name for the axis: by its number it is split, else it is whole
    root = zarr.open_group(lab.source, mode="a")
    array = root.create_array("plain", shape=(4,), chunks=(1,), dtype="i4", fill_value=0)
    array[...] = 5
    lab.load(include=["plain", "both"], split="t", region=8)
    lab.toggle("plain/c/3")
    lab.load(include=["plain"], split=0, region=2)
    lab.toggle("plain/c/3")
    again = lab.load(include=["plain", "both"], split="t", region=8)
    assert [commit.region for commit in again.commits] == [None, 0]
    shutil.rmtree(lab.source / "plain")
    lab.load()
    lab.check()


@pytest.mark.parametrize(("steps", "width"), [(4, 6), (8, 2), (6, 4)])
def test_what_a_shorter_store_lost_is_imported_when_it_is_back(tmp_path, steps, width):
    lab = Lab(tmp_path)
    shutil.copytree(lab.source, tmp_path / "kept")
    lab.load(split="t", region=2)
    lab.resize(steps, width)
    lab.load(split="t", region=2, regions=[0])
    shutil.rmtree(lab.source)
    shutil.copytree(tmp_path / "kept", lab.source)
    lab.load(split="t", region=2)
    lab.check()


def test_appended_regions_are_not_looked_for_in_the_repository(tmp_path, monkeypatch):
    """The branch once had another split; what was never there needs no look at all chunks."""
    lab = Lab(tmp_path)
    lab.load(split="x", region=2)
    lab.load(split="t", region=4)
    root = zarr.open_group(lab.source, mode="a")
    for name in ("both", "along"):
        root[name].resize((16, *root[name].shape[1:]))
        root[name][8:] = 7
    asked = []
    held = parchunk.icechunk_import.adapter.held_chunks

    def noted(session, path, rank):
        asked.append(path)
        return held(session, path, rank)

    monkeypatch.setattr(parchunk.icechunk_import.adapter, "held_chunks", noted)
    again = lab.load(split="t", region=4)
    assert [commit.region for commit in again.commits] == [None, 2, 3]
    assert set(asked) == {"/across"}
    monkeypatch.undo()
    lab.check()


keys = st.one_of(
    st.tuples(st.just("both"), st.integers(0, 7), st.integers(0, 2)),
    st.tuples(st.just("along"), st.integers(0, 7)),
    st.tuples(st.just("across"), st.integers(0, 5)),
)
loads = st.fixed_dictionaries(
    {
        "split": st.sampled_from(["t", "x", "t"]),
        "region": st.sampled_from([2, 4, 6, 20]),
        "regions": st.one_of(st.none(), st.sets(st.integers(0, 3), min_size=1)),
        "record_size": st.sampled_from([None, None, 7]),
    }
)
step = st.tuples(
    st.lists(keys, max_size=3),
    st.one_of(st.none(), st.tuples(st.integers(1, 10), st.integers(1, 8))),
    loads,
)


@settings(
    max_examples=examples(5),
    deadline=None,
    phases=[Phase.generate],  # to shrink a failure would take minutes
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
@given(st.lists(step, min_size=2, max_size=6))
def test_any_sequence_of_imports_ends_with_what_the_source_has(steps):
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        for toggled, lengths, how in steps:
            if lengths is not None:
                lab.resize(*lengths)
            shape = zarr.open_group(lab.source, mode="r")["both"].shape
            for name, *index in toggled:
                size = {"both": shape, "along": shape[:1], "across": shape[1:]}[name]
                chunks = (1, 2) if name == "both" else (1,)
                if all(at * chunk < n for at, chunk, n in zip(index, chunks, size, strict=True)):
                    lab.toggle("/".join([name, "c", *map(str, index)]))
            options = {key: value for key, value in how.items() if key != "regions" and value}
            try:
                plan = parchunk.plan(str(lab.source), **options)
            except parchunk.InputError:
                continue
            regions = how["regions"]
            if regions is not None:
                regions = sorted(regions & set(range(len(plan.regions))))
            lab.load(regions, **options)
            if regions is None:
                lab.check()
                assert lab.load(**options).commits == ()
        lab.load()
        lab.check()
