"""Every kind of damage is found, and named for what it is."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

import parchunk
from parchunk.auditing import KINDS

REFS = "t/refs.{}.parq"


def receipt(built, name="t/1"):
    return built.out / f".parchunk/receipts/{name}.json"


def edit_json(path, **values):
    document = json.loads(path.read_text())
    document.update(values)
    path.write_text(json.dumps(document))


def test_fresh_references_have_no_damage(built):
    report = built.audit()
    assert built.kinds() == set()
    assert report.exit_code == 1, "the store has gaps"
    assert {f.kind for f in report.findings} == {"missing-chunks", "zero-sized", "strays"}
    assert report.present + report.missing == report.expected
    assert built.audit(allow_missing=["t"]).exit_code == 0


def test_record_file_deleted(built):
    (built.out / REFS.format(4)).unlink()
    found = [f for f in built.audit().findings if f.severity == "damage"]
    assert [(f.kind, f.array, f.region, f.key) for f in found] == [
        ("missing-file", "t", 1, "t/refs.4.parq")
    ]
    assert ".parchunk/receipts/t/1.json" in found[0].remedy


def test_a_chunk_of_zero_bytes_is_no_policys_where_its_row_cannot_be_read(built):
    for file in range(8, 12):
        (built.out / REFS.format(file)).unlink()
    report = built.audit(expect=["time=6:10"])  # region 1 has what is not expected
    assert (report.missing, report.excused) == (0, 9)
    assert [f.message for f in report.findings if f.kind == "zero-sized"] == [
        "t, region 2: 1 chunk is an object of zero bytes, as its receipt says"
    ]
    assert report.verdict.endswith("wrote; incomplete: 1 chunk of zero bytes stands")


def test_the_remedy_repairs(own):
    (own.out / REFS.format(4)).write_bytes(b"")
    for finding in own.audit().findings:
        if finding.severity == "damage":
            (own.out / finding.remedy.split()[1]).unlink(missing_ok=True)
    assert "unfinished" in {f.kind for f in own.audit().findings}
    plan = parchunk.plan(str(own.source), split="time", region=8, record_size=8)
    parchunk.build(plan, str(own.out))
    assert own.kinds() == set()


@pytest.mark.parametrize("keep", [0, 3, 400])
def test_record_file_truncated(built, keep):
    path = built.out / REFS.format(4)
    path.write_bytes(path.read_bytes()[:keep])
    assert built.kinds() == {"unreadable-file", "wrong-digest"}


def test_record_files_swapped(built):
    one, other = built.out / REFS.format(1), built.out / REFS.format(8)
    data = one.read_bytes()
    shutil.copy(other, one)
    other.write_bytes(data)
    report = built.audit()
    assert {"wrong-digest", "wrong-path"} <= built.kinds()
    said = [f.message for f in report.findings if f.kind == "wrong-digest"]
    assert said == [
        "t/refs.1.parq holds what belongs in t/refs.8.parq",
        "t/refs.8.parq holds what belongs in t/refs.1.parq",
    ]


def test_record_file_of_another_array(built):
    shutil.copy(built.out / "deep/er/q/refs.4.parq", built.out / REFS.format(4))
    assert {"wrong-digest", "wrong-path"} <= built.kinds()


def test_path_of_another_chunk(built):
    def change(columns):
        columns["path"][2] = columns["path"][3]

    built.rewrite(REFS.format(4), change)
    found = {f.kind: f for f in built.audit().findings if f.severity == "damage"}
    assert found.keys() == {"wrong-digest", "wrong-path", "duplicate-path"}
    assert found["wrong-path"].key == "t/c/8/1/0"
    assert found["duplicate-path"].key == "t/c/8/1/1"


def test_path_elsewhere(built):
    def change(columns):
        columns["path"][2] = "s3://somebody/else"

    built.rewrite(REFS.format(4), change)
    assert built.kinds() == {"wrong-digest", "wrong-path"}


def test_row_lost(built):
    def change(columns):
        columns["path"][0], columns["size"][0] = None, 0

    built.rewrite(REFS.format(4), change)
    assert built.kinds() == {"wrong-digest", "receipt-mismatch"}


def test_size_changed(built):
    def change(columns):
        columns["size"][0] += 1

    built.rewrite(REFS.format(4), change)
    assert built.kinds() == {"wrong-digest", "receipt-mismatch"}


def test_size_zero(built):
    def change(columns):
        columns["size"][0] = 0

    built.rewrite(REFS.format(4), change)
    assert {"wrong-size", "wrong-digest"} <= built.kinds()


def test_wrong_offset(built):
    def change(columns):
        columns["offset"][5] = 16

    built.rewrite(REFS.format(4), change)
    found = {f.kind: f for f in built.audit().findings if f.severity == "damage"}
    assert found.keys() == {"wrong-offset", "wrong-digest"}
    assert found["wrong-offset"].key == "t/c/9/0/1"


def test_rows_cut(built):
    def change(columns):
        for column in columns.values():
            column.pop()

    built.rewrite(REFS.format(4), change)
    assert built.kinds() == {"wrong-rows", "wrong-digest"}


def test_columns_in_another_order(built):
    path = built.out / REFS.format(4)
    table = pq.read_table(path)
    pq.write_table(table.select(["offset", "path", "size", "raw"]), path)
    assert built.kinds() == {"wrong-columns", "wrong-digest"}


def test_columns_of_another_type(built):
    path = built.out / REFS.format(4)
    table = pq.read_table(path)
    at = table.column_names.index("size")
    pq.write_table(table.set_column(at, "size", table["size"].cast(pa.int32())), path)
    assert built.kinds() == {"wrong-columns", "wrong-digest"}


@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": False, "column_encoding": {"path": "DELTA_BYTE_ARRAY"}},
        {"use_dictionary": False, "write_statistics": False},
    ],
)
def test_encodings_that_stock_readers_cannot_read(built, options):
    path = built.out / REFS.format(4)
    pq.write_table(pq.read_table(path), path, store_schema=False, **options)
    assert built.kinds() == {"wrong-encoding", "wrong-digest"}


def test_record_file_beyond_the_grid(built):
    shutil.copy(built.out / REFS.format(4), built.out / REFS.format(99))
    assert built.kinds() == {"extra-file"}


def test_extra_files_are_counted_beyond_those_named(built):
    for number in range(130):
        (built.out / REFS.format(1000 + number)).write_bytes(b"")
    found = [f for f in parchunk.audit(str(built.out)).findings if f.kind == "extra-file"]
    assert sum(f.count or 1 for f in found) == 130
    assert len(found) == 101


def test_root_deleted(built):
    (built.out / ".zmetadata").unlink()
    assert built.kinds() == {"missing-root"}


def test_root_edited(built):
    root = json.loads((built.out / ".zmetadata").read_text())
    root["metadata"]["t/.zarray"]["dimension_separator"] = "/"
    (built.out / ".zmetadata").write_text(json.dumps(root))
    assert built.kinds() == {"wrong-root"}
    assert "t/.zarray differs" in built.audit().findings[0].message


def test_root_of_another_record_size(built):
    edit_json(built.out / ".zmetadata", record_size=9)
    assert built.kinds() == {"wrong-root"}
    assert "record_size is 9, not 8" in built.audit().findings[0].message


def test_root_spelled_otherwise_is_the_same(built):
    path = built.out / ".zmetadata"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert built.kinds() == set()


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"metadata": 3}'])
def test_root_that_is_none(built, text):
    (built.out / ".zmetadata").write_text(text)
    assert built.kinds() == {"wrong-root"}


def test_record_size_changed_in_the_plan(built):
    edit_json(built.out / ".parchunk/plan.json", record_size=16)
    with pytest.raises(parchunk.InputError, match="does not match its own fingerprint"):
        built.audit()


def test_receipt_with_other_bytes(built):
    edit_json(receipt(built), bytes=1)
    found = [f for f in built.audit().findings if f.severity == "damage"]
    assert [f.kind for f in found] == ["receipt-mismatch"]
    assert "bytes 1, found" in found[0].message


@pytest.mark.parametrize(
    "values",
    [
        {"present": 31},
        {"expected": 33},
        {"region": 2},
        {"array": "t_"},
        {"start": 9},
        {"fingerprint": "0"},
        {"record_files": []},
        {"strays": 4},
        {"parchunk_receipt": 99},
        {"expected": "32"},
    ],
    ids=str,
)
def test_receipt_edited(built, values):
    edit_json(receipt(built), **values)
    assert "bad-receipt" in built.kinds()


def test_receipt_with_another_digest(built):
    document = json.loads(receipt(built).read_text())
    document["record_files"][0][-1] = "0" * 32
    receipt(built).write_text(json.dumps(document))
    assert built.kinds() == {"wrong-digest"}


def test_receipt_that_is_no_json(built):
    receipt(built).write_text("{")
    assert built.kinds() == {"bad-receipt"}


def test_receipt_of_no_partition(built):
    shutil.copy(receipt(built), receipt(built, "t/77"))
    assert built.kinds() == {"bad-receipt"}


def test_unfinished_build_is_audited_for_what_it_has(built):
    (built.out / ".zmetadata").unlink()
    for index in range(4, 8):
        (built.out / REFS.format(index)).unlink()
    receipt(built).unlink()
    report = built.audit()
    found = {f.kind: f for f in report.findings}
    assert found["unfinished"].array == "t"
    assert found["unfinished"].region == 1
    assert not any(f.severity == "damage" for f in report.findings)
    assert [p.done for p in report.partitions if p.array == "t"].count(False) == 1
    assert "1 of" in report.verdict
    by_name = {a.array: a for a in report.arrays}
    assert by_name["t"].unread == 32
    # What is not built is not known to be complete.
    assert report.completeness.through == 4


def test_root_beside_an_unfinished_partition(built):
    receipt(built).unlink()
    report = built.audit()
    assert not [found for found in report.findings if found.severity == "damage"]
    unfinished = [found for found in report.findings if found.kind == "unfinished"]
    assert len(unfinished) == 2
    assert all("parchunk update OUT" in found.remedy for found in unfinished)


def test_every_kind_of_damage_is_tested():
    text = Path(__file__).read_text()
    for kind, severity in KINDS.items():
        if severity == "damage":
            assert f'"{kind}"' in text, kind


def test_an_update_that_ended_before_it_was_published_is_called_unfinished(tmp_path):
    array = zarr.create_array(tmp_path / "s", shape=(4,), chunks=(1,), dtype="i1", fill_value=9)
    array[...] = 1
    out = tmp_path / "out"
    parchunk.build(tmp_path / "s", out)
    array.resize((8,))
    array[...] = 2

    def stop(advance):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parchunk.update(out, progress=stop)
    assert parchunk.audit(out).verdict == "unfinished: what is built is not published yet"
    parchunk.update(out)
    assert parchunk.audit(out).complete


def test_what_an_update_writes_meanwhile_is_no_damage(own, monkeypatch):
    monkeypatch.setattr("parchunk.auditing.record_files._ROWS_AT_ONCE", 1)  # file by file

    def update(progress):
        if progress.files == 1:
            (own.source / "t_it's *[odd]/c/9/0/0").unlink()
            parchunk.update(str(own.out), regions=[1])

    with pytest.raises(parchunk.InputError, match=r"written to while it was audited.*audit again"):
        own.audit(progress=update)
    assert not own.kinds()
