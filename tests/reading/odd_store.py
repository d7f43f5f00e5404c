"""References of odd arrays that tests of views and of the sql command share."""

from pathlib import Path

import numpy as np
import zarr

import parchunk

ODD = "t_it's *[odd]"


def build_odd(folder: Path) -> Path:
    """Build references of arrays split on their first and second axes, whole ones, and odd names.

    The store is ``store.zarr`` in the folder, which is returned, OUT is ``refs``.
    """
    root = zarr.open_group(folder / "store.zarr", mode="w", zarr_format=3)
    random = np.random.default_rng(1)

    def put(group, name, shape, chunks, dims):
        array = group.create_array(
            name, shape=shape, chunks=chunks, dtype="f4", dimension_names=dims
        )
        array[...] = random.normal(size=shape)

    put(root, "t", (24, 4, 6), (1, 2, 3), ("time", "y", "x"))
    put(root, ODD, (24, 4, 6), (1, 2, 3), ("time", "y", "x"))
    put(root, "50%", (23, 3), (2, 1), ("time", "y"))
    put(root.create_group("deep/er"), "q", (4, 24, 6), (2, 1, 3), ("y", "time", "x"))
    put(root, "y", (4,), (4,), ("y",))
    root.create_array("crs", shape=(), dtype="i4")[...] = 7
    for key in ("t/c/5/0/1", f"{ODD}/c/0/0/0", "deep/er/q/c/1/9/1"):
        (folder / "store.zarr" / key).unlink()
    (folder / "store.zarr/t/c/7/1/1").write_bytes(b"")
    (folder / "store.zarr/t/c/junk").write_bytes(b"x")
    plan = parchunk.plan(
        str(folder / "store.zarr"), split="time", region=8, record_size=8, inline_threshold=30
    )
    assert {a.spec.name: a.axis for a in plan.arrays}["deep/er/q"] == 1
    parchunk.build(plan, str(folder / "refs"))
    return folder
