"""Asking for each chunk by itself, where a store is neither listed nor has an inventory.

A chunk is missing when the server says so of it: with 404, and of a key that cannot be there, too.
Anything else says nothing: a server may forbid, fail, or answer every question with a page.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from parchunk.cover.walks import Walk
from parchunk.errors import ListingError
from parchunk.listing.listed_rows import Listed
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.questions import asked
from parchunk.listing.waiting import Cancelled, go_on
from parchunk.stores.explaining import explain, status
from parchunk.stores.identity import OTHERWISE, tags_of
from parchunk.stores.source import Source

#: What servers say that know no HEAD; a part of the object is asked for instead.
_NO_HEAD = ("405", "501")


class _NoAnswerError(Exception):
    """What a server said does not tell whether an object is there."""


@dataclass
class Prober:
    """Asks for the chunks of one array by HEAD, or by a GET of a byte where there is no HEAD."""

    source: Source
    array: str
    requests: Requests
    patience: Patience
    stop: threading.Event
    _by_head: bool = True
    _checked: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def follow(self, walk: Walk) -> Generator[Listed, None, None]:
        """Yield those of a walk's chunks that are there, in order.

        Raises
        ------
        ListingError
            When the server does not say of one whether it is there.
        """
        with self._lock:
            if not self._checked:
                self._check_answers()
                self._checked = True
        found = []
        for rank in range(walk.start, walk.stop):
            path = self._path(walk.key(rank))
            answer = self._asked(path)
            if answer is not None:
                found.append((path, *answer))
        if found:
            names, sizes, modified, tags, timed = zip(*found, strict=True)
            paths = pa.array(names, pa.string())
            tagged = self.source.identity == "etag"
            yield Listed(
                paths,
                np.array(sizes, np.uint64),
                np.array(modified, np.int64),
                tags_of(pa.array(tags, pa.string()), paths) if tagged else None,
                None if all(timed) else ~np.array(timed),
            )

    def _path(self, tail: str) -> str:
        return self.source.path(f"{self.array}/{tail}")

    def _check_answers(self) -> None:
        """Ask for a key that cannot be there: a server that has it says nothing of any other."""
        path = self._path(f"parchunk-probe-{secrets.token_hex(8)}")
        if self._asked(path) is not None:
            raise ListingError(
                f"{self.source.describe(self.array)}: the server says of a key that cannot be "
                "there that it is, so its answers do not tell which chunks are: give an inventory "
                "(--inventory FILE)"
            )

    def _asked(self, path: str) -> tuple[int, int, str | None, bool] | None:
        """Return what a server says of an object: size, time of modification and entity tag.

        Last, whether it says when: else it was not later than now. None where there is none.
        """
        try:
            meta = asked(
                lambda: self._ask(path), self.source, self.patience, self.requests, self.stop
            )
        except Cancelled:
            raise
        except Exception as error:
            url = self.source.describe(path[len(self.source.path("")) :].strip("/"))
            raise ListingError(
                f"the server does not say whether {url} is there: "
                f"{explain(error, self.source.unsigned)}; run again to resume, or give an "
                "inventory (--inventory FILE)"
            ) from None
        if meta is None:
            return None
        modified, size = meta["last_modified"].timestamp(), int(meta["size"])
        if size and not modified and self.source.identity == "time":
            raise ListingError(f"the server does not say when {path} was written: {OTHERWISE}")
        tag = meta.get("e_tag") if size else "-"
        return size, round((modified or time.time()) * 1_000_000), tag, modified > 0

    def _ask(self, path: str) -> dict[str, Any]:
        go_on(self.stop)
        store = self.source.store
        self.requests.add(heads=1)
        if self._by_head:
            try:
                return dict(store.head(path))
            except Exception as error:  # obstore takes 405, which knows no HEAD, for 404
                if status(error) not in _NO_HEAD:
                    raise
                self._by_head = False
                self.requests.add(heads=1)
        return _part(lambda: store.get(path, options={"range": (0, 1)}))


def _part(ask: Callable[[], Any]) -> dict[str, Any]:
    """Return what a GET of the first byte says of an object."""
    try:
        return dict(ask().meta)
    except Exception as error:
        if status(error) == "405":
            raise _NoAnswerError("it takes neither HEAD nor GET (405 Method Not Allowed)") from None
        if status(error) != "416":
            raise
        # Only an object of no bytes has no first one.
        return {"size": 0, "last_modified": datetime.fromtimestamp(0, UTC)}
