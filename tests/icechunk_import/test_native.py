"""Audits of native Icechunk repositories: chunks set beside chunks expected."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.cli.main import run
from parchunk.icechunk_import import adapter

ic = pytest.importorskip("icechunk")


def write(repo: Any, steps: int, empty: tuple[int, ...], branch: str = "main") -> None:
    """Write arrays of daily steps, of which some are left out as they are all fill value."""
    session = repo.writable_session(branch)
    root = zarr.open_group(session.store, mode="a", zarr_format=3)
    for name, shards in (("g/t", None), ("s", (4, 6)), ("time", None)):
        if name not in root:
            root.create_array(
                name, shape=(1, 6)[: 1 if name == "time" else 2], dtype="i4", shards=shards,
                chunks=(5,) if name == "time" else (1, 2), compressors=None,
                dimension_names=("time", "x")[: 1 if name == "time" else 2],
                attributes={"units": "days since 2001-01-01"},
            )  # fmt: skip
        array = root[name]
        assert isinstance(array, zarr.Array)
        array.resize((steps, *array.shape[1:]))
        values = np.arange(steps) + (name != "time")
        values[[step for step in empty if name == "g/t"]] = 0
        array[...] = values if name == "time" else np.repeat(values, 6).reshape(steps, 6)
    root.require_array("crs", shape=(), dtype="i4")[...] = 1
    session.commit("written")


@pytest.fixture
def repo(tmp_path: Path) -> Any:
    made = ic.Repository.create(ic.local_filesystem_storage(str(tmp_path / "repo")))
    write(made, 40, (3, 20, 21, 22))
    return made


def audited(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = run(["audit", *map(str, words), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return code, document


def test_what_is_there_is_set_beside_what_is_expected(
    repo: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parchunk.auditing.wording.GAP_FINDINGS", 1)
    where = tmp_path / "repo"
    code, found = audited(capsys, where, "--native", "--by", "month", "--split", "time")
    assert (code, found["out"], found["source"]) == (1, str(where), str(where))
    arrays = {one["array"]: one for one in found["arrays"]}
    counts = {name: (one["present"], one["expected"], one["bytes"]) for name, one in arrays.items()}
    shard = counts["s"][2] // 10
    assert counts == {
        "crs": (1, 1, counts["crs"][2]),
        "g/t": (108, 120, 108 * 8),
        "s": (10, 10, 10 * shard),
        "time": (8, 8, counts["time"][2]),
    }
    assert shard > 24 * 4  # a shard has its chunks, and an index
    assert [gap["labels"] for gap in arrays["g/t"]["gaps"]] == [
        "2001-01-04", "2001-01-21 to 2001-01-23",
    ]  # fmt: skip
    assert [(one["period"], one["missing"]) for one in found["by"]["periods"]] == [
        ("2001-01", 12), ("2001-02", 0),
    ]  # fmt: skip
    assert [one["kind"] for one in found["findings"]] == ["missing-chunks"] * 2
    assert all("OUT" not in one["remedy"] for one in found["findings"])
    assert not list(Path(tmp_path).glob("parchunk-audit-*"))


def test_icechunk_writes_no_line_before_the_json(
    repo: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ic.set_logs_filter("warn")  # as it is in a new process
    capfd.readouterr()
    assert run(["audit", str(tmp_path / "repo"), "--native", "--split", "time", "--json"]) == 1
    assert json.loads(capfd.readouterr().out)["missing"] == 12


def test_night_after_night(repo: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where, last = tmp_path / "repo", tmp_path / "audit.json"
    words = [where, "--native", "--split", "time"]
    last.write_text(json.dumps(audited(capsys, *words)[1]))
    write(repo, 44, (3, 42))
    _, found = audited(capsys, *words, "--since", last)
    (t,) = [one for one in found["since"]["arrays"] if one["array"] == "g/t"]
    assert [one["labels"] for one in t["new_gaps"]] == ["2001-02-12"]
    assert [one["labels"] for one in t["mended_gaps"]] == ["2001-01-21 to 2001-01-23"]
    policy = tmp_path / "policy.toml"
    policy.write_text('[arrays."g/*"]\nempty = ["time=3:4"]\nmax-missing = 3')
    assert audited(capsys, *words, "--policy", policy)[0] == 0
    repo.create_branch("before", list(repo.ancestry(branch="main"))[1].id)
    assert audited(capsys, *words, "--branch", "before")[1]["missing"] == 12


def test_documents_say_neither_how_chunks_are_spelled_nor_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Icechunk has its own keys, and metadata that was consolidated is of before."""
    repo = ic.Repository.create(ic.local_filesystem_storage(str(tmp_path / "repo")))
    session = repo.writable_session("main")
    root = zarr.open_group(session.store, mode="w", zarr_format=3)
    how = {"shape": (4,), "chunks": (2,), "dtype": "i4", "compressors": None}
    root.create_array("t", chunk_key_encoding={"name": "v2", "separator": "."}, **how)
    adapter.put(session.store, {"t/c/1": b"12345678"})
    root.create_array("later", **how)[...] = 1
    document = json.loads(adapter.get(session.store, "zarr.json") or b"")
    held = json.loads(adapter.get(session.store, "t/zarr.json") or b"")
    before = {"kind": "inline", "must_understand": False, "metadata": {"t": held | {"shape": [2]}}}
    document["consolidated_metadata"] = before
    adapter.put(session.store, {"zarr.json": json.dumps(document).encode()})
    session.commit("written")
    code, found = audited(capsys, tmp_path / "repo", "--native")
    counts = {one["array"]: (one["present"], one["expected"]) for one in found["arrays"]}
    assert (code, counts) == (1, {"t": (1, 2), "later": (2, 2)})


def test_an_imported_repository_has_what_its_references_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its chunks are elsewhere, and those of coordinates cannot be read from here."""
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    for name, shape, chunks in (("t", (30, 4), (2, 4)), ("time", (30,), (30,))):
        array = root.create_array(name, shape=shape, chunks=chunks, dtype="i4")
        array.attrs["_ARRAY_DIMENSIONS"] = ["time", "x"][: len(shape)]
        array[...] = 1
    (tmp_path / "s.zarr/t/4.0").unlink()
    plan = parchunk.plan(tmp_path / "s.zarr", split="time", inline_coordinates=False)
    parchunk.build(plan, tmp_path / "out")
    parchunk.to_icechunk(tmp_path / "out", str(tmp_path / "repo"))
    _, mine = audited(capsys, tmp_path / "out")
    _, theirs = audited(capsys, tmp_path / "repo", "--native", "--split", "time")
    for one, other in zip(mine["arrays"], theirs["arrays"], strict=True):
        for key in ("array", "expected", "present", "missing", "bytes"):
            assert one[key] == other[key], key
    assert [gap["chunks"] for gap in theirs["arrays"][0]["gaps"]] == [[4, 4]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing", "--native"], "cannot open"),
        (["repo", "--native", "--branch", "none"], "cannot read branch none"),
        (["repo", "--native", "--decode", "1%"], "--native reads the repository alone"),
        (["repo", "--native", "--against-source"], "--native reads the repository alone"),
        (["empty", "--native"], "holds no Zarr metadata"),
    ],
)
def test_what_cannot_be_audited(
    repo: Any, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ic.Repository.create(ic.local_filesystem_storage(str(tmp_path / "empty")))
    assert run(["audit", str(tmp_path / words[0]), *words[1:]]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
