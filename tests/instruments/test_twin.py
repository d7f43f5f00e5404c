"""The in-process listing of a formula store, against obstore's of the same."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.formula_array import FormulaArray
from instruments.synthetic.server import Server
from instruments.synthetic.twin import SCHEMA, FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from tests.examples import examples
from tests.instruments.conftest import arrays, brute_force, client, listed


def test_twin_gives_the_batches_of_obstore(dirty_server: tuple[FormulaStore, Server]) -> None:
    store, server = dirty_server
    for chunk_size in (50, 77, 100, 1000, 10_000):
        server.reset()
        twin = FormulaListing(store, page=100)
        real = client(server).list(chunk_size=chunk_size, return_arrow=True)
        for ours, theirs in zip(
            twin.list(chunk_size=chunk_size, return_arrow=True), real, strict=True
        ):
            assert type(ours) is type(theirs)
            batch = pa.record_batch(ours)
            batch.validate(full=True)
            assert batch.schema.equals(pa.record_batch(theirs).schema, check_metadata=True)
            assert batch.schema == SCHEMA
            assert batch == pa.record_batch(theirs)
            assert twin.requests == server.counts()["LIST"]


@settings(max_examples=examples(15), deadline=None)
@given(arrays(), st.integers(1, 2000), st.integers(1, 300))
def test_twin_is_brute_force(array: FormulaArray, chunk_size: int, page: int) -> None:
    store = FormulaStore([array], {"air/.zattrs": b"{}"})
    expected = brute_force(store)
    twin = FormulaListing(store, page=page)
    assert listed(twin, chunk_size=chunk_size) == expected
    assert twin.requests == max(1, math.ceil(len(expected) / page))
    assert twin.keys == len(expected)


def test_twin_stops_when_its_reader_does() -> None:
    store = zarr_store([("air", (10**6, 1000), (1, 1), ("t", "x"))])
    twin = FormulaListing(store)
    stream = twin.list("air", offset=store.array("air").key(12345), chunk_size=2500)
    assert twin.requests == 0
    assert next(stream).num_rows == 2500
    assert twin.requests == 3
    next(stream)
    assert twin.requests == 5
    stream.close()
    assert twin.keys == 5000
    assert twin.get("air/.zarray") == twin.get("air/.zarray").bytes() == store.get("air/.zarray")
    assert twin.get_range("air/3.3", start=2, length=5) == store.get("air/3.3")[2:7]
    assert twin.get_range("air/3.3", start=2, end=5) == store.get("air/3.3")[2:5]
    assert twin.head("air/3.3")["size"] == store.head("air/3.3")
    with pytest.raises(FileNotFoundError):
        twin.get("air/x")
    twin.reset()
    assert (twin.requests, twin.keys, twin.streams) == (0, 0, 0)
