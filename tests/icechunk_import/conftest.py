"""Real stores by zarr-python, built for real, imported, and read back through Icechunk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.locations import Container
from parchunk.stores.opening import Location

icechunk = pytest.importorskip("icechunk", reason="the extra 'icechunk' is not installed")


@pytest.fixture(autouse=True)
def quiet() -> None:
    icechunk.set_logs_filter("error")


@pytest.fixture
def made_anew_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Another writer makes ``air`` of a repository anew, right after an import's so many commits.

    It has the metadata that it had, and no chunk.
    """
    real = icechunk.Session.commit

    def begin(repo: str, commits: int) -> None:
        made = 0

        def commit(self: Any, message: str, **options: Any) -> Any:
            nonlocal made
            snapshot = real(self, message, **options)
            made += 1
            if made == commits:
                other = icechunk.Repository.open(icechunk.local_filesystem_storage(repo))
                session = other.writable_session("main")
                document = adapter.get(session.store, "air/zarr.json")
                assert document is not None
                del zarr.open_group(session.store)["air"]
                adapter.put(session.store, {"air/zarr.json": document})
                real(session, "made anew")
            return snapshot

        monkeypatch.setattr(icechunk.Session, "commit", commit)

    return begin


@pytest.fixture
def grow(tmp_path: Path) -> Callable[..., Path]:
    """A store with two split arrays, one whole, a scalar, a nested group and a coordinate.

    ``steps`` long, values by index: an existing one is lengthened, old values staying.
    """

    def make(steps: int = 12, name: str = "source") -> Path:
        path = tmp_path / name
        root = zarr.open_group(path, mode="a", zarr_format=3)
        root.attrs.update({"title": "made up"})
        if "air" not in root:
            options: dict[str, Any] = {"dimension_names": ("time", "y", "x"), "fill_value": np.nan}
            root.create_array("air", shape=(0, 4, 6), chunks=(1, 2, 3), dtype="f4", **options)
            root.create_array("deep/rain", shape=(0, 4, 6), chunks=(2, 4, 3), dtype="f8", **options)
            root.create_array(
                "time", shape=(0,), chunks=(4,), dtype="i8", dimension_names=("time",), fill_value=0
            )
            height = root.create_array(
                "height", shape=(4, 6), chunks=(2, 6), dtype="i2", dimension_names=("y", "x")
            )
            height[...] = np.arange(24).reshape(4, 6)
            root.create_array("crs", shape=(), dtype="i4", fill_value=0)[...] = 4326
        for array in ("air", "deep/rain"):
            old = root[array].shape[0]
            root[array].resize((steps, 4, 6))
            values = np.arange(1, steps * 24 + 1).reshape(steps, 4, 6)
            root[array][old:] = values[old:]
        old = root["time"].shape[0]
        root["time"].resize((steps,))
        root["time"][old:] = np.arange(1, steps + 1)[old:]
        return path

    return make


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., str]:
    def make(source: Path | str, out: str = "out", **options: Any) -> str:
        plan = parchunk.plan(str(source), **options)
        return parchunk.build(plan, str(tmp_path / out), overwrite=True).url

    return make


@pytest.fixture
def in_memory() -> Callable[[Path], Any]:
    """Make a repository in memory that may refer to a source."""

    def make(source: Path) -> Any:
        container = Container.of(Location(str(source)))
        config = icechunk.RepositoryConfig.default()
        config.set_virtual_chunk_container(container.virtual_chunk_container())
        return icechunk.Repository.create(
            icechunk.in_memory_storage(),
            config=config,
            authorize_virtual_chunk_access=container.access(),
        )

    return make


@pytest.fixture
def opened() -> Callable[..., zarr.Group]:
    """The zarr group on a branch of a repository."""

    def make(repo: str | Path, branch: str = "main") -> zarr.Group:
        repository = parchunk.open_icechunk(str(repo))
        return zarr.open_group(repository.readonly_session(branch).store, mode="r")

    return make


@pytest.fixture
def commits() -> Callable[..., list[Any]]:
    """The commits of a branch, oldest first, without the one that every repository begins with."""

    def read(repo: str | Path, branch: str = "main") -> list[Any]:
        repository = parchunk.open_icechunk(str(repo))
        return list(repository.ancestry(branch=branch))[::-1][1:]

    return read


@pytest.fixture
def indices() -> Callable[..., set[tuple[int, ...]]]:
    """The chunk indices that a branch holds of an array."""

    def read(repo: str | Path, array: str, branch: str = "main") -> set[tuple[int, ...]]:
        session = parchunk.open_icechunk(str(repo)).readonly_session(branch)

        async def collect() -> set[tuple[int, ...]]:
            return {tuple(index) async for index in session.chunk_coordinates(f"/{array}")}

        return asyncio.run(collect())

    return read


def arrays_of(group: zarr.Group, prefix: str = "") -> Iterator[tuple[str, zarr.Array[Any]]]:
    """All arrays below a group by their path."""
    for name, member in group.members():
        if isinstance(member, zarr.Array):
            yield prefix + name, member
        else:
            yield from arrays_of(member, f"{prefix}{name}/")


@pytest.fixture
def assert_equal() -> Callable[[zarr.Group, zarr.Group], int]:
    """Compare all arrays of the first group bit for bit with the second one's; return how many."""

    def compare(theirs: zarr.Group, ours: zarr.Group) -> int:
        count = 0
        found = dict(arrays_of(ours))
        for name, array in arrays_of(theirs):
            expected, got = np.asarray(array[...]), np.asarray(found.pop(name)[...])
            assert got.shape == expected.shape, name
            assert got.dtype == expected.dtype.newbyteorder("="), name
            expected = expected.astype(expected.dtype.newbyteorder("="))
            if expected.dtype.kind in "OT":
                assert got.tolist() == expected.tolist(), name
            else:
                assert got.tobytes() == expected.tobytes(), name
            count += 1
        assert not found, "arrays that the source has not"
        return count

    return compare
