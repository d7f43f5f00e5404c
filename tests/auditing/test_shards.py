"""The audit and the views of expanded sharded arrays, with zarr-python's stores."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from tests.auditing.rewriting import rewrite

import parchunk

#: Inner chunks of 2 x 3 in shards of 4 x 6: 6 x 4 inner chunks, the last shards cut by the edge.
SHAPE, SHARDS, INNER = (12, 10), (4, 6), (2, 3)


def write_store(path: Path, name: str = "a") -> np.ndarray:
    """Write a sharded array: shard (1, 1) is absent, and two inner chunks of (0, 0) are empty."""
    values = np.arange(1, 121, dtype="i4").reshape(SHAPE)
    values[4:8, 6:] = 0
    values[0:2, 3:6] = 0
    values[2:4, 0:3] = 0
    root = zarr.open_group(path, mode="a", zarr_format=3)
    array = root.create_array(
        name, shape=SHAPE, chunks=INNER, shards=SHARDS, dtype="i4", fill_value=0,
        dimension_names=("time", "x"), config={"write_empty_chunks": False},
    )  # fmt: skip
    array[...] = values
    assert not (path / name / "c/1/1").exists()
    return values


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "store.zarr")
    return tmp_path / "store.zarr"


def built(store: Path, **options) -> str:
    plan = parchunk.plan(str(store), split="time", region=4, record_size=4, **options)
    return parchunk.build(plan, str(store.parent / "refs")).url


def said(report, kind: str) -> list[str]:
    return [found.message for found in report.findings if found.kind == kind]


def test_gaps_are_of_inner_chunks_and_told_in_elements(store):
    report = parchunk.audit(built(store))
    (array,) = report.arrays
    # The edge cuts the last shards: 4 inner columns of 3 elements, of which 10 exist.
    assert (array.expected, array.missing, array.present) == (24, 6, 18)
    assert (array.shards_expected, array.shards_present, array.empty_entries) == (6, 5, 2)
    assert {found.severity for found in report.findings} == {"gap"}
    assert [(gap.start, gap.stop, gap.missing, gap.expected) for gap in array.gaps] == [
        (0, 8, 6, 16)
    ]
    assert report.completeness.latest == 11
    assert "5 of 6, 1 absent" in page(report)


def page(report) -> str:
    from parchunk.report.page import html_page

    return html_page(report)


def test_a_policy_counts_inner_chunks(store):
    report = parchunk.audit(built(store), expect=["time=8:12"])
    assert report.complete
    assert report.excused == 6


def test_a_whole_store_is_complete(tmp_path):
    root = zarr.open_group(tmp_path / "store.zarr", mode="w", zarr_format=3)
    array = root.create_array(
        "a", shape=SHAPE, chunks=INNER, shards=SHARDS, dtype="i4", dimension_names=("time", "x")
    )
    array[...] = 7
    out = built(tmp_path / "store.zarr")
    report = parchunk.audit(out, against_source=True)
    assert report.findings == ()
    assert report.exit_code == 0


def damaged(out: str, change) -> set[str]:
    rewrite(Path(out) / "a/refs.0.parq", change)
    return {found.kind for found in parchunk.audit(out).findings if found.severity == "damage"}


def test_ranges_that_overlap_are_damage(store):
    def change(columns):
        columns["offset"][2] = columns["offset"][3]  # both in shard (0, 1)

    out = built(store)
    assert "wrong-offset" in damaged(out, change)
    (message,) = said(parchunk.audit(out), "wrong-offset")
    assert "a/c/0/1" in message
    assert "another inner chunk" in message


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("offset", -1, "wrong-offset"),
        ("offset", 2**63 - 1, "wrong-offset"),
        ("size", 0, "wrong-size"),
        ("size", -5, "wrong-size"),
    ],
)
def test_absurd_ranges_are_damage(store, column, value, kind):
    assert kind in damaged(built(store), lambda columns: columns[column].__setitem__(0, value))


def test_an_offset_without_a_path_is_damage(store):
    def change(columns):
        assert columns["path"][1] is None
        columns["offset"][1] = 8

    assert "wrong-offset" in damaged(built(store), change)


def test_a_row_of_another_shard_is_damage(store):
    def change(columns):
        columns["path"][0] = columns["path"][2]

    out = built(store)
    assert "wrong-path" in damaged(out, change)
    (message,) = said(parchunk.audit(out), "wrong-path")
    assert "inner chunk (0, 0) in a/c/0/0" in message


def test_a_receipt_whose_shards_do_not_add_up(store):
    out = built(store)
    path = Path(out) / ".parchunk/receipts/a/0.json"
    path.write_text(path.read_text().replace('"shards_present": 2', '"shards_present": 3'))
    assert said(parchunk.audit(out), "bad-receipt")


def test_shards_new_gone_and_rewritten_are_named(store):
    out = built(store)
    write_new = store / "a/c/1/1"
    data = (store / "a/c/2/1").read_bytes()
    write_new.write_bytes(data)
    (store / "a/c/2/0").unlink()
    later = (store / "a/c/0/1").stat().st_mtime + 3600
    os.utime(store / "a/c/0/1", (later, later))
    report = parchunk.audit(out, against_source=True)
    by_kind = {f.kind: f for f in report.findings if f.severity == "change"}
    assert by_kind["new-chunks"].key == "a/c/1/1"
    assert by_kind["gone-chunks"].key == "a/c/2/0"
    assert by_kind["changed-chunks"].key == "a/c/0/1"
    assert report.comparison.to_json()["new"] == 1


def test_a_shard_whose_chunks_were_all_inlined_is_gone(store):
    out = built(store, inline_threshold=1000)
    (store / "a/c/2/0").unlink()
    report = parchunk.audit(out, against_source=True)
    assert report.inlined == 18
    changes = [(f.kind, f.key) for f in report.findings if f.severity == "change"]
    assert changes == [("gone-chunks", "a/c/2/0")]


def test_a_reference_past_the_end_of_its_shard_is_damage(store):
    out = built(store)

    def change(columns):
        columns["offset"][0] = 10**6

    rewrite(Path(out) / "a/refs.0.parq", change)
    assert not said(parchunk.audit(out), "wrong-offset")
    report = parchunk.audit(out, against_source=True)
    (message,) = said(report, "wrong-offset")
    assert "a/c/0/0" in message
    assert not said(report, "changed-chunks")


def test_a_shard_that_became_shorter_has_changed(store):
    out = built(store)
    path = store / "a/c/0/1"
    later = path.stat().st_mtime + 3600
    path.write_bytes(path.read_bytes()[:5])
    os.utime(path, (later, later))
    report = parchunk.audit(out, against_source=True)
    assert not said(report, "wrong-offset")
    (message,) = said(report, "changed-chunks")
    assert "1 end before" in message
    (region,) = report.comparison.regions
    assert (region.resized.tolist(), region.rewritten.tolist()) == ([1], [])


@pytest.mark.parametrize(("later", "new"), [(3600, ["a/c/1/1"]), (-3600, [])])
def test_beside_what_cannot_be_read_only_shards_that_came_since_are_new(store, later, new):
    """Others may be there without any inner chunk: what says so cannot be read."""
    plan = parchunk.plan(str(store), split="time", region=4, record_size=2)
    out = parchunk.build(plan, str(store.parent / "refs")).url
    file = Path(out) / "a/refs.4.parq"  # of shard (1, 0)
    file.write_bytes(file.read_bytes()[:-9])
    shutil.copy(store / "a/c/2/1", store / "a/c/1/1")
    now = (store / "a/c/2/1").stat().st_mtime + later
    os.utime(store / "a/c/1/1", (now, now))
    report = parchunk.audit(out, against_source=True)
    assert [f.key for f in report.findings if f.severity == "change"] == new


def test_a_shard_of_nothing_but_empty_entries_is_not_new(store):
    # As a writer leaves it that writes shards whether or not they hold anything.
    index = b"\xff" * 16 * 4
    import google_crc32c

    (store / "a/c/1/1").write_bytes(index + google_crc32c.value(index).to_bytes(4, "little"))
    out = built(store)
    report = parchunk.audit(out, against_source=True)
    assert {found.severity for found in report.findings} == {"gap"}
    assert report.arrays[0].empty_entries == 6


def test_published_root_of_whole_shards(store):
    out = built(store, shards="whole")
    assert not [f for f in parchunk.audit(out).findings if f.severity != "gap"]
    root = Path(out) / ".zmetadata"
    root.write_text(root.read_text().replace("crc32c", "crc32x", 1))
    assert said(parchunk.audit(out), "wrong-root")


def test_views_count_inner_chunks_and_shards(store):
    out = built(store)
    con = parchunk.connect(out)
    rows = con.execute(
        "SELECT chunk_number, chunk_index, chunk_key, path, region, present FROM refs "
        "ORDER BY chunk_number"
    ).fetchall()
    assert [row[0] for row in rows] == list(range(24))
    for number, index, key, path, region, present in rows:
        at = np.unravel_index(number, (6, 4))
        assert tuple(index) == tuple(map(int, at))
        assert key == f"a/c/{at[0] // 2}/{at[1] // 2}"
        assert region == at[0] // 2
        if present:
            assert path == f"{store}/{key}"
    assert con.execute("SELECT chunks, grid, expected FROM arrays").fetchall() == [
        ([2, 3], [6, 4], 24)
    ]
    assert con.execute(
        "SELECT region, start, stop, expected, present, missing, shards_expected, "
        "shards_present, empty_entries FROM coverage ORDER BY region"
    ).fetchall() == [
        (0, 0, 4, 8, 6, 2, 2, 2, 2),
        (1, 4, 8, 8, 4, 4, 2, 1, 0),
        (2, 8, 12, 8, 8, 0, 2, 2, 0),
    ]
    missing = con.execute("SELECT chunk_index, chunk_key FROM missing ORDER BY ALL").fetchall()
    assert missing == [
        ([0, 1], "a/c/0/0"),
        ([1, 0], "a/c/0/0"),
        *(([t, x], "a/c/1/1") for t in (2, 3) for x in (2, 3)),
    ]


def test_a_sharded_coordinate_labels_gaps(store):
    root = zarr.open_group(store, mode="a")
    time = root.create_array(
        "time", shape=(12,), chunks=(2,), shards=(6,), dtype="i4", dimension_names=("time",),
        attributes={"units": "days since 2003-05-01"}, fill_value=-1,
    )  # fmt: skip
    time[...] = np.arange(12)
    report = parchunk.audit(built(store))
    assert any("2003-05-01 to 2003-05-08" in message for message in said(report, "missing-chunks"))
