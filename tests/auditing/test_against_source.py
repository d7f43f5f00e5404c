"""The source changed after the build: every chunk concerned is named, and no other."""

import json
import os
import shutil

import numpy as np
import pytest
import zarr
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from tests.many_stores import Made, write

import parchunk
from parchunk.cli.main import run


def changes(built, **options):
    report = built.audit(against_source=True, **options)
    named = {}
    for region in report.to_json()["against_source"]["regions"]:
        for kind in ("new", "gone", "resized", "rewritten"):
            for key in region[kind]:
                named[key] = (kind, region["region"])
    return report, named


def test_unchanged(own):
    report, named = changes(own)
    assert named == {}
    assert not any(f.severity == "change" for f in report.findings)


def test_what_cannot_be_read_is_damage_and_no_change(own):
    file = own.out / "t/refs.0.parq"
    file.write_bytes(file.read_bytes()[:-9])
    report, named = changes(own)
    assert named == {}
    assert {f.array for f in report.findings if f.severity == "damage"} == {"t"}


def test_what_lies_below_an_array_without_chunks_is_told(tmp_path):
    """The producer writes chunks, and says later how many; nothing of it is listed by a build."""
    source, out = tmp_path / "s", str(tmp_path / "refs")
    group = zarr.open_group(source, mode="w", zarr_format=3)
    for name in ("full", "came", "odd", "empty"):
        shape = (4,) if name == "full" else (0, 4)
        group.create_array(name, shape=shape, chunks=(1,) * len(shape), dtype="u1")
    group["full"][...] = 1
    for tail in ("came/c/0/0", "came/c/0/1", "came/c/.tmp", "odd/README"):
        (source / tail).parent.mkdir(parents=True, exist_ok=True)
        (source / tail).write_bytes(b"x")
    parchunk.build(parchunk.plan(str(source)), out)
    assert not [f for f in parchunk.audit(out).findings if f.kind == "chunkless"]
    before = parchunk.audit(out, against_source=True)
    told = {f.array: f for f in before.findings}
    assert before.exit_code == 0
    assert {(f.array, f.kind, f.count) for f in told.values()} == {
        ("came", "chunkless", 3),
        ("odd", "chunkless", 1),
    }
    assert "its shape (0 x 4) has no chunks" in told["came"].message
    assert "3 objects lie below it, 2 of them spelled as its chunks are" in told["came"].message
    # As the remedy says.
    document = json.loads((source / "came/zarr.json").read_text())
    document["shape"] = [1, 4]
    (source / "came/zarr.json").write_text(json.dumps(document))
    meanwhile = parchunk.audit(out, against_source=True)
    assert {(f.array, f.kind) for f in meanwhile.findings} == {
        (None, "source-metadata"),
        ("odd", "chunkless"),
    }
    assert parchunk.update(out).present == 4 + 2
    after = parchunk.audit(out, against_source=True)
    assert [f.array for f in after.findings if f.kind == "chunkless"] == ["odd"]


