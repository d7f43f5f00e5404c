"""The source store: a Zarr hierarchy somewhere below a prefix of an obstore store.

Reads single objects (metadata, small chunks). Listings of chunks are `parchunk.listing`'s.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from obstore.store import LocalStore, MemoryStore, ObjectStore

from parchunk.errors import InputError, ShortListingError, SourceError, UnlistedError
from parchunk.inventories.reading import MEMORY, sort_objects
from parchunk.inventories.roots import Root
from parchunk.inventories.sorted_objects import SortedObjects
from parchunk.stores import directories, opening, urls
from parchunk.stores.answering import QUIET, answer
from parchunk.stores.explaining import explain
from parchunk.stores.identity import check_identity
from parchunk.stores.manner import FROZEN, PROBED, Manner, manner_of
from parchunk.stores.opening import Location
from parchunk.stores.options import environment_mark
from parchunk.stores.oversized import MAX_BYTES, Oversized
from parchunk.stores.redaction import holds_credentials, is_broken_with_credentials, redact

_T = TypeVar("_T")

#: Who may be told to list a source.
LISTINGS = ("auto", "obstore", "wire")


#: What s3fs and adlfs take for the version of the object before it, in keys of any case.
_VERSION = "?versionid="


@dataclass(frozen=True)
class Source:
    """Where chunks are listed, and how they are named in references.

    ``prefix`` is the hierarchy's root in ``store``, without slashes at its ends; ``url`` is what
    the same root is called in references (``s3://bucket/store.zarr`` or an absolute path).
    ``url`` may be left out for a MemoryStore, whose references only obstore can follow.
    ``manner`` is how ``store`` lists: found by its class, unless it is given.

    ``objects`` stand for the listing: an Arrow stream or table, or a DuckDB relation, with columns
    ``key`` and ``size``, ``last_modified`` if it is known, and ``etag`` for that ``identity``;
    taken at ``objects_taken``, by default now. They are sorted as the source is made. ``identity``
    is what listings are to say of each object: `parchunk.plan` sets it.
    """

    store: ObjectStore
    prefix: str = ""
    url: str = ""
    options: tuple[tuple[str, str], ...] = field(default=())
    #: Why requests carry no credentials, and what to do to change that; empty where they may.
    unsigned: str = ""
    manner: Manner = field(default=None, repr=False)  # type: ignore[assignment]  # until __post_init__
    #: Seconds that one answer of a store on a network may take.
    quiet: float = field(default=QUIET, repr=False, compare=False)
    #: Who lists it: ``auto``, ``obstore`` or ``wire``; see `parchunk.listing.choosing`.
    listing: str = "auto"
    #: What listings are to say of each object: ``none``, ``time`` or ``etag``.
    identity: str = "none"
    objects: SortedObjects | Any = field(default=None, repr=False)
    objects_taken: datetime | None = field(default=None, repr=False, compare=False)
    #: Chunks that may be asked for one by one, where ``manner`` says so.
    most_probed: int = field(default=0, repr=False)
    #: What the environment said as ``store`` was made, as far as can be told.
    environment: int = field(default_factory=environment_mark, repr=False, compare=False)
    #: Where other stores of a dataset lie, in other buckets that are reached in the same way.
    beside: tuple[Source, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        """Normalise the prefix and make sure that references can be named."""
        object.__setattr__(self, "manner", self.manner or manner_of(self.store))
        if self.listing not in LISTINGS:
            raise InputError(f"--listing {self.listing}: give one of {', '.join(LISTINGS)}")
        check_identity(self.identity)
        if isinstance(self.objects, SortedObjects) and (
            self.identity not in ("none", self.objects.identity)
        ):
            raise InputError(
                f"--identity {self.identity}: the source has objects= that were sorted without: "
                f"give it identity={self.identity!r}, too"
            )
        object.__setattr__(self, "prefix", self.prefix.strip("/"))
        url = self.url.rstrip("/")
        if not url:
            if not self.manner.in_memory:
                raise InputError(
                    "a Source needs url=: what references shall call the store, "
                    "e.g. s3://bucket/store.zarr"
                )
            url = "memory://" + (f"{self.prefix}" if self.prefix else "store")
        if (holds_credentials if "://" in url else is_broken_with_credentials)(url):
            # References would carry them: parchunk.stores refuses them for paths and URLs alike.
            raise InputError(
                f"{redact(url)} carries credentials, and every reference would: leave them out of "
                "url=, the store holds its own"
            )
        if "://" in url and not url.startswith("http") and _VERSION in url.lower():
            raise InputError(
                f"{url} has '?versionId=' in it, which readers of objects take for the end of the "
                "key: they would find no chunk; have the store under another name"
            )
        object.__setattr__(self, "url", url)
        if self.objects is not None and not isinstance(self.objects, SortedObjects):
            root = Root(url, self.prefix)
            found = sort_objects(
                self.objects, root, MEMORY, self.objects_taken, identity=self.identity
            )
            object.__setattr__(self, "objects", found)
            object.__setattr__(self, "manner", FROZEN)

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take what was pickled; the store has been made anew, as the environment is here."""
        self.__dict__.update(state, environment=environment_mark())

    @classmethod
    def open(cls, url: str, options: Mapping[str, str] | None = None) -> Source:
        """Open the source at a path or URL; nothing is requested yet."""
        opened = opening.open_store(url, options)
        return cls(opened.store, opened.prefix, opened.location.url, opened.location.options)

    def asked_by_key(self, most: int) -> Source:
        """Return the source with each chunk asked for by itself, ``most`` of them at most."""
        return replace(self, manner=PROBED, most_probed=most)

    def listed_by(self, objects: SortedObjects) -> Source:
        """Return the source with an inventory in place of its listing."""
        return replace(self, objects=objects, manner=FROZEN)

    @property
    def places(self) -> tuple[Source, ...]:
        """This source, and each of those beside it, alone; listed by whom this one is."""
        every = (self, *self.beside)
        return tuple(
            replace(one, beside=(), listing=self.listing, identity=self.identity) for one in every
        )

    @property
    def location(self) -> Location:
        """What may be written about this source."""
        return Location(self.url, self.options)

    def path(self, key: str) -> str:
        """Return the store path of ``key``, a key relative to the hierarchy's root."""
        return "/".join(part for part in (self.prefix, key) if part)

    def child(self, group: str) -> Source:
        """Return the source whose root is ``group`` of this one."""
        return replace(self, prefix=self.path(group), url=urls.below(self.url, group))

    def above(self, group: str) -> Source:
        """Return the source that this one is the ``group`` of: the inverse of `child`."""
        for _ in filter(None, group.split("/")):
            self = replace(
                self, prefix=self.prefix.rpartition("/")[0], url=self.url.rpartition("/")[0]
            )
        return self

    def parent(self) -> tuple[Source, str]:
        """Return the source one level up, and this one's name in it."""
        above, _, name = self.prefix.rpartition("/")
        if not name:
            raise InputError(
                f"{self.url} is an array at the root of its store: references need a group above "
                "it; give the URL of a store that holds the array in a group"
            )
        return replace(self, prefix=above, url=self.url.rpartition("/")[0]), name

    def describe(self, key: str = "") -> str:
        """Return the URL of ``key``, for messages."""
        return urls.below(self.url, key)

    def _failure(self, what: str, key: str, error: Exception) -> SourceError:
        """Return the error for a key that cannot be read or listed."""
        return SourceError(f"cannot {what} {self.describe(key)}: {explain(error, self.unsigned)}")

    def answer(self, ask: Callable[[], _T]) -> _T:
        """Return what ``ask`` gets from the store, which is waited for ``quiet`` seconds at most.

        Raises
        ------
        UnansweredError
            When nothing came in that time.
        """
        at_once = isinstance(self.store, LocalStore | MemoryStore) or not (
            self.manner.remote or self.manner.settled
        )
        return ask() if at_once else answer(ask, self.quiet)

    def get(self, key: str) -> bytes | None:
        """Return the object at ``key``, or None when there is none.

        Of one larger than any metadata document an `Oversized` in its place, before it is read.

        Raises
        ------
        SourceError
            When the store refuses or cannot be reached.
        """
        self._refuse_devices(key)

        def ask() -> bytes:
            found = self.store.get(self.path(key))
            size = int(found.meta["size"])
            if size > MAX_BYTES:
                # its body is not asked for: the reply is dropped
                return Oversized.of(size)
            return bytes(found.bytes())

        try:
            return self.answer(ask)
        except FileNotFoundError:
            return None
        except Exception as error:
            if self._root is not None and f"(os error {errno.ENOTDIR})" in str(error):
                return None  # below a file: obstore has no exception of its own for it
            raise self._failure("read", key, error) from None

    def size_of(self, key: str) -> int | None:
        """Return the bytes of the object at ``key`` without reading it, None when there is none.

        Raises
        ------
        SourceError
            When the store refuses or cannot be reached.
        """
        try:
            return int(self.answer(lambda: self.store.head(self.path(key)))["size"])
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._failure("look at", key, error) from None

    def get_part(self, key: str, start: int, stop: int) -> tuple[bytes, int, str]:
        """Return bytes ``start`` to ``stop`` of the object at ``key``, its size, and its version.

        Two parts of one version are of the same bytes: it is the entity tag, or where a store has
        none, when and how long the object was written.

        Raises
        ------
        FileNotFoundError
            When the object is gone.
        SourceError
            Any other failure, with the store's own error as its cause.
        """

        def ask() -> tuple[bytes, int, str]:
            # As obstore spells it, where the file system's name is another.
            result = self.store.get(self.path(key), options={"range": (start, stop)})
            meta = result.meta
            version = meta["e_tag"] or f"{meta['last_modified']}, {meta['size']} bytes"
            return bytes(result.bytes()), int(meta["size"]), version

        try:
            if self._root is not None:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    return _read_local(self._root + self.path(key), start, stop)
            return self.answer(ask)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise SourceError(
                f"cannot read {self.describe(key)}: {explain(error, self.unsigned)}"
            ) from error

    @cached_property
    def _root(self) -> str | None:
        """The folder that paths in a local store are relative to, with its trailing slash."""
        if not isinstance(self.store, LocalStore):
            return None
        return "/" if self.store.prefix is None else f"{self.store.prefix}".rstrip("/") + "/"

    def _refuse_devices(self, key: str) -> None:
        """Raise for what is no file of a local store: a pipe has no end that comes, a device none.

        Named as the file system names it, which is how obstore does too but for odd characters.
        """
        if self._root is None:
            return
        try:
            mode = Path(self._root + self.path(key)).stat().st_mode
        except (OSError, ValueError):
            return
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise SourceError(f"cannot read {self.describe(key)}: it is no regular file")

    def require_listing(self) -> None:
        """Check that something says what the store holds.

        Raises
        ------
        UnlistedError
            When it is an HTTP server, and there is no inventory.
        """
        if self.manner.probed:
            raise UnlistedError(
                f"{self.url} is not listed with --probe: its arrays are those of consolidated "
                "metadata, or one array that is given as SRC"
            )
        if self.objects is None and urls.is_http(self.url):
            raise UnlistedError(
                f"{self.url} cannot be listed: HTTP servers have no listing of objects; give "
                "--inventory FILE, or --probe where it is small, or the s3://, gs:// or az:// URL "
                "of the same data"
            )

    def list_dir(self, prefix: str) -> tuple[list[str], list[str]]:
        """Return the names of the directories and of the objects right below ``prefix``."""
        if self.objects is not None:
            names: tuple[list[str], list[str]] = self.objects.names_in(self.path(prefix))
            return names
        self.require_listing()
        return directories.list_directory(self, prefix)

    def first_keys(self, prefix: str) -> tuple[list[str], bool]:
        """Return some keys below ``prefix``, relative to it, and whether that is all.

        Raises
        ------
        UnreadableFolderError, SourceError
            When it cannot be listed: whatever is tried, or now.
        """
        if self.objects is not None:
            keys: tuple[list[str], bool] = self.objects.first_keys(
                self.path(prefix), directories.FIRST
            )
            return keys
        self.require_listing()
        return directories.first_keys(self, prefix)

    def short_listing(self, prefix: str, lacking: str) -> ShortListingError:
        """Return the error for a listing of ``prefix`` that lacks what can be read there."""
        if self.objects is not None:
            what = urls.below(self.describe(prefix), lacking)
            return ShortListingError(
                f"the inventory of {self.objects.date} lacks {what}, whose metadata can be read: "
                "it was taken before that was written, or is not of all objects; give a later "
                f"one, of all that is below {self.url}"
            )
        return ShortListingError(
            f"the listing of {self.describe(prefix)} lacks {lacking}, whose metadata can be read: "
            "it is not believed; run it again, and check the store if that does not help"
        )

    def holds_object(self, key: str) -> bool:
        """Whether ``key`` is one object, as far as the store lets that be asked."""
        path = self.path(key)
        if self._root is not None:
            return Path(self._root + path).is_file()
        try:
            return bool(path) and self.answer(lambda: self.store.head(path)) is not None
        except Exception:  # whatever it is: whoever asks only wants better words for a failure
            return False


def _read_local(path: str, start: int, stop: int) -> tuple[bytes, int, str]:
    """Return a part of a file, its size and version, five times as fast as a store's GET."""
    # A pipe would be waited for otherwise; that it cannot be read from a position is an error.
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        data, now = os.pread(file, stop - start, start), os.fstat(file)
        return data, now.st_size, f"{now.st_ino}, {now.st_mtime_ns}"
    finally:
        os.close(file)
