"""The formula store against brute force."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.formula_array import FormulaArray
from instruments.synthetic.layout import TABLE_ROWS
from instruments.synthetic.rules import HashedSizes, HashFraction, LeadingRange, Without
from instruments.synthetic.zarr_stores import FIELD_STORES, field_store, zarr_documents, zarr_store
from obstore.store import MemoryStore
from tests.instruments.conftest import arrays, brute_force, dirty_store

from parchunk.keys.encoding import KeyEncoding


def dirty_store_of(table_rows: int) -> FormulaStore:
    """The dirty store with keys in tables of so many rows."""
    store = dirty_store()
    extra = {key.decode(): body for key, body in store.extra.items()}
    return FormulaStore([replace(array, table_rows=table_rows) for array in store.arrays], extra)


@pytest.mark.parametrize("rows", [TABLE_ROWS, 40, 5])
class TestFormula:
    """In small tables, small grids take the ways of large ones."""

    @settings(max_examples=40, deadline=None)
    @given(arrays())
    @example(FormulaArray("air", (1,), KeyEncoding("c", "/", 1)))
    @example(FormulaArray("air", (1001,), KeyEncoding("", ".", 1)))
    @example(FormulaArray("air", (), KeyEncoding("c", "/", 0)))
    @example(FormulaArray("", (3, 11), KeyEncoding("c", "/", 2)))
    def test_ranks_are_text_order(self, rows: int, array: FormulaArray) -> None:
        array = replace(array, table_rows=rows)
        head = f"{array.name}/" if array.name else ""
        indices = itertools.product(*map(range, array.grid))
        spelled = [(head + array.encoding.tail(index), at) for at, index in enumerate(indices)]
        spelled.sort(key=lambda item: item[0].encode())
        assert [array.key(rank) for rank in range(array.total)] == [key for key, _ in spelled]
        assert [array.number(rank) for rank in range(array.total)] == [at for _, at in spelled]
        for rank in range(0, array.total, 7):
            assert array.rank(spelled[rank][0]) == rank

    @settings(max_examples=25, deadline=None)
    @given(arrays("air"), arrays("air_temp"), st.data())
    def test_pages_are_brute_force(
        self, rows: int, one: FormulaArray, other: FormulaArray, data: st.DataObject
    ) -> None:
        extra = {
            ".zgroup": b"{}",
            "air/.zarray": b"{}",
            "air/0.tmp": b"",
            "air_temp/zarr.json": b"1",
        }
        arrays = [replace(array, table_rows=rows) for array in (other, one)]
        store = FormulaStore(arrays, extra)
        expected = brute_force(store)
        assert store.count() == len(expected)
        bits = ["", "a", "air", "air/", "air/1", "air/c/", "air/c/1", "air_", "air_temp/", "b"]
        keys = [key for key, _ in expected]
        prefix = data.draw(st.sampled_from(bits))
        after = data.draw(st.none() | st.sampled_from([*bits, *keys[:: len(keys) // 20 + 1]]))
        most = data.draw(st.sampled_from([1, 7, 1000] if len(keys) < 200 else [99, 1000]))
        wanted = [
            item for item in expected if item[0].startswith(prefix) and item[0] > (after or "")
        ]
        assert store.count(prefix) == sum(key.startswith(prefix) for key in keys)

        got: list[tuple[str, int]] = []
        page = store.page(after, prefix, most)
        got += zip(page.keys, page.sizes.tolist(), strict=True)
        pages = 1
        while page.token is not None:
            assert len(page.keys) == most
            page = store.page(prefix=prefix, max_keys=most, token=page.token)
            got += zip(page.keys, page.sizes.tolist(), strict=True)
            pages += 1
        assert got == wanted
        assert pages == max(1, math.ceil(len(wanted) / most))

    def test_extra_objects_lie_among_chunks(self, rows: int) -> None:
        store = dirty_store_of(rows)
        expected = brute_force(store)
        page = store.page(max_keys=10_000)
        assert list(zip(page.keys, page.sizes.tolist(), strict=True)) == expected
        assert page.keys.index("air/12.3.partial") > page.keys.index("air/12.3.1")
        for key, size in expected[::17]:
            assert store.head(key) == size
            assert len(store.get(key)) == size
        assert store.head("air/40.0.0") is None
        assert store.head("air/00.0.0") is None
        missing = np.flatnonzero(store.array("air_temp").expected_sizes() < 0)
        assert store.head(f"air_temp/{missing[0]}") is None

    def test_delimiter(self, rows: int) -> None:
        store = dirty_store_of(rows)
        keys = [key for key, _ in brute_force(store)]
        for prefix in ["", "air/", "deep/", "deep/er/", "air", "nothing/"]:
            rests = [key[len(prefix) :] for key in keys if key.startswith(prefix)]
            commons = sorted({prefix + rest.split("/")[0] + "/" for rest in rests if "/" in rest})
            objects = [prefix + rest for rest in rests if "/" not in rest]
            for most in (1, 2, 1000):
                got_objects, got_commons = [], []
                start, stop = store.span(prefix)
                at: int | None = start
                while at is not None:
                    runs, found, at = store.entries(at, stop, prefix, most)
                    got_commons += [common.decode() for common in found]
                    got_objects += [
                        (run.prefix + tail).decode()
                        for run in runs
                        for tail in run.pick(run.table.tails)
                    ]
                assert got_commons == commons
                assert got_objects == objects


@pytest.mark.parametrize("grid", [(10**9,), (10**6, 1000), (1323648, 1, 1, 1), (7, 10**8)])
@pytest.mark.parametrize("separator", ["/", "."])
def test_large_grids_need_no_enumeration(grid: tuple[int, ...], separator: Any) -> None:
    array = FormulaArray("air", grid, KeyEncoding("", separator, len(grid)))
    store = FormulaStore([array], {"air/.zarray": b"{}"})
    ranks = sorted({0, array.total - 1, *(array.total * at // 97 for at in range(97))})
    keys = [array.key(rank) for rank in ranks]
    assert keys == sorted(keys)
    assert [array.rank(key) for key in keys] == ranks
    for rank, key in zip(ranks, keys, strict=True):
        index = array.encoding.index(key.removeprefix("air/"))
        assert array.number(rank) == np.ravel_multi_index(index, grid)
    began = time.thread_time()
    for rank in ranks[:-1]:
        page = store.page(array.key(rank), "air/")
        assert len(page.keys) == 1000 or page.token is None
        assert page.keys == sorted(page.keys)
        assert page.keys[0] == array.key(rank + 1)
    assert time.thread_time() - began < 10  # of the processor: no page walks over what is before


def test_a_large_empty_range_is_passed_quickly() -> None:
    array = FormulaArray(
        "air", (10**5, 10**5), KeyEncoding("", ".", 2), present=LeadingRange(70_000, 70_001)
    )
    page = FormulaStore([array]).page()
    assert page.keys[0] == "air/70000.0"
    assert page.token is not None


def test_what_clashes_is_refused() -> None:
    array = FormulaArray("a", (3, 3), KeyEncoding("", "/", 2))
    with pytest.raises(ValueError, match="chunk of 'a' and an extra object"):
        FormulaStore([array], {"a/1/2": b""})
    with pytest.raises(ValueError, match="interleave"):
        FormulaStore([array, FormulaArray("a/1", (3, 3), KeyEncoding("", "/", 2))])
    with pytest.raises(ValueError, match="3 dimensions"):
        FormulaArray("a", (3, 3, 3), KeyEncoding("", "/", 2))
    with pytest.raises(ValueError, match="no fault"):
        Fault("quake")  # type: ignore[arg-type]


def test_sizes_are_as_told() -> None:
    numbers = np.arange(100_000)
    sizes = HashedSizes(10, 20)(numbers)
    assert set(sizes.tolist()) == set(range(10, 21))
    assert (HashedSizes()(numbers[1:]) != HashedSizes()(numbers[:-1])).mean() > 0.999
    assert (HashedSizes(zeros=0.1)(numbers) == 0).mean() == pytest.approx(0.1, abs=0.01)
    assert (FormulaArray("a", (9,), KeyEncoding("", ".", 1), size=7).expected_sizes() == 7).all()
    share = HashFraction(0.25)(numbers, (100_000,)).mean()
    assert share == pytest.approx(0.25, abs=0.01)


def test_root_and_pickle() -> None:
    specs = [("air", (30,), (1,), ("time",))]
    store = zarr_store(specs, 3, "/", root="some/store.zarr", present=Without((3,)))
    again = pickle.loads(pickle.dumps(store))
    for one in (store, again):
        keys = one.page().keys
        assert keys[0] == "some/store.zarr/air/c/0"
        assert keys[-1] == "some/store.zarr/zarr.json"
        assert len(keys) == 31
        assert one.array("air").grid == (30,)
        assert one.root == "some/store.zarr"
    bare = FormulaStore([FormulaArray("", (2,), KeyEncoding("c", "/", 1))], root="x")
    assert bare.page().keys == ["x/c/0", "x/c/1"]


def test_objects_of_the_real_stores() -> None:
    assert field_store("ufs-replay").count("tmp/") == 11_051_540 + 2
    assert field_store("ufs-replay").count("pressfc/") == 87_020 + 2
    assert field_store("arco-era5").count("temperature/") == 761_000 + 2
    assert field_store("nwm").array("depth").count == 50_871
    assert field_store("mur-sst").array("analysed_sst").count == 141_790
    assert field_store("mur-sst").array("time").count == 1_289
    assert field_store("hrrr").array("TMP").count == 96
    assert field_store("aef-shards").array("embeddings").count == 3_111_262
    assert len(FIELD_STORES) == 6


@pytest.mark.parametrize(
    ("zarr_format", "separator", "key_encoding"),
    [(2, ".", ""), (2, "/", ""), (3, "/", "default"), (3, ".", "default"), (3, ".", "v2")],
)
@pytest.mark.parametrize("consolidated", [True, False])
def test_hierarchies_are_zarr(
    zarr_format: int, separator: Any, key_encoding: str, consolidated: bool
) -> None:
    store = zarr_store(
        [("air", (5, 9), (2, 4), ("y", "x")), ("deep/er/sea", (7,), (3,), ("t",))],
        zarr_format,
        separator,
        key_encoding=key_encoding,
        consolidated=consolidated,
        size="exact",
    )
    memory = MemoryStore()
    for key, size in brute_force(store):
        assert size
        memory.put(key, store.get(key))
    root = zarr.open_group(
        zarr.storage.ObjectStore(memory, read_only=True), mode="r", use_consolidated=consolidated
    )
    assert {name for name, _ in root.members(max_depth=None)} == {
        "air",
        "deep",
        "deep/er",
        "deep/er/sea",
    }
    air = root["air"]
    assert (air.shape, air.chunks) == ((5, 9), (2, 4))
    head = "c" + separator if key_encoding == "default" else ""
    chunk = np.frombuffer(store.get(f"air/{head}1{separator}2"), "<f4").reshape(2, 4)
    np.testing.assert_array_equal(air[2:4, 8:], chunk[:, :1])


def test_documents_may_disagree_with_chunks() -> None:
    documents = zarr_documents([("air", (20,), (1,), ("t",))], 3, "/")
    array = FormulaArray("air", (30,), KeyEncoding("c", "/", 1))
    store = FormulaStore([array], documents)
    assert json.loads(store.get("air/zarr.json"))["shape"] == [20]
    assert store.count("air/c/") == 30


# The server ---------------------------------------------------------------------------------------
