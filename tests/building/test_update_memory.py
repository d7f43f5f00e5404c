"""Updates that would list more than memory holds: refused before they write, and only these."""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import zarr

import parchunk
from parchunk.errors import InputError

#: Bytes of memory, and shards that are too many for that. None of them is ever written.
LITTLE, SHARDS = 53 << 20, 600_000

Published = Callable[[Path], dict[str, bytes]]


def planned(store: Path) -> parchunk.Plan:
    return parchunk.plan(store, split="t", region=2 * SHARDS, record_size=4_000)


def everything(out: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in out.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of an array of one shard, and one of four chunks, whose references are beside it."""
    store = tmp_path / "s.zarr"
    root = zarr.open_group(store, mode="w", zarr_format=3)
    a = root.create_array(
        "a", shape=(2,), chunks=(1,), shards=(2,), dtype="i4", dimension_names=["t"]
    )
    a[:] = 7
    b = root.create_array("b", shape=(2, 2), chunks=(1, 1), dtype="i4", dimension_names=["t", "x"])
    b[:] = 7
    parchunk.build(planned(store), tmp_path / "refs")
    return store


@pytest.mark.parametrize("shape", [(3, 2), (2, 3)], ids=["in place", "renumbered"])
def test_more_shards_than_memory_holds_are_refused_before_anything_is_written(
    shape: tuple[int, int],
    store: Path,
    tmp_path: Path,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "refs"
    root = zarr.open_group(store, mode="r+")
    root["a"].resize((2 * SHARDS,))  # type: ignore[union-attr]
    root["b"].resize(shape)  # type: ignore[union-attr]

    def refused() -> str:
        before = everything(out)
        with pytest.raises(InputError, match="too little to list the 600,000 shards of a") as said:
            parchunk.update(out, memory=LITTLE, concurrency=1)
        assert everything(out) == before
        return str(said.value)

    (named,) = re.findall(r"give (\d+MiB) or more", refused())
    with monkeypatch.context() as patched:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(import_module("parchunk.building.build"), "publish_root", killed)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(out, memory=named, concurrency=1)
    parchunk.update(out, memory=LITTLE, concurrency=1)  # the shards were listed by that
    parchunk.build(planned(store), tmp_path / "fresh")
    assert published(out) == published(tmp_path / "fresh")
    refused()  # they are gaps by now
    # What is not listed again needs no memory, in whatever way the rest is brought up to date.
    root["b"].resize((4, 4) if shape == (2, 3) else (4, 2))  # type: ignore[union-attr]
    parchunk.update(out, memory=LITTLE, concurrency=1, gaps=False)
    with pytest.raises(InputError, match="too little to list the 600,000 shards of a"):
        parchunk.update(out, memory=LITTLE, concurrency=1, gaps=False, arrays="a")
