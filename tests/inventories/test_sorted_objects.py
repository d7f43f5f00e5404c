"""Sorted objects against a list of their keys: every folder, every offset, however they are cut."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

import parchunk
from parchunk.inventories.columns import columns_of
from parchunk.inventories.parts import spooled_stream
from parchunk.inventories.pieces import Piece, Pieces, pieces_of
from parchunk.inventories.queries import Rows
from parchunk.inventories.sorted_objects import SCHEMA, TAGGED, SortedObjects
from parchunk.inventories.sorted_rows import write_sorted
from parchunk.inventories.sorting import Sorter, run_bytes_within

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEGMENTS = st.sampled_from(["a", "a-b", "a.b", "0", "10", "2", "c", "é", "zarr.json"])
KEYS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)


def made(keys: list[str], cut: int, folder: Path) -> SortedObjects:
    """Return sorted objects whose row groups have ``cut`` rows."""
    rows = pa.record_batch(
        [sorted(keys, key=str.encode), range(len(keys)), range(len(keys))], schema=SCHEMA
    )
    batches = (rows.slice(at, cut) for at in range(0, len(keys), cut))
    written = write_sorted(batches, folder / "sorted.parquet", "it")
    assert not written.twice
    return SortedObjects(str(folder / "sorted.parquet"), written.count, written.digest, NOW)


def below(keys: list[str], folder: str) -> list[str]:
    return [key for key in sorted(keys) if not folder or key.startswith(f"{folder}/")]


@settings(max_examples=examples(25), deadline=None)
@given(st.sets(KEYS, min_size=1, max_size=40), st.integers(1, 9), st.data())
def test_folders_and_offsets(found: set[str], cut: int, data: st.DataObject) -> None:
    keys = sorted(found)
    with TemporaryDirectory() as folder:
        objects = made(keys, cut, Path(folder))
        for at in ["", *{key.rpartition("/")[0] for key in keys}, "nothing"]:
            offset = data.draw(st.none() | KEYS | st.sampled_from(keys))
            rows = [p for batch in objects.after(at, offset) for p in batch["path"].to_pylist()]
            wanted = below(keys, at)
            assert rows == [key for key in wanted if offset is None or key > offset]
            tails = [key[len(at) + 1 if at else 0 :] for key in wanted]
            folders, names = objects.names_in(at)
            assert sorted(folders) == sorted({t.split("/")[0] for t in tails if "/" in t})
            assert names == [t for t in tails if "/" not in t]
            assert objects.first_keys(at, 3) == (tails[:3], len(tails) <= 3)
        for key in [*keys, "a/nothing"]:
            assert objects.holds(key) == (key in found)


@settings(max_examples=examples(15), deadline=None)
@given(st.sets(KEYS, min_size=1, max_size=40), st.integers(1, 9), st.integers(1, 3), st.data())
def test_pieces_are_fetched_for_keys_that_they_may_hold(
    found: set[str], cut: int, groups: int, data: st.DataObject
) -> None:
    keys, fetched = sorted(found), list[str]()
    with TemporaryDirectory() as folder:
        objects = made(keys, data.draw(st.integers(1, 9)), Path(folder))
        cuts = dict(pieces_of(objects, groups, cut))
        assert [piece.rows for piece in cuts][:-1] == [cut * groups] * (len(cuts) - 1)
        assert [piece.first for piece in cuts] == keys[:: cut * groups]

        def fetch(piece: Piece) -> bytes:
            fetched.append(piece.first)
            return cuts[piece]

        kept = replace(objects, file="", pieces=Pieces(list(cuts), fetch))
        start, stop = sorted([data.draw(KEYS), data.draw(KEYS)])
        rows = [p for batch in kept.between(start, stop) for p in batch["path"].to_pylist()]
        assert rows == [key for key in keys if start <= key < stop]
        firsts = [piece.first for piece in cuts]
        before = max((first for first in firsts if first <= start), default=firsts[0])
        assert fetched == [first for first in firsts if before <= first < stop]
        for at in ["", *{key.rpartition("/")[0] for key in keys}, "nothing"]:
            assert kept.names_in(at) == objects.names_in(at)
            assert kept.first_keys(at, 3) == objects.first_keys(at, 3)
        assert len(fetched) <= len(cuts)  # once each


def test_the_digest_does_not_depend_on_how_rows_are_cut(tmp_path: Path) -> None:
    keys = [f"t/{at}" for at in range(50)]
    digests = set()
    for cut in (1, 7, 50):
        (tmp_path / str(cut)).mkdir()
        digests.add(made(keys, cut, tmp_path / str(cut)).digest)
    assert len(digests) == 1
    (tmp_path / "other").mkdir()
    assert made([*keys[:-1], "t/x"], 50, tmp_path / "other").digest not in digests


def test_entity_tags_are_of_the_digest_and_go_with_their_keys(tmp_path: Path) -> None:
    digests: dict[str, set[str]] = {}
    for cut, last in ((1, "g0"), (3, "g0"), (8, "g0"), (8, "other")):
        columns = [[f"t/{at}" for at in range(8)], range(8), range(8), [*"abcdefg", last]]
        rows = pa.record_batch(columns, schema=TAGGED)
        batches = (rows.slice(at, cut) for at in range(0, 8, cut))
        file = tmp_path / f"{cut}{last}.parquet"
        digest = write_sorted(batches, file, "it", "etag").digest
        digests.setdefault(last, set()).add(digest)
        assert pq.read_table(file).to_pydict() == rows.to_pydict()
    assert [len(found) for found in digests.values()] == [1, 1]
    assert digests["g0"] != digests["other"]


def test_runs_with_entity_tags_are_merged(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).permutation(90_000)
    keys, tags = (
        pc.binary_join_element_wise(text, pa.array(numbers).cast(pa.string()), "")
        for text in ("s/", "tag")
    )
    table = pa.table({"key": keys, "size": numbers + 1, "etag": tags})
    part = spooled_stream(table, "it", tmp_path / "part.parquet")
    rows = Rows(part, columns_of(part.columns, "it", "etag"), identity="etag")
    sorter = Sorter([rows], tmp_path, 512 << 20, "it", run_bytes=1 << 20)
    file = tmp_path / "sorted.parquet"
    write_sorted(sorter.batches("s/", ""), file, "it", "etag")
    sorter.close()
    assert len(list(tmp_path.glob("run-*.parquet"))) > 1
    found = pq.read_table(file)
    assert found["path"].to_pylist() == sorted(map(str, range(90_000)))
    assert found["etag"].to_pylist() == [f"tag{key}" for key in found["path"].to_pylist()]


def test_runs_are_merged(tmp_path: Path) -> None:
    count = 300_000
    numbers = np.random.default_rng(0).permutation(count)
    keys = pc.binary_join_element_wise("s/t", pa.array(numbers).cast(pa.string()), "/")
    table = pa.table({"key": keys, "size": numbers, "last_modified": numbers + 1})
    again = pa.concat_tables([table, table.slice(0, 7), pa.table({**other_keys(table)})])
    part = spooled_stream(again, "it", tmp_path / "part.parquet")
    rows = Rows(part, columns_of(part.columns, "it"))
    sorter = Sorter([rows], tmp_path, 512 << 20, "it", run_bytes=1)
    file = tmp_path / "sorted.parquet"
    written = write_sorted(sorter.batches("s/", "b/x/"), file, "it")
    sorter.close()
    assert (written.count, written.twice, written.untimed) == (count, 7, 0)
    assert len(list(tmp_path.glob("run-*.parquet"))) > 8
    found = pq.read_table(file)
    wanted = np.array([f"b/x/t/{number}" for number in range(count)])
    order = np.argsort(wanted, kind="stable")
    assert found["path"].to_pylist() == wanted[order].tolist()
    assert found["size"].to_numpy().tolist() == order.tolist()


def other_keys(table: pa.Table) -> dict[str, pa.Array]:
    """Return rows of another store."""
    few = table.slice(0, 1000)
    return {name: few[name] for name in few.column_names} | {"key": pa.array(["z"] * 1000)}


def test_rows_that_are_not_on_this_machine(tmp_path: Path) -> None:
    objects = SortedObjects(str(tmp_path / "gone"), 1, "", NOW)
    with pytest.raises(parchunk.SourceError, match=r"is not on this machine: .* set TMPDIR"):
        next(objects.after(""))


def test_texts_of_a_run_fit_into_arrow() -> None:
    assert run_bytes_within(512 << 20) == (448 << 20) // 6
    assert run_bytes_within(1 << 40) < 1 << 31