def test_a_listing_is_asked_once_for_each_array_without_chunks(tmp_path):
    arrays = [("t", (10, 3)), ("none", (0, 3)), ("nothing", (0, 5))]
    store = zarr_store(
        [(name, shape, (1, 1), ("y", "x")) for name, shape in arrays],
        extra={"none/0.1": b"x"} | {f"nothing/{at}.0": b"x" for at in range(1500)},
    )
    with serve(store) as server:
        reach = {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": "true"}
        source = parchunk.Source.open(f"s3://{server.bucket}", reach)
        parchunk.build(parchunk.plan(source), tmp_path / "refs")
        report = parchunk.audit(tmp_path / "refs", against_source=True, source=source)
    told = {f.array: f for f in report.findings if f.kind == "chunkless"}
    assert {name: f.count for name, f in told.items()} == {"none": 1, "nothing": 998}
    assert "1 object lies below it" in told["none"].message
    assert "998 objects or more lie below it" in told["nothing"].message
    assert report.comparison.requests == 3  # of `t`, and one of each


def test_every_change_is_named_by_region(own):
    source = own.source
    (source / "t/c/12/0").mkdir(parents=True, exist_ok=True)
    (source / "t/c/12/0/0").write_bytes((source / "t/c/0/0/0").read_bytes())
    (source / "t/c/20/0/0").write_bytes(b"now it is there")
    (source / "t/c/1/0/0").unlink()
    (source / "t/c/2/0/0").write_bytes(b"")
    (source / "t/c/9/1/1").write_bytes(b"short")
    same = source / "deep/er/q/c/1/17/0"
    same.write_bytes(same.read_bytes()[::-1])
    report, named = changes(own)
    assert named == {
        "t/c/12/0/0": ("new", 1),
        "t/c/20/0/0": ("new", 2),
        "t/c/1/0/0": ("gone", 0),
        "t/c/2/0/0": ("gone", 0),
        "t/c/9/1/1": ("resized", 1),
        "deep/er/q/c/1/17/0": ("rewritten", 2),
    }
    found = {
        (f.kind, f.array, f.region, f.count) for f in report.findings if f.severity == "change"
    }
    assert found == {
        ("new-chunks", "t", 1, 1),
        ("new-chunks", "t", 2, 1),
        ("gone-chunks", "t", 0, 2),
        ("changed-chunks", "t", 1, 1),
        ("changed-chunks", "deep/er/q", 2, 1),
    }
    assert report.exit_code == 1
    assert "out of date" in report.verdict


def test_older_modification_is_no_change(own):
    path = own.source / "t/c/9/1/1"
    os.utime(path, (1e9, 1e9))
    assert changes(own)[1] == {}


def test_metadata_that_grew(own):
    array = zarr.open_group(own.source, mode="r+")["t"]
    array.resize((30, 4, 6))
    report, _ = changes(own)
    assert "source-metadata" in {f.kind for f in report.findings}


def test_partitions_not_built_are_not_listed(own):
    (own.out / ".zmetadata").unlink()
    (own.out / ".parchunk/receipts/t/1.json").unlink()
    (own.source / "t/c/9/1/1").unlink()
    assert changes(own)[1] == {}


def test_ordered_source():

    from instruments.synthetic.rules import HashFraction, Without
    from instruments.synthetic.twin import FormulaListing
    from instruments.synthetic.zarr_stores import zarr_store

    def source(rule):
        arrays = [("t", (300, 40), (1, 1), ("time", "x"))]
        store = zarr_store(arrays, size=9, present=rule)
        return parchunk.Source(store=FormulaListing(store), url="s3://formula/s")

    import tempfile

    with tempfile.TemporaryDirectory() as out:
        plan = parchunk.plan(source(HashFraction(0.9)), region=150)
        parchunk.build(plan, out)
        report = parchunk.audit(out, against_source=True, source=source(HashFraction(0.9)))
        assert not report.comparison.regions
        assert report.comparison.requests >= report.comparison.requests_least > 0
        changed = parchunk.audit(out, against_source=True, source=source(Without((7, 11_999))))
        total = changed.comparison.to_json()
        assert total["new"] == report.missing - (2 - total["gone"])
        assert {key for r in total["regions"] for key in r["gone"]} <= {"t/0.7", "t/299.39"}


def test_small_arrays_are_listed_together(tmp_path):
    from instruments.synthetic.rules import HashFraction, Without
    from instruments.synthetic.twin import FormulaListing
    from instruments.synthetic.zarr_stores import zarr_store

    def source(present):
        arrays = [(f"g/a{n}", (8, 12), (1, 1), ("time", "x")) for n in range(100)]
        store = zarr_store(arrays, size=9, present=present)
        return parchunk.Source(store=FormulaListing(store), url="s3://formula/s")

    plan = parchunk.plan(source({"g/a7": Without([3])}), region=4)
    parchunk.build(plan, str(tmp_path / "r"))
    now = source({"g/a50": HashFraction(0.5)})
    report = parchunk.audit(str(tmp_path / "r"), against_source=True, source=now)
    changed = {(found.array, found.region) for found in report.comparison.regions}
    assert changed == {("g/a7", 0), ("g/a50", 0), ("g/a50", 1)}
    # Ten pages and the gaps of one array, where one by one would be a hundred.
    assert report.comparison.requests_least == 10
    assert report.comparison.requests <= 12


@pytest.mark.parametrize("how", ["gone", "other units"])
def test_stores_that_fit_no_more_are_named(tmp_path, how):
    paths = [tmp_path / f"{at}.zarr" for at in (0, 1)]

    def written(at, units="days since 2000-01-01"):
        return write(
            paths[at],
            {
                "t": Made(np.ones((3, 2)), ("time", "x"), (1, 2)),
                "time": Made(np.arange(3) + 3 * at, ("time",), None, {"units": units}),
            },
        )

    out = tmp_path / "out"
    parchunk.build(parchunk.plan([written(0), written(1)], concat="time"), out)
    kept = tmp_path / "kept"
    paths[1].rename(kept)
    if how != "gone":
        written(1, "hours since 2000-01-01")
    assert run(["audit", str(out), "--against-source"]) == 1
    findings = parchunk.audit(out, against_source=True).findings
    named = [found for found in findings if found.kind == "source-metadata"]
    assert len(named) == 1
    assert str(paths[1]) in named[0].message
    chunks = {found.kind for found in findings} - {"source-metadata"}
    assert chunks == ({"gone-chunks"} if how == "gone" else {"changed-chunks"})
    assert named[0].remedy.startswith("restore what they were")
    shutil.rmtree(paths[1], ignore_errors=True)
    kept.rename(paths[1])
    assert run(["audit", str(out), "--against-source"]) == 0
