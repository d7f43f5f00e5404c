"""Differences that are made on purpose are found, and only those."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import zarr

import icechunk
import parchunk
from parchunk.cli.main import run
from parchunk.icechunk_import import adapter, compare_with_repo


@pytest.fixture
def imported(grow, build, tmp_path):
    source = grow(12)
    (source / "air/c/5/1/0").unlink()
    out = build(source, split="time", region=4)
    repo = str(tmp_path / "repo")
    parchunk.to_icechunk(out, repo)
    return out, repo


def change(repo: str, function) -> None:
    config = icechunk.Repository.open(icechunk.local_filesystem_storage(repo))
    session = config.writable_session("main")
    function(session.store)
    session.commit("changed")


def test_an_import_equals_its_references(imported):
    out, repo = imported
    result = compare_with_repo(out, repo)
    assert result.equal
    assert result.partitions == 2 * 3 + 3
    assert result.chunks == 12 * 4 + 6 * 2 + 2 + 3 + 1
    assert 0 < result.sampled <= result.chunks


def test_missing_and_extra_chunks_by_region(imported):
    out, repo = imported

    def edit(store) -> None:
        adapter.delete(store, ["air/c/0/0/0", "deep/rain/c/5/0/1"])
        adapter.put(store, {"air/c/5/1/0": bytes(24)})

    change(repo, edit)
    found = [
        (f.array, f.region, f.kind, f.count, f.chunks)
        for f in compare_with_repo(out, repo).findings
    ]
    assert found == [
        ("air", 0, "missing", 1, ((0, 0, 0),)),
        ("air", 1, "extra", 1, ((5, 1, 0),)),
        ("deep/rain", 2, "missing", 1, ((5, 0, 1),)),
    ]


def test_other_locations_and_kinds(imported, tmp_path):
    """Of the first rows of a region, too."""
    out, repo = imported

    def edit(store) -> None:
        one, size = np.zeros(1, np.int64), np.full(1, 9)
        place = pa.array([f"file://{tmp_path}/source/air/c/1/1/1"])
        call = adapter.prepare("/air", (0, 0, 0), (1, 1, 1), place, one, size, None)
        assert call(store) == 0
        adapter.put(store, {"air/c/8/0/0": bytes(24), "air/c/9/0/0": bytes(24)})

    change(repo, edit)
    found = [(f.region, f.kind, f.chunks) for f in compare_with_repo(out, repo, sample=99).findings]
    wanted = [(0, "location", ((0, 0, 0),)), (2, "type", ((8, 0, 0), (9, 0, 0)))]
    assert found == (wanted if adapter.takes_arrays() else wanted[1:])


def test_every_chunk_that_was_written_over_is_found(imported):
    """A sample of none: bytes beside references are told of all chunks, where icechunk tells it."""
    out, repo = imported

    def edit(store) -> None:
        adapter.put(store, {"air/c/9/0/0": bytes(24), "air/c/10/1/1": bytes(24)})

    change(repo, edit)
    found = [(f.region, f.kind, f.chunks) for f in compare_with_repo(out, repo, sample=0).findings]
    wanted = [(2, "type", ((9, 0, 0), (10, 1, 1)))]
    assert found == (wanted if adapter.takes_arrays() else [])


def test_other_metadata_and_absent_arrays(imported):
    out, repo = imported

    def edit(store) -> None:
        root = zarr.open_group(store)
        root["air"].attrs["units"] = "K"
        del root["height"]

    change(repo, edit)
    found = {(f.array, f.kind) for f in compare_with_repo(out, repo).findings}
    assert found == {("air", "metadata"), ("height", "metadata")}


def test_a_partial_import_lacks_whole_regions(grow, build, tmp_path):
    out = build(grow(8), split="time", region=4)
    repo = str(tmp_path / "repo")
    parchunk.to_icechunk(out, repo, regions=[1])
    found = [(f.array, f.region, f.kind, f.count) for f in compare_with_repo(out, repo).findings]
    assert found == [("air", 0, "missing", 16), ("deep/rain", 0, "missing", 4)]
    with pytest.raises(parchunk.OutputError, match="cannot read branch none"):
        compare_with_repo(out, repo, branch="none")


def test_the_audit_names_what_a_repository_lacks(imported):
    out, repo = imported
    assert not [f for f in parchunk.audit(out, icechunk=repo).findings if f.kind == "repository"]
    change(repo, lambda store: adapter.delete(store, ["air/c/0/0/0"]))
    report = parchunk.audit(out, icechunk=repo)
    found = [f for f in report.findings if f.kind == "repository"]
    assert [(f.array, f.region, f.count, f.severity) for f in found] == [("air", 0, 1, "change")]
    assert report.verdict.endswith("the repository does not hold what is referenced")
    assert "source has changed" not in report.verdict


def test_what_others_changed_is_imported_anew_where_that_is_said(imported, capsys):
    """The history of a branch does not say what others' commits did; the remedy is followed."""
    out, repo = imported

    def edit(store) -> None:
        adapter.delete(store, ["air/c/0/0/0", "height/c/0/0"])
        adapter.put(store, {"air/c/5/1/0": bytes(24)})

    change(repo, edit)
    assert parchunk.to_icechunk(out, repo).commits == ()
    report = parchunk.audit(out, icechunk=repo)
    remedies = {f.region: f.remedy for f in report.findings if f.kind == "repository"}
    assert {at: said.partition("--anew")[2] for at, said in remedies.items()} == {
        0: " --regions 0", 1: " --regions 1", None: "",
    }  # fmt: skip
    assert run(["to-icechunk", out, repo, "--anew", "--regions", "0-1"]) == 0
    result = compare_with_repo(out, repo, sample=99)
    assert result.equal
    capsys.readouterr()
    assert run(["audit", out, "--icechunk", repo]) == 1, "air has a gap"
    said = " ".join(capsys.readouterr().out.split())
    assert "branch main of the repository holds what is referenced: compared were" in said
    report = parchunk.audit(out, icechunk=repo)
    assert "ranch main of the repository holds what is referenced" in report.to_html()
    assert "branch main of the repository holds what is referenced" in report._repr_html_()
    told = report.to_json()["icechunk"]
    assert (told["snapshot"], told["chunks"]) == (result.snapshot, result.chunks)
    again = parchunk.to_icechunk(out, repo, anew=True, publish=True)
    assert [commit.region for commit in again.commits] == [None, 0, 1, 2]
    assert again.published
    assert compare_with_repo(out, repo, sample=99).equal
    with pytest.raises(parchunk.InputError, match="--anew with --append"):
        parchunk.to_icechunk(out, repo, anew=True, append="time")
