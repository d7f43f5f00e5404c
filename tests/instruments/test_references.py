"""The comparison of the long runs sees what is lost, invented, doubled or wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from instruments.synthetic.references import wrong_references
from instruments.synthetic.rules import HashFraction
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store

import parchunk

STORE = zarr_store(
    [("v", (50, 20), (1, 1), ("time", "x"))], zarr_format=3, present=HashFraction(0.9)
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    out = tmp_path_factory.mktemp("references") / "out"
    with serve(STORE, process=False) as server:
        options = {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": "true"}
        plan = parchunk.plan("s3://formula", region=10, store_options=options)
        parchunk.build(plan, str(out))
    return out, plan.record_size


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda rows: None, 0),
        (lambda rows: rows[1].update(path=None, size=0), 1),
        (lambda rows: rows[1].update(path=rows[2]["path"]), 1),
        (lambda rows: rows[1].update(size=rows[1]["size"] + 1), 1),
        (lambda rows: rows[1].update(offset=1), 1),
        (lambda rows: next(r for r in rows if not r["path"]).update(path="s3://x", size=1), 1),
        (lambda rows: rows.reverse(), None),
        (lambda rows: rows.pop(), None),
    ],
    ids=["nothing", "lost", "doubled", "size", "offset", "invented", "order", "short"],
)
def test_what_is_wrong_is_counted(
    built: tuple[Path, int], change: Callable[[list[dict[str, Any]]], object], wrong: int | None
) -> None:
    out, record_size = built
    array = STORE.array("v")
    assert all(array.expected_sizes(1, 3) > 0)
    path = out / "v/refs.0.parq"
    before = path.read_bytes()
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    try:
        pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
        found = wrong_references(array, "s3://formula", out, record_size)
        assert found > 1 if wrong is None else found == wrong
    finally:
        path.write_bytes(before)
