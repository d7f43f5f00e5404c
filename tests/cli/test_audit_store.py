"""A store is audited without a build before, and nothing of that is left but what is asked for."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from instruments.http_server import served
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_documents, zarr_store

import parchunk
from parchunk.auditing.findings import KINDS
from parchunk.auditing.store_report import report_of_store
from parchunk.cli.main import run


def write(path: Path) -> None:
    """Write a store with every kind of gap: a missing chunk, one of no bytes, one cut off."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    field = root.create_array(
        "t",
        shape=(8, 4),
        chunks=(1, 2),
        dtype="f4",
        dimension_names=("time", "x"),
        compressors=None,
    )
    field[...] = 1
    time = root.create_array(
        "time", shape=(8,), chunks=(8,), dtype="i4", dimension_names=("time",),
        attributes={"units": "days since 2001-01-01"},
    )  # fmt: skip
    time[...] = np.arange(8)
    (path / "t/c/3/1").unlink()
    (path / "t/c/4/1").write_bytes(b"")
    (path / "t/c/5/1").write_bytes(b"cut")
    (path / "t/c/junk").write_bytes(b"x")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / "store")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "store"


def test_a_store_is_audited_and_nothing_is_left(store, tree, capfd):
    before = tree(store)
    assert run(["audit", str(store), "--by", "month", "--json"]) == 1
    found = json.loads(capfd.readouterr().out)
    assert (found["out"], found["source"]) == (str(store), str(store))
    assert (found["expected"], found["present"], found["missing"]) == (17, 15, 2)
    assert found["by"]["periods"][0]["missing_by_array"] == {"t": 2}
    assert {one["kind"] for one in found["findings"]} == {
        "missing-chunks", "zero-sized", "impossible-size", "strays",
    }  # fmt: skip
    for one in found["findings"]:
        assert "OUT" not in one["remedy"].replace("--keep OUT, parchunk sql OUT", "")
    (strays,) = [one["remedy"] for one in found["findings"] if one["kind"] == "strays"]
    assert "with --keep OUT, parchunk sql OUT 'SELECT * FROM strays'" in strays
    assert tree(store) == before
    assert list((store.parent / "temporary").iterdir()) == []


def test_a_store_with_keys_of_another_spelling_is_to_be_audited_again(tmp_path, capfd):
    array = zarr.create_array(
        tmp_path / "s", shape=(2, 2), chunks=(1, 1), dtype="i1", zarr_format=2, fill_value=9,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )  # fmt: skip
    array[...] = 1
    document = tmp_path / "s/.zarray"
    kept = {k: v for k, v in json.loads(document.read_text()).items() if "separator" not in k}
    document.write_text(json.dumps(kept))
    assert run(["audit", str(tmp_path / "s"), "--json"]) == 1
    remedies = {
        one["kind"]: one["remedy"] for one in json.loads(capfd.readouterr().out)["findings"]
    }
    assert remedies["other-spelling"].endswith(
        "consolidate the store again if it is, then audit again"
    )


def test_what_is_complete_says_so(store, capfd):
    zarr.open_group(store)["t"][...] = 1
    assert run(["audit", str(store)]) == 0
    shown = capfd.readouterr().out
    assert "complete: every expected chunk is there" in shown
    assert "references" not in shown.splitlines()[0]


def test_references_are_kept_where_that_is_asked(store, tmp_path, capfd):
    kept = str(tmp_path / "kept")
    assert run(["audit", str(store), "--keep", kept, "--split", "x", "--exclude", "time"]) == 1
    assert "run parchunk update OUT" in capfd.readouterr().out, "there is one"
    assert run(["sql", kept, "SELECT * FROM strays"]) == 0
    assert "c/junk" in capfd.readouterr().out
    assert parchunk.audit(kept).missing == 2
    assert parchunk.status(kept).plan.split.dimension == "x"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--against-source"], "are for references, not a store"),
        (["--include", "none"], "no array"),
        (["--split", "none"], "no array has that dimension"),
        (["--policy", "none.toml"], "--policy none.toml cannot be read"),
        (["--since", "none.json"], "--since none.json cannot be read"),
        (["--decode", "none"], "--decode"),
        (["--max-missing", "none"], "--max-missing"),
        (["--expect", "none=0:1"], "no array has that dimension"),
    ],
)
def test_options_that_make_no_sense_of_a_store(store, tmp_path, options, said, capfd):
    kept = tmp_path / "kept"
    assert run(["audit", str(store), *options, "--keep", str(kept)]) == 2
    assert said in capfd.readouterr().err
    assert not kept.exists(), "nothing is listed before that is said"


