"""A small store and its build, to be broken."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parchunk.cli.main import run
from parchunk.metadata.spec import canonical


def make_store(root: Path, arrays: dict[str, int]) -> Path:
    """Write a v2 store of one-dimensional arrays by hand; every third chunk is missing."""
    root.mkdir(parents=True)
    (root / ".zgroup").write_text('{"zarr_format": 2}')
    for name, chunks in arrays.items():
        folder = root / name
        folder.mkdir(parents=True)
        document = {"zarr_format": 2, "shape": [chunks], "chunks": [1], "dtype": "<i4"}
        document |= {"order": "C", "fill_value": 0, "filters": None, "compressor": None}
        (folder / ".zarray").write_text(json.dumps(document))
        (folder / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["time"]}')
        for number in range(chunks):
            if number % 3:
                (folder / str(number)).write_bytes(b"1234")
    return root


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a store and its finished build."""
    root = tmp_path_factory.mktemp("built")
    source = make_store(root / "source", {"air": 12, "air_temp": 12, "deep/t": 5})
    out = root / "out"
    assert run(["build", str(source), str(out), "--region", "4", "--no-progress"]) == 0
    return source, out


def signed(document: dict[str, Any]) -> dict[str, Any]:
    """Return a plan document with the fingerprint that it should have: whoever edits can sign."""
    derived = ("parchunk_plan", "fingerprint", "regions", "chunks", "source_options")
    content = {key: value for key, value in document.items() if key not in derived}
    digest = hashlib.sha256(canonical(content).encode()).hexdigest()
    return {**document, "fingerprint": digest}


@pytest.fixture(scope="session")
def sign() -> Callable[[dict[str, Any]], dict[str, Any]]:
    return signed


@pytest.fixture(scope="session")
def store_of() -> Callable[[Path, dict[str, int]], Path]:
    return make_store
