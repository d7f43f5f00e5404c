"""The files of an inventory: on this machine, or fetched from a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from obstore.store import ObjectStore

from parchunk.errors import InputError, SourceError
from parchunk.inventories.reading import InventoryFile
from parchunk.stores.explaining import explain
from parchunk.stores.opening import open_store
from parchunk.stores.source import Source

#: Folders above a manifest in which its parts are looked for, as they were downloaded.
_ABOVE = 8
_BLOCK = 8 << 20


def open_inventory_file(
    file: str, source: Source, store_options: Mapping[str, str] | None = None
) -> InventoryFile:
    """Return a file of an inventory, at a path or a URL.

    Options are for URLs of the source's scheme: an inventory mostly lies beside what it is of.

    Raises
    ------
    InputError
        When there is no such file, or the URL cannot be opened.
    """
    if "://" not in file or file.lower().startswith("file://"):
        path = Path(open_store(file).location.url)
        try:
            is_file = path.is_file()
        except OSError as error:
            raise InputError(f"--inventory {file} cannot be read: {error.strerror}") from None
        if not is_file:
            raise InputError(f"--inventory {file}: there is no such file: check the path")
        return LocalFile(path)
    scheme = file.partition("://")[0].lower()
    same = source.location.scheme == scheme
    options = store_options or dict(source.options) if same else None
    opened = open_store(file, options)
    return StoreFile(opened.store, opened.prefix, opened.location.url)


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine."""

    path: Path

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.as_posix()

    def local(self, folder: Path) -> Path:
        """Return the file itself."""
        return self.path

    def written(self) -> datetime:
        """Return when it was written."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)

    def mark(self) -> str:
        """Return its size, and when it was written to the nanosecond."""
        stat = self.path.stat()
        return f"{stat.st_size} {stat.st_mtime_ns}"

    def part(self, name: str, beside: bool) -> LocalFile:
        """Return a part: beside it, or where its key leads from here or from a folder above.

        Raises
        ------
        InputError
            When it is not there.
        """
        segments = name.split("/")
        if ".." in segments or not segments[-1]:
            raise InputError(f"{self.name} names the part {name[:200]!r}, which is no key")
        tails = ["/".join(segments[at:]) for at in range(len(segments))]
        above = self.path.parents[:1] if beside else self.path.parents[: _ABOVE + 1]
        for folder in above:
            for tail in tails:
                if (folder / tail).is_file():
                    return LocalFile(folder / tail)
        raise InputError(
            f"{self.name} names the part {name}, which is neither beside it nor below a folder "
            f"above: fetch it, too, to {self.path.parent / segments[-1]}"
        )


@dataclass(frozen=True)
class StoreFile:
    """An object in a store, whose URL is its name."""

    store: ObjectStore
    key: str
    name: str

    def local(self, folder: Path) -> Path:
        """Return the object, fetched.

        Raises
        ------
        SourceError
            When it cannot be.
        """
        path = folder / "fetched"
        found = self._asked(lambda: self.store.get(self.key))
        with path.open("wb") as file:
            stream = iter(found.stream(min_chunk_size=_BLOCK))
            while (block := self._asked(lambda: next(stream, None))) is not None:
                file.write(block)
        return path

    def written(self) -> datetime:
        """Return when it was written."""
        modified: datetime = self._asked(lambda: self.store.head(self.key))["last_modified"]
        return modified

    def mark(self) -> str:
        """Return its size, when it was written, and its entity tag; "" where that is not said."""
        try:
            found = self.store.head(self.key)
        except Exception:  # obstore's classes have no base of their own; who reads it says what is
            return ""
        return f"{found['size']} {found['last_modified'].isoformat()} {found['e_tag']}"

    def part(self, name: str, beside: bool) -> StoreFile:
        """Return a part: beside it, or by its key in the same store."""
        key = name
        if beside:
            folder = self.key.rpartition("/")[0]
            key = "/".join(filter(None, [folder, name.rpartition("/")[2]]))
        head = self.name[: len(self.name) - len(self.key)]
        return StoreFile(self.store, key, head + key)

    def _asked(self, ask: Any) -> Any:
        try:
            return ask()
        except Exception as error:  # obstore's classes have no base of their own
            raise SourceError(f"cannot read {self.name}: {explain(error)}") from None
