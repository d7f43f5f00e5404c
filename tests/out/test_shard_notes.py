"""What a real append to a shard that was not full makes of references, and which of it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore

import parchunk
from parchunk.out.shard_notes import shard_notes

PLAIN: dict[str, Any] = {"compressors": None}
#: Case -> shape before, shape after, inner chunks, shards, options; what readers see, what is said.
CASES: dict[str, tuple[Any, ...]] = {
    "others beside them": ((10, 4), (20, 4), (2, 2), (20, 4), PLAIN, "others", True),
    "with a checksum": (
        (10, 4), (20, 4), (2, 2), (20, 4), {"compressors": zarr.codecs.Crc32cCodec()}, "others",
        True,
    ),
    "compressed to one size": ((10, 4), (20, 4), (2, 2), (20, 4), {}, "others", False),
    "none beside them": ((10, 4), (20, 4), (2, 4), (20, 4), PLAIN, "the same", False),
    "beyond the edge": ((10, 3), (20, 3), (2, 4), (20, 8), PLAIN, "the same", False),
    "a part of a chunk": ((11, 4), (20, 4), (2, 4), (20, 4), PLAIN, "the same", False),
    "no room for another": ((19, 4), (20, 4), (2, 2), (20, 4), PLAIN, "the same", False),
    "a part, compressed": ((11, 4), (20, 4), (2, 4), (20, 4), {}, "an error", False),
    "a full shard": ((20, 4), (30, 4), (2, 2), (20, 4), PLAIN, "the same", False),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_reads_as_others_without_compression_is_said_before(tmp_path: Path, case: str) -> None:
    before, after, chunks, shards, options, seen, said = CASES[case]
    values = np.arange(1, 1 + np.prod(after), dtype="i4").reshape(after)
    array = zarr.create_array(
        tmp_path / "in/a", shape=before, chunks=chunks, shards=shards, dtype="i4", **options
    )
    array[...] = values[: before[0], : before[1]]
    zarr.open_group(tmp_path / "in", mode="a")
    result = parchunk.build(str(tmp_path / "in"), tmp_path / "refs")
    assert [note for note in result.notes if "an append to them" in note] == (
        shard_notes(result.plan) if said else []
    )
    array.resize(after)
    array[before[0] :] = values[before[0] :]
    assert read(tmp_path / "refs", values[: before[0]]) == seen
    # The remedy.
    parchunk.update(tmp_path / "refs")
    assert read(tmp_path / "refs", values) == "the same"


def read(out: Path, wanted: Any) -> str:
    """Return what a stock reader makes of references."""
    options = {"fo": str(out), "remote_protocol": "file", "skip_instance_cache": True}
    references = fsspec.filesystem("reference", asynchronous=True, **options)
    group = zarr.open_group(FsspecStore(references, read_only=True, path=""), mode="r")
    try:
        return "the same" if np.array_equal(group["a"][...], wanted) else "others"
    except RuntimeError:
        return "an error"


def test_arrays_are_named_together_and_only_those_that_grow(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "in", mode="a")
    for name, shape, names in (
        ("t", (10, 40), ("time", "x")),
        ("u", (40, 10), ("x", "time")),
        ("v", (40, 40), ("time", "x")),
        ("w", (10, 40), ("y", "x")),
    ):
        root.create_array(
            name, shape=shape, chunks=(2, 2), shards=(20, 20), dtype="i4", compressors=None,
            dimension_names=names,
        )  # fmt: skip
    plan = parchunk.plan(tmp_path / "in", split="time")
    (note,) = shard_notes(plan)
    assert note.startswith("t, u: the last shards are not full")
    kept = parchunk.plan(tmp_path / "in", split="time", shards="whole")
    inlined = parchunk.plan(tmp_path / "in", split="time", inline_threshold=16)
    assert shard_notes(kept) == shard_notes(inlined) == []
