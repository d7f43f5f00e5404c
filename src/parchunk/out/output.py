"""The Output: what lies in OUT by name, and the verbs by which it is read and written.

A folder (`parchunk.out.local`) and a prefix in an object store (`parchunk.out.remote`) have the
same verbs, and only `parchunk.out.opening` asks which of the two a URL names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import ClassVar, Protocol

from parchunk.errors import OutputError
from parchunk.metadata.names import OWN
from parchunk.stores.explaining import explain
from parchunk.stores.opening import Location

PLAN = f"{OWN}/plan.json"
#: The plan before the update that is under way.
PREVIOUS = f"{OWN}/previous.json"
#: What the update that is under way was asked.
UPDATE = f"{OWN}/update.json"
LEASE = f"{OWN}/lease.json"
#: Who sorts the inventory for all parts, and until when.
SORTING = f"{OWN}/sorting.json"
#: What tasks are at work on, by whoever works on them.
CLAIMS = f"{OWN}/claims"
#: What an update prepares that will take the place of what is published, all at once.
NEXT = f"{OWN}/next"
#: The plan of that, from its beginning on, and its root, once it is complete.
PREPARED_PLAN = f"{NEXT}/{OWN}/plan.json"
#: What it is prepared for, as long as any of it is there.
PREPARED_FOR = f"{NEXT}/{OWN}/asked.json"
#: What was known of partitions that go on in stores which came.
KNOWN = f"{OWN}/known"
#: Sorted rows of an inventory, while machines share a build that it stands for the listing of.
INVENTORY = f"{OWN}/inventory"
RECEIPTS = f"{OWN}/receipts"
#: Receipts of many whole arrays in one object each, in a folder for each plan.
BLOCKS = f"{OWN}/blocks"
STRAYS = f"{OWN}/strays"
#: What is kept of each object, by the names of record files.
OBJECTS = f"{OWN}/objects"
#: What the elements of the split dimension are called: dates, where it is a time.
LABELS = f"{OWN}/labels.parquet"
ROOT = ".zmetadata"
PREPARED_ROOT = f"{NEXT}/{ROOT}"
#: Files and folders of OUT that are of no array, and folders that have one of each array's name.
OF_OUT = (ROOT, PLAN, PREVIOUS, UPDATE, LEASE, SORTING, NEXT, LABELS, BLOCKS, INVENTORY)
BY_ARRAY = (RECEIPTS, STRAYS, KNOWN, OBJECTS)
#: What to do when a write fails.
RESUME = "make room or give access, then run the same command again to resume"


class Output(Protocol):
    """OUT, where every object appears whole. Pickles, and opens without a request.

    Paths are relative to OUT, without a slash at either end. What a store or file system says is
    raised as an OutputError that names OUT's URL and the object.
    """

    #: Where OUT is, in words that may be written to disk and shown.
    location: Location
    #: Whether ``url`` is a path that any program of this machine opens by itself.
    opens_by_path: ClassVar[bool]
    #: Whether every look at OUT is a request: few are best, and many at once.
    costs_requests: ClassVar[bool]

    @property
    def url(self) -> str:
        """Absolute local path, or URL, without a trailing slash."""
        return self.location.url

    def describe(self, path: str = "") -> str:
        """Return the full name of ``path``, for messages."""
        return f"{self.url}/{path}" if path else self.url

    def get(self, path: str) -> bytes | None:
        """Return the object at ``path``, or None when there is none."""
        ...

    def get_version(self, path: str) -> tuple[bytes, str] | None:
        """Return the bytes of an object and a tag of its version, or None when there is none."""
        ...

    def stat(self, path: str) -> tuple[int, datetime] | None:
        """Return the size of an object and when it was written, or None when there is none."""
        ...

    def paths(self, below: str = "") -> list[str]:
        """Return all objects below a folder of OUT, sorted."""
        ...

    def sizes(self, below: str = "") -> dict[str, int | None]:
        """Return all objects below a folder of OUT with their sizes, where listing them says it."""
        ...

    def holds(self, below: str, suffix: str) -> bool:
        """Whether any object below a folder of OUT has a name that ends with ``suffix``."""
        ...

    def is_empty(self) -> bool:
        """Whether OUT holds nothing, or no more than a build leaves that never began."""
        ...

    def prepare(self) -> None:
        """Make OUT ready for `put`, and clear what a killed build left half-written."""
        ...

    def put(self, path: str, data: bytes | memoryview) -> None:
        """Write one object whole, replacing what is there; after an error that is untouched."""
        ...

    def writes_at_once(self, most: int) -> int:
        """Return how many small objects are best written at a time, of up to ``most``.

        Threads that run Python take turns at every call that leaves it, and to wait for turns
        costs more than to write to a fast disk; a slow one wants many writes under way.
        """
        ...

    def move(self, path: str, to: str) -> None:
        """Give one object another path, replacing what is there; none at ``path`` is fine.

        Cut short, the object is whole at one of the two paths, or at both.
        """
        ...

    def below(self, folder: str) -> Output:
        """Return a folder of OUT as an Output of its own, whose paths are relative to it."""
        ...

    def put_if(self, path: str, data: bytes, seen: str | None) -> str | None:
        """Write one object whole if it is still the version ``seen`` (None: if there is none).

        Return the version written, or None when somebody else was there first. Stores that know
        no conditional writes are written all the same: there, two that come within the same
        moment may both believe to be first, until the next of their writes.
        """
        ...

    def try_condition(self, path: str, data: bytes) -> tuple[bool, str | None]:
        """Write an object that is there on the condition that it is not.

        Return whether that was refused, as it should be, and else the version that was written,
        None where no such condition is known.
        """
        ...

    def delete(self, path: str) -> None:
        """Delete one object; none there is fine."""
        ...

    def delete_if(self, path: str, seen: str) -> None:
        """Delete one object if it is still the version ``seen``."""
        ...

    def clear(self, paths: Iterable[str]) -> None:
        """Delete objects in `clearing_order`, and folders that are empty then."""
        ...

    def tidy(self) -> None:
        """Remove what only writing needed, after the last write."""
        ...

    def refuse_links(self, paths: Iterable[str]) -> None:
        """Refuse links at or above any of these places below OUT; OUT itself may be one."""
        ...


def clearing_order(paths: Iterable[str]) -> list[str]:
    """Return objects in the order in which they are deleted.

    The root comes first, so that nobody opens what is being deleted, receipts before what they
    vouch for, and the plan last, so that what is left can be cleared again.
    """

    def turn(path: str) -> int:
        if path == ROOT:
            return 0
        if path.startswith((f"{RECEIPTS}/", f"{BLOCKS}/")):
            return 1
        return 3 if path == PLAN else 2

    return sorted(paths, key=lambda path: (turn(path), path))


@contextlib.contextmanager
def failing(what: str, remedy: str = "") -> Iterator[None]:
    """Raise an OutputError, "cannot" and ``what``, for whatever goes wrong meanwhile."""
    try:
        yield
    except OutputError:
        raise
    except Exception as error:
        said = explain(error).replace("--store-option", "--output-option")
        said += f"; {remedy}" if remedy else ""
        raise OutputError(f"cannot {what}: {said}") from None
