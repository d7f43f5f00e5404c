"""What only an OUT on a file system meets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parchunk.out.local import LocalOutput
from parchunk.stores.opening import Location


def test_a_folder_that_goes_while_it_is_listed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of claims does when a build has ended, under the eyes of `status --watch`."""
    output = LocalOutput(Location(str(tmp_path)))
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims/one").write_bytes(b"1")
    walked, gone = os.walk, []

    def once(top: str, onerror: Callable[[OSError], None]) -> Iterator[Any]:
        if not gone:
            gone.append(top)
            onerror(FileNotFoundError(top))
        return walked(top, onerror=onerror)

    monkeypatch.setattr(os, "walk", once)
    assert output.paths("claims") == ["claims/one"]
    assert gone
