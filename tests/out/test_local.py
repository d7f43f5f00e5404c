"""What only an OUT on a file system meets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
    listed, gone = Path.rglob, []

    def once(self: Path, pattern: str) -> Iterator[Path]:
        if not gone:
            gone.append(self)
            raise FileNotFoundError(self)
        return iter(listed(self, pattern))

    monkeypatch.setattr(Path, "rglob", once)
    assert output.paths("claims") == ["claims/one"]
    assert gone
