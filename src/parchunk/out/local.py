"""An OUT in a folder.

An object is written beside the others under ``.parchunk/tmp``, and renamed into place after it has
reached the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, TypeVar

from parchunk.errors import InputError, OutputError
from parchunk.metadata.names import OWN
from parchunk.out.links import refuse_links
from parchunk.out.output import (
    BLOCKS,
    CLAIMS,
    INVENTORY,
    LEASE,
    RESUME,
    SORTING,
    Output,
    clearing_order,
    failing,
)
from parchunk.stores.opening import Location

T = TypeVar("T")

_TEMPORARY = f"{OWN}/tmp"
#: What lies in a folder that goes with the last of it.
_OF_THEIR_FOLDER = (f"{CLAIMS}/", f"{BLOCKS}/", f"{INVENTORY}/")
#: Files that are written to see how long one takes, ...
_TRIED = 3
#: ... and seconds of Python, about, that go with each small record file.
_WORK = 0.001
#: Tries to write an object while others clear the folder in which it is written, and to list one.
_TRIES = 5


@dataclass(frozen=True)
class LocalOutput(Output):
    """OUT as the files below a folder, which ``location`` names by its absolute path."""

    location: Location

    opens_by_path: ClassVar[bool] = True
    costs_requests: ClassVar[bool] = False

    def get(self, path: str) -> bytes | None:
        """Return the object at ``path``, or None when there is none."""
        with failing(f"read {self.describe(path)}"):
            try:
                return self._read(path)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def get_version(self, path: str) -> tuple[bytes, str] | None:
        """Return the bytes of an object and their digest, or None when there is none."""
        data = self.get(path)
        return None if data is None else (data, _version(data))

    def stat(self, path: str) -> tuple[int, datetime] | None:
        """Return the size of an object and when it was written, or None when there is none."""
        with failing(f"read {self.describe(path)}"):
            try:
                found = self._at(path).stat()
                return found.st_size, datetime.fromtimestamp(found.st_mtime, UTC)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def paths(self, below: str = "") -> list[str]:
        """Return all objects below a folder of OUT, sorted."""
        with failing(f"list {self.describe(below)}"):
            found = self._looked(below, sorted)
            return [path for path in found if not path.startswith(f"{_TEMPORARY}/")]

    def sizes(self, below: str = "") -> dict[str, int | None]:
        """Return all objects below a folder of OUT; each would have to be asked for its size."""
        return dict.fromkeys(self.paths(below))

    def _looked(self, below: str, look: Callable[[Iterator[str]], T]) -> T:
        """Look at what lies below a folder; again where a folder of it goes meanwhile."""
        for _ in range(_TRIES - 1):
            with contextlib.suppress(FileNotFoundError):
                return look(self._walked(below))
        return look(self._walked(below))

    def _walked(self, below: str) -> Iterator[str]:
        top, skip = f"{self.url}/{below}" if below else self.url, len(self.url) + 1
        if os.path.isdir(top):
            for folder, _, names in os.walk(top, onerror=_unless_forbidden):
                yield from (f"{folder}/{name}"[skip:] for name in names)

    def holds(self, below: str, suffix: str) -> bool:
        """Whether any object below a folder of OUT has a name that ends with ``suffix``."""
        with failing(f"list {self.describe(below)}"):
            return self._looked(below, lambda paths: any(path.endswith(suffix) for path in paths))

    def is_empty(self) -> bool:
        """Whether OUT is not there, or holds nothing but a lease and the place to write one.

        Raises
        ------
        InputError
            When it, or what it is to lie in, is a file, or a link to what is not there.
        OutputError
            When it may not be looked into.
        """
        root = self._at("")
        # A build that was killed before its plan was written has left these, and no more.
        own, left = self._at(OWN), {*map(self._at, (_TEMPORARY, LEASE, SORTING))}
        with failing(f"look into {self.url}", "give access, or name another OUT"):
            places = (root, *root.parents)
            there = next(path for path in places if path.exists() or path.is_symlink())
            is_folder, is_there = there.is_dir(), there.exists()
            empty = (
                there != root
                or not is_folder
                or all(
                    path == own and path.is_dir() and left >= set(path.iterdir())
                    for path in root.iterdir()
                )
            )
        if not is_folder:
            what = "a file" if is_there else "a link to what is not there"
            raise InputError(f"{there} is {what}: OUT must be a folder; name another")
        return empty

    def prepare(self) -> None:
        """Create OUT's folder, and clear what a killed build left half-written."""
        self.refuse_links([_TEMPORARY])
        try:
            shutil.rmtree(self._at(_TEMPORARY), ignore_errors=True)
            self._at(_TEMPORARY).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot create {self.url}: {error.strerror}; give access, or name another OUT"
            ) from None

    def put(self, path: str, data: bytes | memoryview) -> None:
        """Write one object whole, replacing what is there; after an error that is untouched."""
        with failing(f"write {self.describe(path)}", RESUME):
            self.refuse_links([path, _TEMPORARY])
            for left in reversed(range(_TRIES)):
                try:
                    self._put(f"{self.url}/{path}", data)
                    return
                except FileNotFoundError:
                    # Another machine that works in OUT has cleared the folder meanwhile.
                    if not left or not self._at(OWN).is_dir():
                        raise
                    self._at(_TEMPORARY).mkdir(exist_ok=True)

    def _temporary(self) -> str:
        # A short name: that of an array may already be as long as the file system allows.
        return f"{self.url}/{_TEMPORARY}/{os.urandom(16).hex()}"

    def _put(self, final: str, data: bytes | memoryview) -> None:
        temporary = self._temporary()
        try:
            _write(temporary, data)
            try:
                os.replace(temporary, final)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(final), exist_ok=True)
                os.replace(temporary, final)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def writes_at_once(self, most: int) -> int:
        """Return how many small files to write at a time, by how long the quickest of some takes.

        One to a fast disk, and all to a network file system that answers after some milliseconds.
        """
        try:
            self.refuse_links([_TEMPORARY])
            quickest = min(self._seconds_of_a_write() for _ in range(_TRIED))
        except (OSError, OutputError):  # the first write says what is wrong
            return most
        return min(1 + int(quickest / _WORK), most)

    def _seconds_of_a_write(self) -> float:
        began = time.perf_counter()
        temporary = self._temporary()
        try:
            _write(temporary, b"parchunk sees how long a write takes")
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        return time.perf_counter() - began

    def move(self, path: str, to: str) -> None:
        """Give one object another path, replacing what is there; none at ``path`` is fine."""
        with failing(f"write {self.describe(to)}", RESUME):
            self.refuse_links([path, to])
            final = self._at(to)
            final.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self._at(path).replace(final)

    def below(self, folder: str) -> LocalOutput:
        """Return a folder of OUT as an Output of its own."""
        self.refuse_links([f"{folder}/any"])
        return LocalOutput(replace(self.location, url=f"{self.url}/{folder}"))

    def put_if(self, path: str, data: bytes, seen: str | None) -> str | None:
        """Write one object whole if it is still the version ``seen`` (None: if there is none)."""
        with failing(f"write {self.describe(path)}", RESUME):
            for left in reversed(range(_TRIES)):
                try:
                    return self._put_if(path, data, seen)
                except FileNotFoundError:
                    if left and self._at(OWN).is_dir():
                        continue
                    raise OutputError(
                        f"cannot write {self.describe(path)}: {self.url} was removed meanwhile; "
                        "run the same command again"
                    ) from None
        raise AssertionError("the last try returns or raises")

    def _put_if(self, path: str, data: bytes, seen: str | None) -> str | None:
        self.refuse_links([path, _TEMPORARY])
        final = self._at(path)
        self._at(_TEMPORARY).mkdir(parents=True, exist_ok=True)
        temporary = Path(self._temporary())
        try:
            _write(temporary, data)
            final.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if seen is None:
                    try:
                        os.link(temporary, final)  # unlike a rename, refused when it is there
                    except FileExistsError:
                        return None
                    except OSError:  # a file system without links
                        if final.exists():
                            return None
                        temporary.replace(final)
                else:
                    found = self.get_version(path)
                    if found is None or found[1] != seen:
                        return None
                    temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)
        return _version(data)

    def try_condition(self, path: str, data: bytes) -> tuple[bool, str | None]:
        """Return what a file system does, which keeps conditions."""
        return True, None

    def delete(self, path: str) -> None:
        """Delete one object; none there is fine."""
        with failing(f"delete {self.describe(path)}"):
            self.refuse_links([path])
            with contextlib.suppress(FileNotFoundError):
                self._at(path).unlink()
            if path.startswith(_OF_THEIR_FOLDER):  # nobody else takes folders away
                with contextlib.suppress(OSError):
                    self._at(path).parent.rmdir()

    def delete_if(self, path: str, seen: str) -> None:
        """Delete one object if it is still the version ``seen``, and the place to write it."""
        with contextlib.suppress(OSError), self._locked():
            self.refuse_links([path])
            found = self.get_version(path)
            if found is not None and found[1] == seen:
                self._at(path).unlink()
        # Empty again, when nothing was built.
        with contextlib.suppress(OSError):
            self.refuse_links([_TEMPORARY])
            self._at(_TEMPORARY).rmdir()

    def clear(self, paths: Iterable[str]) -> None:
        """Delete objects in `clearing_order`, and folders that are empty then.

        The last object, the plan, goes after these: without it they would be somebody else's.
        """
        ordered = clearing_order(paths)
        self.refuse_links(ordered)  # all of them, before the first is deleted
        for some in (ordered[:-1], ordered[-1:]):
            for path in some:
                self.delete(path)
            for folder in sorted(self._at("").rglob("*"), reverse=True):
                if folder.is_dir():
                    with contextlib.suppress(OSError):
                        folder.rmdir()

    def tidy(self) -> None:
        """Remove the folder of temporary files after the last write."""
        self.refuse_links([_TEMPORARY])
        shutil.rmtree(self._at(_TEMPORARY), ignore_errors=True)

    def refuse_links(self, paths: Iterable[str]) -> None:
        """Refuse links at or above any of these places below OUT; OUT itself may be one."""
        refuse_links(self.url, paths)

    def _at(self, path: str) -> Path:
        return Path(self.url) / path if path else Path(self.url)

    def _read(self, path: str) -> bytes:
        local = f"{self.url}/{path}" if path else self.url
        kind = os.stat(local).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a pipe has no end that comes
            raise OSError("it is no regular file")
        with open(local, "rb") as file:
            return file.read()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of this host from changing the lease meanwhile."""
        folder = os.open(self._at(OWN), os.O_RDONLY)
        try:
            # Network file systems may have no such lock: then the windows are short, not closed.
            with contextlib.suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _write(path: str | Path, data: bytes | memoryview) -> None:
    """Write a file that reaches the disk before it is renamed into place."""
    # Not `open`, which asks three things of each file that nobody needs: there may be very many.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        left = memoryview(data).cast("B")
        while left:
            left = left[os.write(file, left) :]
        os.fsync(file)
    finally:
        os.close(file)


def _unless_forbidden(error: OSError) -> None:
    """Raise what kept a folder from being listed; one that may not be looked into is left out."""
    if not isinstance(error, PermissionError):
        raise error


def _version(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
