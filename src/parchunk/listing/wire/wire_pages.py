"""Pages asked for and read one after the other, in the dialect of a store."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from parchunk.listing.listed_rows import Listed
from parchunk.listing.pages import EACH, PAGE_ROWS, Enough, PageError, Spent
from parchunk.listing.wire.connection import Answer
from parchunk.listing.wire.page import Glance, Reader, UnreadablePage, WirePage
from parchunk.listing.wire.server import Limits, Origin, server_at
from parchunk.listing.wire.strict_reader import listed
from parchunk.stores.throttle import Throttle

#: Bytes of pages to be read together that one more may follow, and the part of what is enough that
#: is held as pages: those are larger than their rows.
_MOST_BYTES, _PART = 1 << 20, 2


class Dialect(Protocol):
    """How a bucket is asked for a page, and what its answers mean."""

    @property
    def origin(self) -> Origin:
        """The server."""
        ...

    @property
    def limits(self) -> Limits:
        """How long its answers are waited for."""
        ...

    def target(self, prefix: str, after: str | None, token: str | None) -> str:
        """Return the path and query that ask for a page: ``prefix`` ends with a slash, or is none.

        ``token`` is what the page before said, None for the first one.
        """
        ...

    def headers(self, target: str) -> dict[str, str]:
        """Return what is sent with a request, the signature included.

        Raises
        ------
        PageError
            When there are no credentials.
        """
        ...

    def reader(self, after: str | None) -> Reader:
        """Return what reads the pages of one listing."""
        ...

    def refused(self, answer: Answer, unsigned: str) -> PageError:
        """Return the error that an answer is whose status is not 200."""
        ...


@dataclass(frozen=True)
class WirePages:
    """Pages of a bucket; answers, and pages with keys, are waited for ``quiet`` seconds at most.

    ``unsigned`` says why requests carry no credentials, where they may not.
    """

    dialect: Dialect
    quiet: float
    stop: threading.Event
    throttle: Throttle
    unsigned: str = ""

    def pages(
        self, prefix: str, after: str | None, spent: Spent, enough: Enough = EACH
    ) -> Generator[Listed, None, None]:
        """Yield pages; see `parchunk.listing.pages.Pages`."""
        after = after.removesuffix("/") if after else None
        below = f"{prefix}/" if prefix else ""
        reader = self.dialect.reader(after)
        token: str | None = None
        tokens: set[str] = set()
        room = _Room(enough)
        moved = time.monotonic()
        while not self.stop.is_set():
            try:
                glance = self._glance(self.dialect.target(below, after, token), reader, room, spent)
            except PageError:
                yield from self._read(reader, spent)
                raise
            if glance is None:
                return
            token = glance.token
            if token is None or token in tokens or not room.has_more(glance):
                room.clear()
                keys = spent.keys
                page = yield from self._read(reader, spent)
                if spent.keys > keys:
                    moved = time.monotonic()
                if page.fault:
                    raise PageError(f"the answer is no page: {page.fault}", untold=True)
                if page.token is None:
                    return
                token = page.token
                if token in tokens:
                    raise PageError("it repeats itself without an end: the same page is to follow")
                if time.monotonic() > moved + self.quiet:
                    raise PageError(f"no key came for {self.quiet:g} s, in pages without any")
            tokens.add(token)

    def _glance(self, target: str, reader: Reader, room: _Room, spent: Spent) -> Glance | None:
        """Take a page, and return what is seen at a glance; None while the build ends."""
        dialect = self.dialect
        server = server_at(dialect.origin, dialect.limits, os.getpid())
        answer = server.get(
            target, lambda: dialect.headers(target), spent, self.stop, self.throttle, self.quiet
        )
        if self.stop.is_set():
            return None
        if answer.status != 200:
            raise dialect.refused(answer, self.unsigned)
        room.take(answer.body)
        try:
            return reader.add(answer.body)
        except UnreadablePage as error:
            raise PageError(f"the answer is no page: {error}") from None

    def _read(self, reader: Reader, spent: Spent) -> Generator[Listed, None, WirePage]:
        """Yield what was taken, and return what says what follows."""
        pages, last = reader.read(), WirePage(listed([], [], []), None, "there is none")
        while True:
            try:
                with _turn(os.getpid()):
                    page = next(pages, None)
            except UnreadablePage as error:
                raise PageError(f"the answer is no page: {error}") from None
            if page is None:
                return last
            last = page
            if len(page.listed.paths):
                spent.keys += len(page.listed.paths)
                yield page.listed


@dataclass
class _Room:
    """What has come of a listing, and was not read yet: not more than is enough, nor than fits."""

    enough: Enough
    pages: int = 0
    size: int = 0

    def take(self, body: bytes) -> None:
        """Take note of a page."""
        self.pages += 1
        self.size += len(body)

    def has_more(self, glance: Glance) -> bool:
        """Whether another page may come before this one is read."""
        enough = self.enough
        if self.pages >= enough.rows // PAGE_ROWS // _PART or self.size >= _MOST_BYTES:
            return False
        if enough.last is None:
            return True
        return glance.last is not None and glance.last < enough.last.encode()

    def clear(self) -> None:
        """Take note that all were read."""
        self.pages = self.size = 0


@cache
def _turn(process: int) -> threading.Lock:
    """Return whose turn it is to read a page, in a process.

    Each kernel lets go of the interpreter, and who wants it back waits for all that have taken it:
    pages read one after the other cost a fraction of what they cost side by side.
    """
    return threading.Lock()


def refusal(answer: Answer, code: str, unsigned: str) -> PageError:
    """Return the error that an answer is; ``code`` is what the store calls it, if it does."""
    shown = code or f"{answer.status} {answer.phrase}"[:60]
    if answer.status in (401, 403):
        hint = (
            unsigned
            or "check the credentials, or --store-option skip_signature=true for public data"
        )
        return PageError(f"permission denied ({shown}): {hint}", True)
    if answer.status == 404 and code in ("NoSuchBucket", "notFound"):
        return PageError("no such bucket: check the URL", True)
    return PageError(f"the store answered {answer.status} ({shown})")
