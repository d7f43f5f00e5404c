"""Receipts: what does not add up is neither written nor believed, and comes last."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.out.opening import open_output
from parchunk.out.receipt_files import read_receipts
from parchunk.out.receipts import Receipt, RecordFile, check_counts
from parchunk.out.record_files import record_index


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """References of one array in two regions of two record files each, one chunk missing."""
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    array = root.create_array("t", shape=(20,), chunks=(1,), dtype="i4", dimension_names=("time",))
    array[...] = np.arange(1, 21)
    (tmp_path / "s.zarr/t/c/3").unlink()
    (tmp_path / "s.zarr/t/c/3.tmp").write_bytes(b"left over")
    parchunk.build(planned(tmp_path), str(tmp_path / "refs"))
    return tmp_path / "refs"


def planned(folder: Path) -> parchunk.Plan:
    return parchunk.plan(str(folder / "s.zarr"), split="time", region=10, record_size=5)


def first(out: Path, folder: Path) -> Receipt:
    return read_receipts(open_output(str(out)), planned(folder))["t", 0]


def with_files(receipt: Receipt, **changed: int) -> Receipt:
    """Return the receipt with other values of its first record file."""
    file = replace(receipt.record_files[0], **changed)
    return replace(receipt, record_files=(file, *receipt.record_files[1:]))


def test_counts_that_do_not_add_up_are_not_written(out: Path, tmp_path: Path) -> None:
    receipt = first(out, tmp_path)
    partition = next(planned(tmp_path).partitions())
    check_counts(receipt, partition)
    for wrong in (
        with_files(receipt, rows=4),
        with_files(receipt, rows=6),
        with_files(receipt, present=5),
        replace(receipt, present=8),
        replace(receipt, missing=0),
        replace(receipt, record_files=receipt.record_files[1:]),
        replace(receipt, record_files=(*receipt.record_files, RecordFile(9, 0, 1, 5, ""))),
    ):
        with pytest.raises(parchunk.OutputError, match="do not add up; please report this"):
            check_counts(wrong, partition)


@pytest.mark.parametrize(
    "change",
    [
        {"present": 10},
        {"missing": 0},
        {"expected": 11},
        {"present": 10, "missing": 0},
        {"rows": 4},
        {"rows": 6},
        {"file_present": 5},
        {"record_files": []},
    ],
    ids=str,
)
def test_a_receipt_that_does_not_add_up_counts_as_none(
    out: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    path = out / ".parchunk/receipts/t/0.json"
    document = json.loads(path.read_text())
    assert (document["present"], document["missing"]) == (9, 1)
    for name, value in change.items():
        if name in ("rows", "file_present"):
            document["record_files"][0][1 if name == "rows" else 2] = value
        else:
            document[name] = value
    path.write_text(json.dumps(document))
    output = open_output(str(out))
    assert list(read_receipts(output, planned(tmp_path))) == [("t", 1)]
    assert {f.kind for f in parchunk.audit(str(out)).findings} >= {"bad-receipt"}
    assert parchunk.build(planned(tmp_path), str(out)).built == 1
    assert parchunk.audit(str(out)).counts["damage"] == 0


def test_a_whole_array_has_one_receipt_of_one_name(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "s.zarr/t", shape=(), chunks=(), dtype="i4")
    array[...] = 1
    zarr.open_group(tmp_path / "s.zarr", mode="a")
    plan = parchunk.plan(str(tmp_path / "s.zarr"))
    parchunk.build(plan, str(tmp_path / "refs"))
    output = open_output(str(tmp_path / "refs"))
    assert list(read_receipts(output, plan)) == [("t", None)]
    receipt = tmp_path / "refs/.parchunk/receipts/t/whole.json"
    for name in ("0.json", "None.json", "whole.txt"):
        other = receipt.rename(receipt.with_name(name))
        assert read_receipts(output, plan) == {}
        other.rename(receipt)


def test_strays_are_written_before_the_receipt_that_counts_them(out: Path, tmp_path: Path) -> None:
    strays = out / ".parchunk/strays/t/0.parquet"
    wanted = strays.read_bytes()
    (out / ".parchunk/receipts/t/0.json").unlink()
    strays.unlink()
    strays.mkdir()  # in the way of the file
    with pytest.raises(parchunk.OutputError, match=r"strays/t/0\.parquet"):
        parchunk.build(planned(tmp_path), str(out))
    strays.rmdir()
    parchunk.build(planned(tmp_path), str(out))
    assert strays.read_bytes() == wanted


def test_rows_that_are_no_record_file_are_not_written() -> None:
    assert record_index("a", np.arange(10, 15), 5, 20) == 2
    assert record_index("a", np.arange(15, 18), 5, 18) == 3
    for numbers, total in (
        (np.arange(11, 16), 20),
        (np.arange(10, 14), 20),
        (np.arange(10, 16), 20),
        (np.arange(15, 18), 20),
        (np.array([10, 11, 12, 20, 21]), 30),
    ):
        with pytest.raises(parchunk.OutputError, match="no record file of 5 rows"):
            record_index("a", numbers, 5, total)


def test_a_document_that_does_not_add_up_is_no_receipt(out: Path) -> None:
    document = json.loads((out / ".parchunk/receipts/t/0.json").read_text())
    assert Receipt.from_json(document).present == 9
    for change in ({"present": 8}, {"missing": 2}, {"expected": 9}):
        with pytest.raises(ValueError, match="do not add up"):
            Receipt.from_json({**document, **change})


@pytest.mark.parametrize(("value", "fits"), [(2**63 - 1, True), (2**63, False), (-1, False)])
def test_numbers_are_those_that_readers_of_sql_can_hold(out: Path, value: int, fits: bool) -> None:
    document = json.loads((out / ".parchunk/receipts/t/0.json").read_text())
    if fits:
        assert Receipt.from_json({**document, "bytes": value}).bytes == value
    else:
        with pytest.raises(ValueError, match=f"bytes is {value}"):
            Receipt.from_json({**document, "bytes": value})
