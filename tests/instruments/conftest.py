"""A store with everything in it, and what of it is listed, without the formula."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import strategies as st
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.formula_array import FormulaArray
from instruments.synthetic.rules import Both, HashFraction, LeadingRange, Nothing, Without
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store

from parchunk.keys.encoding import KeyEncoding


@st.composite
def arrays(draw: st.DrawFn, name: str = "air") -> FormulaArray:
    rank = draw(st.integers(0, 4))
    length = {
        0: st.nothing(),
        1: st.integers(1, 1200),
        2: st.integers(1, 60) | st.just(101),
        3: st.integers(1, 13),
        4: st.sampled_from([1, 1, 2, 3, 11]),
    }[rank]
    grid = tuple(draw(st.lists(length, min_size=rank, max_size=rank)))
    encoding = KeyEncoding(draw(st.sampled_from(["", "c"])), draw(st.sampled_from("./")), rank)
    rules = [None, HashFraction(0.5, seed=draw(st.integers(0, 3))), Nothing(), Without((0, 3, 7))]
    if rank:
        rules += [LeadingRange(1, 5), Both(LeadingRange(0, 9), HashFraction(0.7))]
    return FormulaArray(name, grid, encoding, present=draw(st.sampled_from(rules)))


def brute_force(store: FormulaStore) -> list[tuple[str, int]]:
    """Every object of a store with its size, by enumeration and ``sorted``."""
    objects = [(key, len(body)) for key, body in store.documents().items()]
    for array in store.arrays:
        head = f"{array.name}/" if array.name else ""
        sizes = array.expected_sizes().tolist()
        indices = itertools.product(*map(range, array.grid))
        for index, size in zip(indices, sizes, strict=True):
            if size >= 0:
                objects.append((head + array.encoding.tail(index), size))
    return sorted(objects, key=lambda item: item[0].encode())


def listed(
    source: Any, prefix: str | None = None, offset: str | None = None, chunk_size: int = 1000
) -> list[tuple[str, int]]:
    rows: list[tuple[str, int]] = []
    for batch in source.list(prefix, offset=offset, chunk_size=chunk_size, return_arrow=True):
        columns = pa.record_batch(batch)
        rows += zip(columns["path"].to_pylist(), columns["size"].to_pylist(), strict=True)
    return rows


def client(server: Server, **options: Any) -> S3Store:
    backoff = {
        "init_backoff": timedelta(milliseconds=5),
        "max_backoff": timedelta(milliseconds=20),
        "base": 2,
    }
    retry = {"max_retries": 4, "retry_timeout": timedelta(seconds=10), "backoff": backoff}
    keywords = server.store_kwargs()
    keywords["client_options"] = {**keywords["client_options"], **options}
    return S3Store(server.bucket, **keywords, retry_config=retry)


def dirty_store() -> FormulaStore:
    """Two arrays of which one's name begins the other's, with strays and missing chunks."""
    return zarr_store(
        [
            ("air", (40, 30, 100), (1, 1, 50), ("time", "lat", "lon")),
            ("air_temp", (1200,), (1,), ("time",)),
            ("deep/er/sea & <ice>", (3, 4), (1, 1), ("y", "x")),
        ],
        present={"air_temp": HashFraction(0.5)},
        extra={
            "air/0.tmp": b"x",
            "air/README.md": b"# air",
            "air/12.3.partial": b"",
            "air/39.29.1~": b"zz",
            "Z": b"",
            "zz": b"",
        },
    )


# The formula store --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dirty_server() -> Iterator[tuple[FormulaStore, Server]]:
    store = dirty_store()
    with serve(store, page=100) as server:
        yield store, server
