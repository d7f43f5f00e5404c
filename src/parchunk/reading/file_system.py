"""OUT as an fsspec file system, read-only, for DuckDB: no other package is needed for s3://.

DuckDB asks for a glob, then opens what it matched. Record files are small, so opening one is one
GET of the whole object; a footer, a column and another column would be three.
"""

from __future__ import annotations

import io
import re
import threading
import time
from bisect import bisect_left
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.utils import glob_translate

from parchunk.out.output import Output

#: Seconds for which a listing of OUT serves further globs.
_FRESH = 10.0
#: After every other character.
_LAST = "\U0010ffff"


class OutputFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The objects below one OUT that is no folder, under the names that its URL gives them."""

    cachable = False
    _output: Output
    _listed: tuple[float, list[str]] | None
    _lock: threading.Lock

    @classmethod
    def of(cls, output: Output) -> OutputFileSystem:
        """Return the file system of an output; its protocol is the URL's scheme."""
        made = cls()
        made._output = output
        made._listed = None
        made._lock = threading.Lock()
        made.protocol = output.location.scheme
        return made

    def glob(self, path: str, **_: Any) -> list[str]:
        """Return the objects that match, each with its scheme, sorted."""
        pattern = self._whole(path)
        wanted, head = re.compile(glob_translate(pattern)), _literal_head(pattern)
        names = self._names()
        below = names[bisect_left(names, head) : bisect_left(names, head + _LAST)]
        return [name for name in below if wanted.match(name)]

    def _names(self) -> list[str]:
        """Return the URLs of all objects of OUT, sorted, as they were at most some seconds ago.

        A view over a hundred arrays globs a hundred folders for every query: one listing serves
        them all.
        """
        with self._lock:
            if self._listed is None or time.monotonic() - self._listed[0] > _FRESH:
                names = [self._output.describe(path) for path in self._output.paths()]
                self._listed = (time.monotonic(), names)
            return self._listed[1]

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        """Return the object as a file.

        Raises
        ------
        PermissionError
            For any mode that writes.
        """
        if mode not in ("r", "rb"):
            raise PermissionError(f"{path}: the views only read")
        data = self._output.get(self._path(path))
        if data is None:
            raise FileNotFoundError(f"{path} is gone")
        return io.BytesIO(data)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return name, type, size and modification time of an object."""
        found = self._output.stat(self._path(path))
        if found is None:
            raise FileNotFoundError(f"{path} is gone")
        size, modified = found
        return {"name": path, "type": "file", "size": size, "mtime": modified}

    def modified(self, path: str) -> Any:
        """Return when an object was written last."""
        return self.info(path)["mtime"]

    def exists(self, path: str, **_: Any) -> bool:
        """Whether there is an object at ``path``."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def _whole(self, path: str) -> str:
        """Return a URL, or a pattern of URLs, with its scheme."""
        return path if "://" in path else f"{self.protocol}://{path}"

    def _path(self, path: str) -> str:
        """Return the path below OUT of an object's URL."""
        return self._whole(path)[len(self._output.url) + 1 :]


def _literal_head(pattern: str) -> str:
    """Return what every match of a glob starts with; ``[*]`` is a literal star."""
    head = ""
    while pattern:
        if literal := re.match(r"\[([*?[])\]", pattern):
            head, pattern = head + literal.group(1), pattern[3:]
        elif pattern[0] in "*?[":
            break
        else:
            head, pattern = head + pattern[0], pattern[1:]
    return head
