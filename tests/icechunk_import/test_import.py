"""Source -> references -> Icechunk -> zarr, bit for bit; restart, update, branches."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import icechunk
import parchunk


def test_one_commit_for_the_hierarchy_and_each_region(
    grow, build, opened, commits, assert_equal, tmp_path
):
    source = grow(12)
    out = build(source, split="time", region=4)
    result = parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert result.created
    assert result.finished
    assert [commit.region for commit in result.commits] == [None, 0, 1, 2]
    assert assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo")) == 5
    made = commits(tmp_path / "repo")
    assert [commit.message.partition(":")[0] for commit in made] == [
        "The hierarchy and the whole arrays",
        "Region 0 (time 0 to 4)",
        "Region 1 (time 4 to 8)",
        "Region 2 (time 8 to 12)",
    ]
    plan = json.loads((Path(out) / ".parchunk/plan.json").read_text())
    for at, commit in enumerate(made[1:]):
        told = commit.metadata["parchunk"]
        assert told["fingerprint"] == plan["fingerprint"]
        assert told["source"] == str(source)
        assert (told["dimension"], told["start"], told["stop"]) == ("time", at * 4, at * 4 + 4)
        assert (told["references"], told["missing"]) == (4 * 4 + 2 * 2, 0)
    first = made[0].metadata["parchunk"]
    assert (first["references"], first["inlined"]) == (2 + 1, 3), "the coordinate is inline"


def test_metadata_is_the_sources_own_but_for_the_chunk_keys(grow, build, tmp_path):
    source = grow(4)
    parchunk.to_icechunk(build(source, split="time", region=4), str(tmp_path / "repo"))
    store = parchunk.open_icechunk(str(tmp_path / "repo")).readonly_session("main").store
    for name in ("air", "deep/rain", "height", "crs", "time", "deep", ""):
        key = f"{name}/zarr.json" if name else "zarr.json"
        original = json.loads((source / key).read_text())
        original.pop("consolidated_metadata", None)
        got = json.loads(
            zarr.core.sync.sync(
                store.get(key, zarr.core.buffer.default_buffer_prototype())
            ).to_bytes()
        )
        if "chunk_key_encoding" in original:
            original["chunk_key_encoding"] = {
                "name": "default",
                "configuration": {"separator": "/"},
            }
        assert got == original


def test_a_second_import_commits_nothing(grow, build, commits, tmp_path):
    out = build(grow(8), split="time", region=4)
    parchunk.to_icechunk(out, str(tmp_path / "repo"))
    before = [commit.id for commit in commits(tmp_path / "repo")]
    again = parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert again.commits == ()
    assert again.finished
    assert not again.created
    assert [commit.id for commit in commits(tmp_path / "repo")] == before


def test_a_subset_then_the_rest(grow, build, opened, assert_equal, tmp_path):
    source = grow(12)
    out = build(source, split="time", region=4)
    first = parchunk.to_icechunk(out, str(tmp_path / "repo"), regions=[2])
    assert [commit.region for commit in first.commits] == [None, 2]
    assert first.remaining == (0, 1)
    assert not first.finished
    part = opened(tmp_path / "repo")["air"]
    assert part.shape == (12, 4, 6)
    assert np.isnan(part[:8]).all()
    assert not np.isnan(part[8:]).any()
    rest = parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert [commit.region for commit in rest.commits] == [0, 1]
    assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo"))
    with pytest.raises(parchunk.InputError, match="there is no region 3: the plan has 3, 0 to 2"):
        parchunk.to_icechunk(out, str(tmp_path / "repo"), regions=[3])


def test_missing_chunks_stay_missing_and_empty_regions_need_no_commit(
    grow, build, opened, indices, assert_equal, tmp_path
):
    source = grow(12)
    for step in range(4, 8):
        shutil.rmtree(source / f"air/c/{step}")
    shutil.rmtree(source / "deep/rain/c/2")
    shutil.rmtree(source / "deep/rain/c/3")
    (source / "air/c/9/1/0").unlink()
    out = build(source, split="time", region=4)
    result = parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert [commit.region for commit in result.commits] == [None, 0, 2]
    assert result.finished
    assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo"))
    assert (9, 1, 0) not in indices(tmp_path / "repo", "air")
    assert parchunk.to_icechunk(out, str(tmp_path / "repo")).commits == ()


def test_importing_again_replaces_only_what_changed_and_exactly(
    grow, build, opened, indices, assert_equal, tmp_path
):
    source = grow(12)
    parchunk.to_icechunk(build(source, split="time", region=4), str(tmp_path / "repo"))
    zarr.open_group(source)["air"][5] = -1
    for key in ("air/c/4/0/0", "air/c/7/1/1", "deep/rain/c/2/0/1"):
        (source / key).unlink()
    again = parchunk.to_icechunk(build(source, split="time", region=4), str(tmp_path / "repo"))
    assert [(commit.region, commit.deleted) for commit in again.commits] == [(1, 3)]
    assert not {(4, 0, 0), (7, 1, 1)} & indices(tmp_path / "repo", "air")
    assert len(indices(tmp_path / "repo", "air")) == 12 * 4 - 2
    assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo"))


def test_a_store_that_grew_keeps_its_old_regions(
    grow, build, opened, commits, assert_equal, tmp_path
):
    parchunk.to_icechunk(build(grow(10), split="time", region=4), str(tmp_path / "repo"))
    source = grow(14)
    result = parchunk.to_icechunk(build(source, split="time", region=4), str(tmp_path / "repo"))
    assert [commit.region for commit in result.commits] == [None, 2, 3]
    assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo"))
    assert len(commits(tmp_path / "repo")) == 4 + 3


def test_a_store_that_shrank_loses_its_chunks(grow, build, opened, indices, assert_equal, tmp_path):
    source = grow(12)
    parchunk.to_icechunk(build(source, split="time", region=4), str(tmp_path / "repo"))
    root = zarr.open_group(source)
    for name in ("air", "deep/rain"):
        root[name].resize((6, 4, 6))
    root["time"].resize((6,))
    parchunk.to_icechunk(build(source, split="time", region=4), str(tmp_path / "repo"))
    assert max(index[0] for index in indices(tmp_path / "repo", "air")) == 5
    assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo"))
    # and growing again does not bring the old chunks back
    store = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "repo")))
    session = store.writable_session("main")
    zarr.open_group(session.store)["air"].resize((12, 4, 6))
    session.commit("longer")
    assert np.isnan(opened(tmp_path / "repo")["air"][6:]).all()


def test_another_region_length_replaces_what_was_there(
    grow, build, opened, indices, assert_equal, tmp_path
):
    source = grow(12)
    parchunk.to_icechunk(build(source, split="time", region=4), str(tmp_path / "repo"))
    (source / "air/c/5/0/0").unlink()
    result = parchunk.to_icechunk(build(source, split="time", region=6), str(tmp_path / "repo"))
    assert [commit.region for commit in result.commits] == [0, 1]
    assert (5, 0, 0) not in indices(tmp_path / "repo", "air")
    assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo"))


@pytest.mark.parametrize("split", ["y", "x"])
def test_regions_along_a_later_axis(split, grow, build, opened, assert_equal, tmp_path):
    source = grow(6)
    out = build(source, split=split, region={"y": 4, "x": 3}[split], include=["air", "height"])
    result = parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert result.finished
    theirs, ours = zarr.open_group(source, mode="r"), opened(tmp_path / "repo")
    for name in ("air", "height"):
        np.testing.assert_array_equal(theirs[name][...], ours[name][...])


def test_record_files_that_straddle_regions(build, opened, assert_equal, tmp_path):
    source = tmp_path / "odd"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    array = root.create_array(
        "a", shape=(21, 5, 7), chunks=(1, 1, 2), dtype="i4", dimension_names=("t", "y", "x")
    )
    array[...] = np.random.default_rng(1).integers(1, 99, array.shape)
    for key in ("a/c/3/2/1", "a/c/0/0/0", "a/c/20/4/3"):
        (source / key).unlink()
    out = build(source, split="t", region=5, record_size=37)
    repo = str(tmp_path / "repo")
    assert len(parchunk.to_icechunk(out, repo, regions=[1, 3]).commits) == 3
    assert parchunk.to_icechunk(out, repo).finished
    assert_equal(zarr.open_group(source, mode="r"), opened(repo))


def test_inlined_chunks_become_native(grow, build, opened, assert_equal, tmp_path):
    source = grow(8)
    out = build(source, split="time", region=4, inline_threshold=2000)
    result = parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert result.references == 0
    assert sum(commit.inlined for commit in result.commits) > 0
    ours = opened(tmp_path / "repo")
    expected = zarr.open_group(grow(8, "copy"), mode="r")
    shutil.rmtree(source)
    assert_equal(expected, ours)


def test_a_changed_object_is_refused_on_read(grow, build, opened, tmp_path):
    source = grow(8)
    out = build(source, split="time", region=4)
    parchunk.to_icechunk(out, str(tmp_path / "repo"))
    parchunk.to_icechunk(out, str(tmp_path / "lax"), checksum=False)
    assert opened(tmp_path / "repo")["air"][0, 0, 0] == 1
    changed = source / "air/c/0/0/0"
    later = time.time() + 5
    os.utime(changed, (later, later))
    with pytest.raises(icechunk.IcechunkError, match=r"has changed|modified"):
        opened(tmp_path / "repo")["air"][0]
    assert opened(tmp_path / "repo")["air"][1, 0, 0] == 25
    assert opened(tmp_path / "lax")["air"][0, 0, 0] == 1


def test_a_time_right_at_a_seconds_edge_is_not_taken_for_a_change(grow, build, opened, tmp_path):
    source = grow(4)
    for fraction, name in ((0.0, "even"), (0.000001, "just"), (0.999999, "almost")):
        for path in source.rglob("*"):
            if path.is_file():
                os.utime(path, (1_700_000_000 + fraction, 1_700_000_000 + fraction))
        out = build(source, name, split="time", region=4)
        parchunk.to_icechunk(out, str(tmp_path / f"repo {name}"))
        assert opened(tmp_path / f"repo {name}")["air"][3, 3, 5] == 96


@pytest.mark.parametrize("name", ["with space", "a#b%20?c", "é/ü", "plain/with space/plain"])
def test_names_that_urls_must_encode(name, build, opened, assert_equal, tmp_path):
    source = tmp_path / name / "source"
    root = zarr.open_group(zarr.storage.LocalStore(source), mode="w", zarr_format=3)
    for array in ("a b", "a#?%", "ä+&"):
        root.create_array(
            array, shape=(6, 2), chunks=(1, 1), dtype="i4", dimension_names=("t", "x")
        )[...] = np.arange(1, 13).reshape(6, 2)
    out = build(source, split="t", region=2)
    parchunk.to_icechunk(out, str(tmp_path / "repo"))
    theirs = zarr.open_group(zarr.storage.LocalStore(source, read_only=True), mode="r")
    assert assert_equal(theirs, opened(tmp_path / "repo")) == 3


def test_zero_length_and_empty_arrays(build, opened, assert_equal, tmp_path):
    source = tmp_path / "source"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    root.create_array("empty", shape=(0, 3), chunks=(1, 3), dtype="f4")
    root.create_array("never", shape=(4, 3), chunks=(1, 3), dtype="f4", fill_value=7)
    root.create_array("scalar", shape=(), dtype="f4", fill_value=3)
    parchunk.to_icechunk(build(source), str(tmp_path / "repo"))
    assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo"))


def test_an_array_given_alone(grow, build, opened, tmp_path):
    source = grow(4)
    parchunk.to_icechunk(
        build(source / "deep/rain", split="time", region=2), str(tmp_path / "repo")
    )
    np.testing.assert_array_equal(
        opened(tmp_path / "repo")["rain"][...], zarr.open_array(source / "deep/rain")[...]
    )


def test_whole_arrays_alone_need_one_commit(grow, build, opened, tmp_path):
    out = build(grow(4), include=["height", "crs"])
    result = parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert result.finished
    assert opened(tmp_path / "repo")["crs"][()] == 4326


# Refusals, before anything is written


def test_an_unfinished_build_is_refused(grow, build, tmp_path):
    out = build(grow(8), split="time", region=4)
    (Path(out) / ".parchunk/receipts/air/1.json").unlink()
    with pytest.raises(parchunk.InputError, match=r"unfinished \(1 partition is missing\): run"):
        parchunk.to_icechunk(out, str(tmp_path / "repo"))
    build(tmp_path / "source", split="time", region=4)
    (Path(out) / ".zmetadata").unlink()
    with pytest.raises(parchunk.InputError, match="it was not published"):
        parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert not (tmp_path / "repo").exists()


def test_a_changed_record_file_is_refused(grow, build, commits, tmp_path):
    out = build(grow(8), split="time", region=4)
    (Path(out) / "air/refs.0.parq").write_bytes((Path(out) / "air/refs.1.parq").read_bytes())
    with pytest.raises(parchunk.InputError, match=r"refs\.0\.parq is not what its receipt says"):
        parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert len(commits(tmp_path / "repo")) == 1


def test_too_large_a_region_is_refused_with_the_length_that_fits(grow, build, tmp_path):
    out = build(grow(12), split="time", region=12)
    with pytest.raises(
        parchunk.InputError, match=r"60 references, more than the 50 .* --region 10"
    ):
        parchunk.to_icechunk(out, str(tmp_path / "repo"), max_references=50)
    assert not (tmp_path / "repo").exists()
    out = build(tmp_path / "source", split="time", region=10)
    assert parchunk.to_icechunk(out, str(tmp_path / "repo"), max_references=50).finished


def test_a_folder_of_something_else_is_refused(grow, build, tmp_path):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/mine").write_text("")
    out = build(grow(4), split="time", region=4)
    with pytest.raises(parchunk.InputError, match="holds something that is no Icechunk repository"):
        parchunk.to_icechunk(out, str(tmp_path / "repo"))


def test_arrays_of_others_are_refused(grow, build, tmp_path):
    repo = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "repo")))
    session = repo.writable_session("main")
    zarr.create_group(session.store).create_array("air", shape=(3,), dtype="i4")
    session.commit("mine")
    out = build(grow(4), split="time", region=4)
    with pytest.raises(parchunk.InputError, match="no virtual chunk container for file://") as told:
        parchunk.to_icechunk(out, repo)
    # the code that the message shows is the remedy
    code = str(told.value).partition("import icechunk as ic; ")[2]
    scope: dict[str, Any] = {"ic": icechunk, "repo": repo}
    exec(code, scope)
    with pytest.raises(
        parchunk.InputError, match="already has an array 'air' that is not parchunk"
    ):
        parchunk.to_icechunk(out, scope["repo"])
    with pytest.raises(
        parchunk.InputError, match="already has an array 'air' that is not parchunk"
    ):
        parchunk.to_icechunk(out, str(tmp_path / "repo"))


def test_a_repository_of_others_takes_the_import_beside_its_arrays(grow, build, opened, tmp_path):
    repo = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "repo")))
    session = repo.writable_session("main")
    zarr.create_group(session.store).create_array("mine", shape=(3,), dtype="i4")[...] = 7
    session.commit("mine")
    source = grow(8)
    config = repo.config
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(
            f"file://{tmp_path}/", icechunk.local_filesystem_store(str(tmp_path))
        )
    )
    repo = repo.reopen(config=config)
    repo.save_config()
    assert parchunk.to_icechunk(build(source, split="time", region=4), repo).finished
    group = opened(tmp_path / "repo")
    assert group["mine"][0] == 7
    assert group["air"][7, 3, 5] == 192


def test_other_chunks_need_another_branch(grow, build, opened, tmp_path):
    parchunk.to_icechunk(build(grow(4), split="time", region=4), str(tmp_path / "repo"))
    shutil.rmtree(tmp_path / "source")
    root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=3)
    root.create_array(
        "air", shape=(4, 4, 6), chunks=(1, 4, 6), dtype="f4", dimension_names=("time", "y", "x")
    )[...] = 1
    out = build(tmp_path / "source", "out2", split="time", region=4)
    with pytest.raises(parchunk.InputError, match="'air' of other chunks, data type or codecs"):
        parchunk.to_icechunk(out, str(tmp_path / "repo"))


# Branches
