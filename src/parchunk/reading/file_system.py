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

from parchunk.errors import OutputError
from parchunk.out.output import Output
from parchunk.stores.explaining import explain

#: Seconds for which a listing of OUT serves further globs.
_FRESH = 10.0
#: After every other character.
_LAST = "\U0010ffff"


class OutputFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The objects below one remote OUT, under the names that its URL gives them."""

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
        wanted = re.compile(glob_translate(self._key(path)))
        head = self._key(_literal_head(path))
        base = self._output.url[: len(self._output.url) - len(self._output.prefix)]
        keys = self._keys()
        below = keys[bisect_left(keys, head) : bisect_left(keys, head + _LAST)]
        return [f"{base}{key}" for key in below if wanted.match(key)]

    def _keys(self) -> list[str]:
        """Return all keys of OUT, sorted, as they were at most some seconds ago.

        A view over a hundred arrays globs a hundred folders for every query: one listing serves
        them all.
        """
        with self._lock:
            if self._listed is None or time.monotonic() - self._listed[0] > _FRESH:
                store = self._output.store
                assert store is not None
                try:
                    pages = store.list(self._output.prefix, chunk_size=1000)
                    keys = sorted(o["path"] for page in pages for o in page)
                except Exception as error:
                    raise OutputError(f"cannot list {self._output.url}: {explain(error)}") from None
                self._listed = (time.monotonic(), keys)
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
        return io.BytesIO(self._get(path))

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return name, type, size and modification time of an object."""
        store = self._output.store
        assert store is not None
        found = store.head(self._key(path))
        return {
            "name": path,
            "type": "file",
            "size": found["size"],
            "mtime": found["last_modified"],
        }

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

    def _get(self, path: str) -> bytes:
        store = self._output.store
        assert store is not None
        return bytes(store.get(self._key(path)).bytes())

    def _key(self, path: str) -> str:
        """Return the store's key of a URL below OUT (the bucket's name is not part of it)."""
        base = len(self._output.url) - len(self._output.prefix)
        return path[base:] if "://" in path else path.partition("/")[2]


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