@pytest.mark.parametrize(
    ("units", "options", "said"),
    [
        (None, ["--by=day"], "have no dates (it has no coordinate that can be read)"),
        (None, ["--expect=time=2001-01:2001-02"], "the elements of time have no dates"),
        ("m", ["--by=day"], "have no dates (they are such as '0')"),
        ("days since 2001-01-01", ["--expect=time=2002-01:"], "is between these dates"),
        ("days since 2001-01-01", ["--by=day"], ""),
    ],
)
def test_dates_that_there_are_not_are_refused_before_chunks_are_listed(
    tmp_path, capfd, units, options, said
):
    array = ("t", (6, 2), (1, 1), ("time", "x"))
    documents = zarr_documents([array, *([("time", (6,), (6,), ("time",))] if units else [])])
    if units:
        named = {"units": units, "_ARRAY_DIMENSIONS": ["time"]}
        bare = json.loads(documents["time/.zarray"]) | {"compressor": None}
        documents["time/.zattrs"] = json.dumps(named).encode()
        documents["time/.zarray"] = json.dumps(bare).encode()
        documents["time/0"] = np.arange(6, dtype="<f4").tobytes()
    with serve(zarr_store([array], extra=documents), process=False) as server:
        for each in (f"endpoint={server.endpoint}", "skip_signature=true"):
            options = [*options, "--store-option", each]
        options += ["--consolidated=ignore", "--no-progress"]
        assert run(["audit", "s3://formula", *options]) == (2 if said else 0)
        assert said in capfd.readouterr().err
        recursive = [one for one in server.lists() if one["delimiter"] is None]
    assert bool(recursive) == (not said), "documents are found without one"


def test_references_take_no_options_of_a_store(store, tmp_path, capfd):
    out = str(tmp_path / "out")
    parchunk.build(str(store), out)
    for option in (["--keep", "x"], ["--split", "x"], ["--skip-unsupported"]):
        assert run(["audit", out, *option]) == 2
        assert f"{option[0]} is for the audit of a store" in capfd.readouterr().err
    (Path(out) / ".parchunk/plan.json").unlink()
    assert run(["audit", out]) == 2, "what is left of references is no store without chunks"
    assert "complete" not in capfd.readouterr().out


def test_neither_is_an_error_of_one_line(tmp_path, capfd):
    assert run(["audit", str(tmp_path / "none")]) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1


def test_a_pattern_of_several_is_refused_with_what_can_be_done(store, tmp_path, capfd):
    """An audit has no words for how they go together, so that it asks for none."""
    (tmp_path / "store2").symlink_to(store)
    assert run(["audit", str(tmp_path / "store*")]) == 2
    said = "is 2 stores, and an audit of SRC is of one: parchunk build makes"
    assert said in capfd.readouterr().err


def test_no_remedy_speaks_of_references_that_are_gone(store, tmp_path):
    parchunk.build(str(store), tmp_path / "out")
    report = parchunk.audit(tmp_path / "out")
    assert {found.kind for found in report.findings} <= KINDS.keys()
    found = {one.kind: one.remedy for one in report_of_store(report).findings}
    assert found["missing-chunks"].endswith("have the producer write them, then audit again")
    assert found["zero-sized"].endswith("then audit again")
    assert "have the producer write them again, then audit again" in found["impossible-size"]


def test_a_store_on_an_http_server(store, capfd):
    with served(store.parent) as server:
        options = ["--probe", "--split", "time", "--json"]
        assert run(["audit", f"{server.url}/store/t", *options]) == 1
        found = json.loads(capfd.readouterr().out)
        assert (found["out"], found["missing"]) == (f"{server.url}/store", 2)
        assert run(["audit", f"{server.url}/store", "--probe"]) == 2
        assert "--probe implies it, but where SRC is one array" in capfd.readouterr().err


@pytest.mark.s3
def test_a_store_that_is_a_whole_bucket(store, bucket, capfd):
    for path in store.rglob("*"):
        if path.is_file():
            bucket.put(path.relative_to(store).as_posix(), path.read_bytes())
    options = [f"--store-option={key}={value}" for key, value in bucket.options.items()]
    for url in (f"s3://{bucket.name}", f"s3://{bucket.name}/"):
        assert run(["audit", url, *options, "--json"]) == 1
        assert json.loads(capfd.readouterr().out)["missing"] == 2


@pytest.mark.s3
def test_a_store_in_a_bucket(store, bucket, capfd):
    bucket.upload(store, "store")
    options = [f"--store-option={key}={value}" for key, value in bucket.options.items()]
    assert run(["audit", f"s3://{bucket.name}/store", *options, "--json"]) == 1
    found = json.loads(capfd.readouterr().out)
    assert (found["out"], found["missing"]) == (f"s3://{bucket.name}/store", 2)
