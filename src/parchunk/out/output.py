"""Writing OUT: the only module that writes or deletes anything. Every object appears whole.

Locally, an object is written beside the others under ``.parchunk/tmp`` and renamed into place
after it has reached the disk; remote stores put objects whole by themselves.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError
from obstore.store import LocalStore, ObjectStore

from parchunk.errors import InputError, OutputError
from parchunk.metadata.names import OWN
from parchunk.out.links import refuse_links
from parchunk.out.names import refuse_misread
from parchunk.stores import opening
from parchunk.stores.explaining import explain, status
from parchunk.stores.opening import Location

PLAN = f"{OWN}/plan.json"
#: The plan before the update that is under way.
PREVIOUS = f"{OWN}/previous.json"
#: What the update that is under way was asked.
UPDATE = f"{OWN}/update.json"
LEASE = f"{OWN}/lease.json"
RECEIPTS = f"{OWN}/receipts"
STRAYS = f"{OWN}/strays"
_TEMPORARY = f"{OWN}/tmp"
ROOT = ".zmetadata"


@dataclass(frozen=True)
class Output:
    """OUT: a local folder (``store`` is None) or a prefix in an obstore store. Pickles.

    ``options`` are what the store was opened with, and may hold secrets: they are handed to
    readers (fsspec, DuckDB) and never written or shown.
    """

    location: Location
    store: ObjectStore | None
    prefix: str

    @classmethod
    def open(cls, url: str, options: Mapping[str, str] | None = None) -> Output:
        """Open OUT at a path or URL; nothing is created yet.

        Raises
        ------
        InputError
            For what cannot be opened, a whole bucket, and names that readers misread.
        """
        opened = opening.open_store(url, options)
        refuse_misread(opened.location)
        if isinstance(opened.store, LocalStore):
            return cls(opened.location, None, opened.location.url)
        if not opened.prefix:
            raise InputError(f"{url} is a whole bucket: name a folder in it for the references")
        return cls(opened.location, opened.store, opened.prefix)

    @property
    def url(self) -> str:
        """Absolute local path, or URL, without a trailing slash."""
        return self.location.url

    def describe(self, path: str = "") -> str:
        """Return the full name of ``path``, for messages."""
        return f"{self.url}/{path}" if path else self.url

    def get(self, path: str) -> bytes | None:
        """Return the object at ``path`` relative to OUT, or None when there is none."""
        try:
            if self.store is None:
                return self._read_local(path)
            return bytes(self.store.get(f"{self.prefix}/{path}").bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            raise OutputError(f"cannot read {self.describe(path)}: {explain(error)}") from None

    def put(self, path: str, data: bytes | memoryview) -> None:
        """Write one object whole, replacing what is there.

        Raises
        ------
        OutputError
            Naming the object; what was there before is untouched.
        """
        try:
            if self.store is None:
                self._put_local(path, data)
            else:
                self.store.put(f"{self.prefix}/{path}", bytes(data))
        except OutputError:
            raise
        except Exception as error:
            raise OutputError(
                f"cannot write {self.describe(path)}: {explain(error)}; "
                "make room or give access, then run the same command again to resume"
            ) from None

    def get_version(self, path: str) -> tuple[bytes, str] | None:
        """Return an object and what tells this version of it from another; None: there is none."""
        try:
            if self.store is None:
                data = self._read_local(path)
                return data, _version(data)
            found = self.store.get(f"{self.prefix}/{path}")
            return bytes(found.bytes()), str(found.meta["e_tag"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            raise OutputError(f"cannot read {self.describe(path)}: {explain(error)}") from None

    def put_if(self, path: str, data: bytes, seen: str | None) -> str | None:
        """Write one object whole if it is still the version ``seen`` (None: if there is none).

        Return the version written, or None when somebody else was there first. Stores that know
        no conditional writes are written all the same: there, two that come within the same
        moment may both believe to be first, until the next of their writes.

        Raises
        ------
        OutputError
            Naming the object.
        """
        try:
            if self.store is None:
                return self._put_local_if(path, data, seen)
            key = f"{self.prefix}/{path}"
            try:
                put = self.store.put(key, data, mode={"e_tag": seen} if seen else "create")
            except Exception as error:
                if not _is_unknown(error):
                    raise
                now = self.get_version(path)
                if (None if now is None else now[1]) != seen:
                    return None
                put = self.store.put(key, data)
            return str(put["e_tag"])
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            if self.store is None:
                raise OutputError(
                    f"cannot write {self.describe(path)}: {self.url} was removed meanwhile; "
                    "run the same command again"
                ) from None
            return None
        except OutputError:
            raise
        except Exception as error:
            raise OutputError(
                f"cannot write {self.describe(path)}: {explain(error)}; "
                "make room or give access, then run the same command again to resume"
            ) from None

    def try_condition(self, path: str, data: bytes) -> tuple[bool, str | None]:
        """Write an object that is there on the condition that it is not.

        Return whether the store refused that, as it should, and else the version that it wrote,
        None where it knows no such condition.

        Raises
        ------
        OutputError
            Naming the object.
        """
        if self.store is None:
            return True, None
        try:
            put = self.store.put(f"{self.prefix}/{path}", data, mode="create")
            return False, str(put["e_tag"])
        except (AlreadyExistsError, PreconditionError):
            return True, None
        except Exception as error:
            if _is_unknown(error):
                return False, None
            raise OutputError(f"cannot write {self.describe(path)}: {explain(error)}") from None

    def delete_if(self, path: str, seen: str) -> None:
        """Delete one object if it is still the version ``seen``.

        Raises
        ------
        OutputError
            Naming the object.
        """
        if self.store is None:
            with contextlib.suppress(OSError), self._locked():
                self.refuse_links([path])
                found = self.get_version(path)
                if found is not None and found[1] == seen:
                    self._local(path).unlink()
            # Empty again, when nothing was built.
            with contextlib.suppress(OSError):
                self.refuse_links([_TEMPORARY])
                self._local(_TEMPORARY).rmdir()
            return
        # No store deletes on a condition; between these requests it is nobody's turn to write.
        found = self.get_version(path)
        if found is not None and found[1] == seen:
            self.delete(path)

    def refuse_links(self, paths: Iterable[str]) -> None:
        """Refuse links at or above any of these places below OUT; OUT itself may be one.

        Raises
        ------
        OutputError
            Naming the link.
        """
        if self.store is None:
            refuse_links(Path(self.prefix), paths)

    def paths(self, below: str = "") -> list[str]:
        """Return all objects below a folder of OUT, relative to OUT, sorted."""
        try:
            if self.store is None:
                root = self._local(below)
                found = [p for p in root.rglob("*") if not p.is_dir()]
                return sorted(p.relative_to(self._local("")).as_posix() for p in found)
            skip = len(self.prefix) + 1
            prefix = "/".join(part for part in (self.prefix, below) if part)
            return sorted(o["path"][skip:] for page in self.store.list(prefix) for o in page)
        except Exception as error:
            raise OutputError(f"cannot list {self.describe(below)}: {explain(error)}") from None

    def holds(self, below: str, suffix: str) -> bool:
        """Whether any object below a folder of OUT has a name that ends with ``suffix``."""
        try:
            if self.store is None:
                return any(self._local(below).rglob(f"*{suffix}"))
            pages = self.store.list(f"{self.prefix}/{below}", chunk_size=1000)
            return any(o["path"].endswith(suffix) for page in pages for o in page)
        except Exception as error:
            raise OutputError(f"cannot list {self.describe(below)}: {explain(error)}") from None

    def is_empty(self) -> bool:
        """Whether OUT holds nothing (or is not there)."""
        if self.store is None:
            root = self._local("")
            if not root.exists():
                return True
            if not root.is_dir():
                raise InputError(f"{self.url} is a file: OUT must be a folder; name another")
            # A build that was killed before its plan was written has left these, and no more.
            own, temporary = self._local(OWN), self._local(_TEMPORARY)
            return all(
                (
                    path == own
                    and path.is_dir()
                    and {temporary, self._local(LEASE)} >= set(path.iterdir())
                )
                for path in root.iterdir()
            )
        try:
            lease = f"{self.prefix}/{LEASE}"
            for page in self.store.list(self.prefix, chunk_size=2):
                if any(found["path"] != lease for found in page):
                    return False
        except Exception as error:
            raise OutputError(f"cannot list {self.url}: {explain(error)}") from None
        return True

    def prepare(self) -> None:
        """Create OUT where it is a local folder, and clear what a killed build left half-written.

        Raises
        ------
        OutputError
            When the folder cannot be created or written.
        """
        if self.store is not None:
            return
        self.refuse_links([_TEMPORARY])
        try:
            shutil.rmtree(self._local(_TEMPORARY), ignore_errors=True)
            self._local(_TEMPORARY).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot create {self.url}: {error.strerror}; give access, or name another OUT"
            ) from None

    def tidy(self) -> None:
        """Remove the folder of temporary files after the last write."""
        if self.store is None:
            self.refuse_links([_TEMPORARY])
            shutil.rmtree(self._local(_TEMPORARY), ignore_errors=True)

    def clear(self, paths: list[str]) -> None:
        """Delete objects: the root first, so that nobody opens what is being deleted; receipts
        before what they vouch for; the plan last, so that what is left can be cleared again.
        """

        self.refuse_links(paths)  # all of them, before the first is deleted

        def turn(path: str) -> int:
            if path == ROOT:
                return 0
            return 1 if path.startswith(f"{RECEIPTS}/") else 3 if path == PLAN else 2

        for path in sorted(paths, key=lambda path: (turn(path), path)):
            self.delete(path)
        if self.store is None:
            for folder in sorted(self._local("").rglob("*"), reverse=True):
                if folder.is_dir():
                    with contextlib.suppress(OSError):
                        folder.rmdir()

    def delete(self, path: str) -> None:
        """Delete one object; none there is fine."""
        try:
            if self.store is None:
                self.refuse_links([path])
                self._local(path).unlink(missing_ok=True)
            else:
                self.store.delete(f"{self.prefix}/{path}")
        except FileNotFoundError:
            pass
        except OutputError:
            raise
        except Exception as error:
            raise OutputError(f"cannot delete {self.describe(path)}: {explain(error)}") from None

    def _local(self, path: str) -> Path:
        return Path(self.prefix) / path if path else Path(self.prefix)

    def _read_local(self, path: str) -> bytes:
        local = self._local(path)
        kind = local.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a pipe has no end that comes
            raise OSError("it is no regular file")
        return local.read_bytes()

    def _put_local_if(self, path: str, data: bytes, seen: str | None) -> str | None:
        self.refuse_links([path, _TEMPORARY])
        final = self._local(path)
        self._local(_TEMPORARY).mkdir(parents=True, exist_ok=True)
        temporary = self._local(_TEMPORARY) / uuid.uuid4().hex
        try:
            temporary.write_bytes(data)
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

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of this host from changing the lease meanwhile."""
        folder = os.open(self._local(OWN), os.O_RDONLY)
        try:
            # Network file systems may have no such lock: then the windows are short, not closed.
            with contextlib.suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _put_local(self, path: str, data: bytes | memoryview) -> None:
        self.refuse_links([path, _TEMPORARY])
        final = self._local(path)
        # A short name: that of an array may already be as long as the file system allows.
        temporary = self._local(_TEMPORARY) / uuid.uuid4().hex
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _is_unknown(error: BaseException) -> bool:
    """Whether a store says that it knows no conditional writes."""
    return isinstance(error, NotImplementedError | NotSupportedError) or status(error) == "501"


def _version(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
