"""OUT as an fsspec file system, read-only, for DuckDB: no other package is needed for s3://.

DuckDB asks for a glob, then opens what it matched. Record files are small, so opening one is one
GET of the whole object; a footer, a column and another column would be three.
"""

from __future__ import annotations

import io
import re
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.utils import glob_translate

from parchunk.errors import OutputError
from parchunk.output import Output
from parchunk.source import explain


class OutputFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The objects below one remote OUT, under the names that its URL gives them."""

    cachable = False

    @classmethod
    def of(cls, output: Output) -> OutputFileSystem:
        """Return the file system of an output; its protocol is the URL's scheme."""
        made = cls()
        made._output = output
        made.protocol = output.location.scheme
        return made

    def glob(self, path: str, **_: Any) -> list[str]:
        """Return the objects that match, each with its scheme, sorted."""
        wanted = re.compile(glob_translate(self._key(path)))
        folder = self._key(_literal_head(path)).rpartition("/")[0]
        store = self._output.store
        assert store is not None
        try:
            keys = sorted(o["path"] for page in store.list(folder or None) for o in page)
        except Exception as error:  # noqa: BLE001 (obstore raises several unrelated classes)
            raise OutputError(f"cannot list {self._output.url}: {explain(error)}") from None
        base = self._output.url[: len(self._output.url) - len(self._output.prefix)]
        return [f"{base}{key}" for key in keys if wanted.match(key)]

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
