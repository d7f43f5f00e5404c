"""Reading ahead of icechunk: one run, no more, and its errors where it would be taken."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

import icechunk
import parchunk
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.calls import one_ahead
from parchunk.icechunk_import.limits import Limits
from parchunk.out.record_files import SCHEMA, digest


def test_the_next_item_is_made_while_one_is_in_use() -> None:
    made = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    with one_ahead(items()) as ahead:
        assert made[0].wait(250), "the first is made before it is asked for"
        assert not made[1].is_set()
        assert next(ahead) == 0
        assert made[1].wait(250)
        assert next(ahead) == 1
        assert made[2].wait(250)
        assert not made[3].is_set(), "two ahead"
        assert list(ahead) == [2, 3]


def test_an_error_comes_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise parchunk.InputError("the second is damaged")

    with one_ahead(items()) as ahead:
        assert next(ahead) == 1
        with pytest.raises(parchunk.InputError, match="the second is damaged"):
            next(ahead)


def test_no_thread_stays_when_an_import_ends_early() -> None:
    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate() if "parchunk-read" in thread.name]

    with one_ahead(iter(range(9))) as ahead:
        next(ahead)
        assert names()
    assert not names()


def test_many_short_runs_import_the_same(grow, build, opened, assert_equal, monkeypatch, tmp_path):
    """Runs shorter than a record file, ending within rows, with missing chunks among them."""
    import zarr

    source = grow(12)
    for key in ("air/c/0/0/0", "air/c/5/1/0", "air/c/11/1/1", "deep/rain/c/3/0/1"):
        (source / key).unlink()
    out = build(source, split="time", region=4, record_size=5)
    calls = []
    real = adapter.prepare

    def counted(path: str, start: Any, grid: Any, locations: pa.StringArray, *rest: Any) -> Any:
        calls.append(len(locations))
        return real(path, start, grid, locations, *rest)

    monkeypatch.setattr(adapter, "prepare", counted)
    parchunk.to_icechunk(out, str(tmp_path / "repo"), limits=Limits(rows=3))
    assert max(calls) <= 3
    assert len(calls) > 12 * 4 / 3
    assert_equal(zarr.open_group(source, mode="r"), opened(tmp_path / "repo"))


def test_a_reference_that_icechunk_does_not_take_stops_the_commit(
    grow, build, commits, monkeypatch, tmp_path
):
    """It says so by a return value alone."""
    real = icechunk.IcechunkStore

    def refusing(name: str) -> None:
        monkeypatch.setattr(real, name, lambda *_, **__: [(0, 0, 0), (1, 0, 0)])

    out = build(grow(8), split="time", region=4, include=["air"])
    refusing("set_virtual_refs_arr" if adapter.takes_arrays() else "set_virtual_refs")
    with pytest.raises(parchunk.OutputError, match="did not take 2 references of air: no virtual"):
        parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert len(commits(tmp_path / "repo")) == 1


@pytest.mark.parametrize(
    "table",
    [
        None,
        pa.table({"path": ["a"]}),
        SCHEMA.empty_table().set_column(2, "size", pa.array([], pa.int32())),
        pa.table(
            {"path": ["a"], "offset": [0], "size": pa.array([None], pa.int64()), "raw": [b""]}
        ),
    ],
)
def test_a_record_file_that_only_its_receipt_vouches_for(
    tmp_path: Path, table: pa.Table | None
) -> None:
    """Whoever can write OUT can write a receipt with the right digest, too."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    root.create_array("t", shape=(1,), chunks=(1,), dtype="i4")[...] = 7
    parchunk.build(parchunk.plan(str(source)), str(out))
    file = out / "t" / "refs.0.parq"
    if table is None:
        file.write_bytes(b"PAR1 nonsense PAR1")
    else:
        pq.write_table(table, file)
    (receipt,) = (out / ".parchunk" / "receipts" / "t").iterdir()
    document = json.loads(receipt.read_text())
    document["record_files"][0][-1] = digest(file.read_bytes())
    receipt.write_text(json.dumps(document))
    with pytest.raises(
        parchunk.InputError, match=r"refs\.0\.parq (holds no|cannot be|is not what)"
    ):
        parchunk.to_icechunk(str(out), str(tmp_path / "repo"))
