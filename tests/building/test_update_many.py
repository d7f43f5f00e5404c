"""Updates of many small arrays of which few are other than they were."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.server import serve
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store

import parchunk

ARRAYS = 60


def store(grown: Container[int], root: str = "") -> FormulaStore:
    """Return a store of arrays of 96 chunks, of which some have grown to twice as many."""
    arrays = [
        (f"g{at // 10}/a{at}", (16 if at in grown else 8, 12), (1, 1), ("y", "x"))
        for at in range(ARRAYS)
    ]
    return zarr_store(arrays, separator="/", root=root)


def opened(grown: Container[int]) -> parchunk.Source:
    listing = FormulaListing(store(grown))
    return parchunk.Source(store=listing, url="s3://formula/store.zarr")  # type: ignore[arg-type]


def record_files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".parchunk" not in path.parts
    }


def test_what_grew_among_many_is_listed_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "refs"
    first = parchunk.build(parchunk.plan(opened(())), out)
    for grown in ((), (7,), (7, 8, 33, 59)):
        with serve(store(grown, "store.zarr"), process=False) as server:
            options = {
                "endpoint": server.endpoint,
                "region": "us-east-1",
                "skip_signature": "true",
                "allow_http": "true",
            }
            result = parchunk.update(out, store_options=options)
        came = 96 * len(grown)
        assert (result.present, result.missing) == (first.present + came, 0)
        assert result.requests <= len(grown)  # to list all of it takes six
        plan = parchunk.plan(opened(grown), record_size=result.plan.record_size)
        parchunk.build(plan, tmp_path / f"fresh{len(grown)}")
        assert record_files(out) == record_files(tmp_path / f"fresh{len(grown)}")
