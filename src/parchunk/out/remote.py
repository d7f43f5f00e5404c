"""An OUT below a prefix of an object store, which puts objects whole by itself.

A version of an object is called by its entity tag; on Google by its generation, as conditions there
can be on nothing else.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError
from obstore.store import GCSStore, ObjectStore

from parchunk.out.output import LEASE, RESUME, SORTING, Output, clearing_order, failing
from parchunk.stores.at_once import store_at_once
from parchunk.stores.explaining import is_final, status
from parchunk.stores.opening import Location
from parchunk.stores.options import environment_mark
from parchunk.stores.same_store import SameStore
from parchunk.stores.throttle import BUSY, throttle_of

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, PutResult

_BUSY = {str(code) for code in BUSY}
#: Writes that wait for others are due when those end.
_NEVER = threading.Event()


@dataclass(frozen=True)
class RemoteOutput(Output):
    """OUT as the objects below ``prefix`` in an obstore ``store``.

    The store may hold secrets: it is handed to readers, and never written or shown.
    """

    location: Location
    store: ObjectStore
    prefix: str
    #: What the environment said of stores when ``store`` was made.
    environment: int = field(default_factory=environment_mark, repr=False, compare=False)

    opens_by_path: ClassVar[bool] = False
    costs_requests: ClassVar[bool] = True

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take what was pickled; the store has been made anew, as the environment is here."""
        self.__dict__.update(state, environment=environment_mark())

    def get(self, path: str) -> bytes | None:
        """Return the object at ``path``, or None when there is none."""
        with failing(f"read {self.describe(path)}"):
            try:
                return bytes(self.store.get(self._key(path)).bytes())
            except FileNotFoundError:
                return None

    def get_version(self, path: str) -> tuple[bytes, str] | None:
        """Return the bytes of an object and its version, or None when there is none."""
        with failing(f"read {self.describe(path)}"):
            try:
                found = self.store.get(self._key(path))
                return bytes(found.bytes()), self._version(found.meta)
            except FileNotFoundError:
                return None

    def stat(self, path: str) -> tuple[int, datetime] | None:
        """Return the size of an object and when it was written, or None when there is none."""
        with failing(f"read {self.describe(path)}"):
            try:
                found = self.store.head(self._key(path))
                return found["size"], found["last_modified"]
            except FileNotFoundError:
                return None

    def paths(self, below: str = "") -> list[str]:
        """Return all objects below a folder of OUT, sorted.

        What a store lists beside them is left out: what is found here may be deleted.
        """
        return sorted(self.sizes(below))

    def sizes(self, below: str = "") -> dict[str, int | None]:
        """Return all objects below a folder of OUT with their sizes."""
        folder, skip = self._key(below) + "/", len(self.prefix) + 1
        with failing(f"list {self.describe(below)}"):
            pages = self.store.list(self._key(below))
            found = (each for page in pages for each in page)
            return {
                each["path"][skip:]: each["size"]
                for each in found
                if each["path"].startswith(folder)
            }

    def holds(self, below: str, suffix: str) -> bool:
        """Whether any object below a folder of OUT has a name that ends with ``suffix``."""
        with failing(f"list {self.describe(below)}"):
            pages = self.store.list(self._key(below), chunk_size=1000)
            return any(found["path"].endswith(suffix) for page in pages for found in page)

    def is_empty(self) -> bool:
        """Whether OUT holds nothing but a lease, and whose turn it is to sort an inventory."""
        left = {self._key(LEASE), self._key(SORTING)}
        with failing(f"list {self.url}"):
            pages = self.store.list(self.prefix, chunk_size=2)
            return all(found["path"] in left for page in pages for found in page)

    def prepare(self) -> None:
        """Do nothing: there are no folders, and nothing is ever half-written."""

    def put(self, path: str, data: bytes | memoryview) -> None:
        """Write one object whole, replacing what is there; after an error that is untouched.

        A store that is too busy is sent fewer at a time from then on, by all of the process.
        """
        with failing(f"write {self.describe(path)}", RESUME):
            self._put_when_due(self._key(path), bytes(data))

    def writes_at_once(self, most: int) -> int:
        """Return ``most``: a request takes longer than all else that is done for an object."""
        return most

    def move(self, path: str, to: str) -> None:
        """Give one object another path, replacing what is there; none at ``path`` is fine."""
        with failing(f"write {self.describe(to)}", RESUME):
            try:
                self.store.copy(self._key(path), self._key(to))
            except FileNotFoundError:
                return
        self.delete(path)

    def below(self, folder: str) -> RemoteOutput:
        """Return a folder of OUT as an Output of its own."""
        location = replace(self.location, url=f"{self.url}/{folder}")
        return replace(self, location=location, prefix=self._key(folder))

    def put_if(self, path: str, data: bytes, seen: str | None) -> str | None:
        """Write one object whole if it is still the version ``seen`` (None: if there is none)."""
        key = self._key(path)
        with failing(f"write {self.describe(path)}", RESUME):
            try:
                put = self._put_on(self._if_still(seen), key, data)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return None
            except Exception as error:
                if not _is_unknown(error):
                    raise
                now = self.get_version(path)
                if (None if now is None else now[1]) != seen:
                    return None
                put = self.store.put(key, data)
            return self._version(put)

    def try_condition(self, path: str, data: bytes) -> tuple[bool, str | None]:
        """Write an object that is there on the condition that it is not."""
        with failing(f"write {self.describe(path)}"):
            try:
                put = self._put_on("create", self._key(path), data)
                return False, self._version(put)
            except (AlreadyExistsError, PreconditionError):
                return True, None
            except Exception as error:
                if _is_unknown(error):
                    return False, None
                raise

    def delete(self, path: str) -> None:
        """Delete one object; none there is fine."""
        with failing(f"delete {self.describe(path)}"):
            try:
                self.store.delete(self._key(path))
            except FileNotFoundError:
                return

    def delete_if(self, path: str, seen: str) -> None:
        """Delete one object if it is still the version ``seen``."""
        # No store deletes on a condition; between these requests it is nobody's turn to write.
        found = self.get_version(path)
        if found is not None and found[1] == seen:
            self.delete(path)

    def clear(self, paths: Iterable[str]) -> None:
        """Delete objects in `clearing_order`."""
        for path in clearing_order(paths):
            self.delete(path)

    def tidy(self) -> None:
        """Do nothing: writing needs nothing beside what it writes."""

    def refuse_links(self, paths: Iterable[str]) -> None:
        """Do nothing: an object store has no links."""

    def _put_when_due(self, key: str, data: bytes) -> None:
        """Put an object once no more are under way than the store bears."""
        same = SameStore(self.store)
        throttle = throttle_of(same, f"{self.prefix}, written", math.inf, os.getpid())
        # Asked first is who says at once that the store is too busy: the other waits and tries
        # again without a word.
        at_once = store_at_once(same, self.environment)
        for store in (self.store,) if at_once is None else (at_once, self.store):
            begun, busy = throttle.begin(_NEVER), False
            try:
                store.put(key, data)
                return
            except Exception as error:
                busy = status(error) in _BUSY
                if store is self.store or is_final(error):
                    raise
            finally:
                throttle.end(begun, busy)

    def _put_on(self, condition: PutMode, key: str, data: bytes) -> PutResult:
        """Put an object on a condition; a store that knows none is not asked again and again."""
        at_once: Any = store_at_once(SameStore(self.store), self.environment)
        if at_once is not None:
            try:
                put: PutResult = at_once.put(key, data, mode=condition)
                return put
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                raise
            except Exception as error:
                if _is_unknown(error) or is_final(error):
                    raise
        return self.store.put(key, data, mode=condition)

    def _version(self, found: ObjectMeta | PutResult) -> str:
        """Return what the version of an object is called, that was read or written."""
        return str(found["version" if isinstance(self.store, GCSStore) else "e_tag"])

    def _if_still(self, seen: str | None) -> PutMode:
        """Return how an object is put that is still of a version; None: that is not there."""
        if seen is None:
            return "create"
        return {"version": seen} if isinstance(self.store, GCSStore) else {"e_tag": seen}

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if path else self.prefix


def _is_unknown(error: BaseException) -> bool:
    """Whether a store says that it knows no conditional writes."""
    return isinstance(error, NotImplementedError | NotSupportedError) or status(error) == "501"
