"""A real store with the traits that matter, its references, and a fresh copy of both a test."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import zarr
from tests.auditing.rewriting import rewrite

import parchunk

STEPS, ROWS, COLUMNS = 24, 4, 6
#: Chunks that the store does not have: one step in part, two wholly, and a zero-byte object.
MISSING = ("t/c/5/0/1", *(f"t/c/{s}/{y}/{x}" for s in (12, 13) for y in (0, 1) for x in (0, 1)))
EMPTY = "t/c/20/0/0"


def write_store(path: Path) -> None:
    """Write v3 arrays: split ones, one split on its second axis, a scalar, a nested group."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    random = np.random.default_rng(4)

    def put(group, name, values, chunks, dims, **attributes):
        array = group.create_array(
            name, shape=values.shape, chunks=chunks, dtype=values.dtype, dimension_names=dims,
            attributes=attributes,
        )  # fmt: skip
        array[...] = values

    field = random.normal(size=(STEPS, ROWS, COLUMNS)).astype("f4")
    put(root, "t", field, (1, 2, 3), ("time", "y", "x"))
    put(root, "t_it's *[odd]", field, (1, 2, 3), ("time", "y", "x"))
    put(root.create_group("deep/er"), "q", field.transpose(1, 0, 2), (2, 1, 3), ("y", "time", "x"))
    put(root, "time", np.arange(STEPS), (STEPS,), ("time",), units="days since 2003-05-01")
    scalar = root.create_array("crs", shape=(), dtype="i4")
    scalar[...] = 7
    for key in MISSING:
        (path / key).unlink()
    (path / EMPTY).write_bytes(b"")
    (path / "t/c/3/0/0.tmp").write_bytes(b"left over")


@dataclass
class Built:
    """A store and its references, to be damaged."""

    source: Path
    out: Path

    def audit(self, **options):
        return parchunk.audit(str(self.out), **options)

    def kinds(self, **options) -> set[str]:
        """Return the kinds of damage that an audit finds."""
        return {f.kind for f in self.audit(**options).findings if f.severity == "damage"}

    def rewrite(self, name: str, change) -> None:
        """Rewrite a record file with changed columns."""
        rewrite(self.out / name, change)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Path:
    """Return a folder with a store and its references."""
    folder = tmp_path_factory.mktemp("audit")
    write_store(folder / "store.zarr")
    plan = parchunk.plan(str(folder / "store.zarr"), split="time", region=8, record_size=8)
    parchunk.build(plan, str(folder / "refs"))
    return folder


@pytest.fixture
def built(pristine: Path, tmp_path: Path) -> Built:
    """Return a copy of the references, of the one store."""
    shutil.copytree(pristine / "refs", tmp_path / "refs")
    return Built(pristine / "store.zarr", tmp_path / "refs")


@pytest.fixture
def own(tmp_path: Path) -> Built:
    """Return references of a store of the test's own, which it may change."""
    write_store(tmp_path / "store.zarr")
    plan = parchunk.plan(str(tmp_path / "store.zarr"), split="time", region=8, record_size=8)
    parchunk.build(plan, str(tmp_path / "refs"))
    return Built(tmp_path / "store.zarr", tmp_path / "refs")
