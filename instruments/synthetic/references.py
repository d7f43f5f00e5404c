"""The references that a formula store must come to, compared row by row with those written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from instruments.synthetic.formula_array import FormulaArray


def expected_paths(array: FormulaArray, url: str, start: int, stop: int) -> pa.Array:
    """Return the URLs of chunks ``[start, stop)`` by number, present or not."""
    index = np.unravel_index(np.arange(start, stop), array.grid)
    spelled = [pa.array(axis).cast(pa.string()) for axis in index]
    tails = pc.binary_join_element_wise(*spelled, array.encoding.separator)
    return pc.binary_join_element_wise(f"{url}/{array.name}/{array.encoding.head}", tails, "")


def wrong_references(array: FormulaArray, url: str, out: Path, record_size: int) -> int:
    """Return how many references of ``array`` in OUT are lost, invented or wrong.

    A row has the chunk's own URL, offset 0 and its size, or nothing where there is no chunk; there
    are as many rows as chunks, so none can be doubled.
    """
    wrong = 0
    for start in range(0, array.total, record_size):
        stop = min(start + record_size, array.total)
        rows = pq.read_table(out / array.name / f"refs.{start // record_size}.parq")
        if rows.num_rows != stop - start:
            wrong += stop - start
            continue
        sizes = array.expected_sizes(start, stop)
        there = pa.array(sizes > 0)
        paths = pc.if_else(there, expected_paths(array, url, start, stop), None)
        found = rows.column("path").cast(pa.string()).combine_chunks()
        same = pc.fill_null(pc.equal(found, paths), False)
        same = np.asarray(pc.or_(same, pc.and_(pc.is_null(found), pc.is_null(paths))))
        same &= np.asarray(rows.column("size")) == np.maximum(sizes, 0)
        same &= np.asarray(rows.column("offset")) == 0
        wrong += int(np.count_nonzero(~same))
    return wrong
