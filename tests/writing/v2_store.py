"""A v2 store of equal small chunks."""

import json
import os
from pathlib import Path


def v2_store(path: Path, count: int, size: int) -> Path:
    """Write an array of ``count`` chunks of ``size`` bytes that no codec touches."""
    (path / "a").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    document = {
        "zarr_format": 2, "shape": [count], "chunks": [1], "dtype": f"|V{size}",
        "compressor": None, "filters": None, "fill_value": None, "order": "C",
    }  # fmt: skip
    (path / "a/.zarray").write_text(json.dumps(document))
    for number in range(count):
        (path / f"a/{number}").write_bytes(os.urandom(size))
    return path
