"""An OUT on a disk that is full at some time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from parchunk.errors import OutputError
from parchunk.out.local import LocalOutput
from parchunk.stores.opening import open_store


class Full(LocalOutput):
    """An output that takes so many files and no more, below it, too."""

    left: Iterator[int]

    def put(self, path: str, data: bytes | memoryview) -> None:
        if next(self.left, None) is None:
            raise OutputError("no space left on device")
        super().put(path, data)

    def below(self, folder: str) -> Full:
        inner = Full(super().below(folder).location)
        inner.left = self.left
        return inner


def full(out: Path, puts: int) -> Full:
    """Return an OUT on a disk that has room for so many files."""
    output = Full(open_store(str(out)).location)
    output.left = iter(range(puts))
    return output
