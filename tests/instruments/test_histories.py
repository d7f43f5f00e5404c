"""Random histories on object storage: one that ends well, and that what is wrong is seen."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from benchmarks.history import Wrong, history
from benchmarks.history_end import audit, compare_files, end
from benchmarks.history_readers import Watch, all_rows
from benchmarks.history_requests import be_quick

import parchunk
from parchunk.stores import opening


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "RETRY", dict(opening.RETRY))
    be_quick()


def test_a_history_of_kills_ends_with_the_bytes_of_a_fresh_build(tmp_path: Path) -> None:
    """`python -m benchmarks.histories` has many more, and longer ones."""
    with history(1033, tmp_path) as one:
        for kind in ("kill after", "busy"):
            one.change("source")
            one.run([one.commands.drawn(one.dice)], kind)
        end(one)
    assert one.counts["build -9"] == 1, one.told


def test_rows_that_were_never_true_are_seen(tmp_path: Path) -> None:
    out = tmp_path / "refs"
    array = zarr.open_group(tmp_path / "s.zarr").create_array("t", shape=4, chunks=1, dtype="i4")
    array[...] = 1
    parchunk.build(parchunk.plan(str(tmp_path / "s.zarr")), str(out))
    watch = Watch(out)
    watch.settle(all_rows(out))
    watch.changed("t/refs.0.parq")
    watch.changed(".zmetadata")
    assert not watch.wrong
    table = pq.read_table(out / "t/refs.0.parq").to_pydict()
    table["path"][2] = None
    pq.write_table(pa.table(table), out / "t/refs.0.parq")
    watch.changed("t/refs.0.parq")
    assert [text.split(":")[0] for text in watch.wrong] == ["after t/refs.0.parq"]
    (out / "t/refs.0.parq").unlink()
    watch.changed(".zmetadata")
    assert len(watch.wrong) == 1 + 4


def test_what_is_lost_or_damaged_in_the_end_is_seen(tmp_path: Path) -> None:
    with history(1030, tmp_path) as one:
        one.run([one.commands.build()])
        (one.out / ".parchunk/other").write_bytes(b"")
        fresh = one.build_fresh(there=True)[1]
        with pytest.raises(Wrong, match="left behind"):
            compare_files(one, fresh)
        (one.out / ".parchunk/other").unlink()
        file = next(one.out.glob("air/refs.0.parq"))
        table = pq.read_table(file).to_pydict()
        table["path"][0] = None
        pq.write_table(pa.table(table), file)
        with pytest.raises(Wrong, match=r"the audit says: .*wrong-digest"):
            audit(one, 0)
