"""Formula stores side by side, as producers leave them: one a month, one an initialisation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.zarr_stores import ArraySpec, zarr_documents, zarr_store
from parchunk.keys.encoding import Separator


def side_by_side(stores: Iterable[FormulaStore]) -> FormulaStore:
    """Return one formula store that holds several, each below its own root."""
    each = list(stores)
    return FormulaStore(
        [array for store in each for array in store.arrays],
        {key.decode(): body for store in each for key, body in store.extra.items()},
    )


def periods(
    names: Sequence[str],
    arrays: Sequence[ArraySpec],
    steps: int,
    zarr_format: int = 3,
    separator: Separator = "/",
    key_encoding: str = "default",
    begin: int = 0,
) -> FormulaStore:
    """Return stores of one hierarchy that follow each other along ``time``, ``steps`` in each.

    Each has a coordinate ``time`` of one chunk, whose values go on where the store before ends; the
    first one's begin with ``begin``.
    """
    coordinate = ("time", (steps,), (steps,), ("time",))
    documents = zarr_documents(
        [*arrays, coordinate], zarr_format, separator, key_encoding=key_encoding, compressed=False
    )
    tail = "c/0" if zarr_format == 3 and key_encoding == "default" else "0"
    if tail == "c/0" and separator == ".":
        tail = "c.0"
    return side_by_side(
        zarr_store(
            arrays,
            zarr_format,
            separator,
            key_encoding=key_encoding,
            size="exact",
            extra={
                **documents,
                f"time/{tail}": np.arange(
                    begin + at * steps, begin + (at + 1) * steps, dtype="<f4"
                ).tobytes(),
            },
            root=name,
        )
        for at, name in enumerate(names)
    )
