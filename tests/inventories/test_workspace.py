"""Where there is no room for what is sorted."""

from __future__ import annotations

import resource
import secrets
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import parchunk
from parchunk.inventories.pieces import Piece, Pieces
from parchunk.inventories.reading import sort_objects
from parchunk.inventories.roots import Root


def sorting() -> None:
    keys = [secrets.token_hex(20) for _ in range(5_000)]
    sort_objects(pa.table({"key": keys, "size": [1] * len(keys)}), Root("s3://b/x"), 512 << 20)


def fetching() -> None:
    list(Pieces([Piece("digest", "", 1)], lambda _: bytes(100_000)).files("", None))


@pytest.mark.parametrize("keep", [sorting, fetching])
def test_a_full_disk_is_said_in_one_line(keep: Callable[[], Any]) -> None:
    """A limit on the size of files ends a write in the middle, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(parchunk.SourceError, match=r"do not fit into .*File too large.*TMPDIR"):
            keep()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
