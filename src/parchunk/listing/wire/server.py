"""A server that is asked over kept-alive connections, as many as there are threads asking.

Python's own `http.client` connects, and reads whatever is not as usual (see `connection`): it is
kept with Python, and costs half of what urllib3 does.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import random
import selectors
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from parchunk.listing.pages import PageError, Spent
from parchunk.listing.wire.connection import Answer, Connection
from parchunk.listing.wire.watch import Wait, Watch
from parchunk.stores.explaining import DISTRUSTED
from parchunk.stores.throttle import BUSY, Throttle

#: Answers to try again: too busy, or broken in passing.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
#: What looks at one connection: the usual one would cost a file and three calls of the system.
_Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)
_IDENTITY = {"User-Agent": "parchunk", "Accept": "*/*"}


@dataclass(frozen=True)
class Origin:
    """Where a server is; ``authorities`` are files and folders of those who may vouch for it.

    With none of them, those may whom the system believes.
    """

    encrypted: bool
    host: str
    port: int | None = None
    authorities: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Its URL, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"http{'s' if self.encrypted else ''}://{host}{port}"


@dataclass(frozen=True)
class Limits:
    """Seconds to wait for a connection, for a byte, for a whole answer; and how often to ask again.

    Requests that fail are tried ``retries`` times more, for ``give_up`` seconds at most, after
    waits that begin with ``first_wait`` and grow up to ``longest_wait``.
    """

    connect: float = 5.0
    quiet: float = 15.0
    whole: float = 30.0
    retries: int = 10
    give_up: float = 180.0
    first_wait: float = 0.1
    longest_wait: float = 15.0


class Unanswered(Exception):
    """A request without a whole answer; ``args[0]`` says why.

    ``begun``: one began to come. ``late``: it was waited for as long as one may.
    """

    def __init__(self, reason: str, begun: bool = False, late: bool = False) -> None:
        super().__init__(reason)
        self.begun = begun
        self.late = late


class Server:
    """A server, and the connections to it that are idle."""

    def __init__(self, origin: Origin, limits: Limits) -> None:
        self.origin, self.limits = origin, limits
        self._idle: deque[Connection] = deque()
        # Left open, they would be warned of.
        weakref.finalize(self, _close, self._idle)

    def get(
        self,
        target: str,
        sign: Callable[[], Mapping[str, str]],
        spent: Spent,
        stop: threading.Event,
        throttle: Throttle,
        quiet: float = math.inf,
    ) -> Answer:
        """Return the answer to a GET of ``target``, the path and query of a URL.

        Each attempt begins when ``throttle`` lets it. ``sign`` is called for the headers of each,
        of which none is waited for when nothing came for ``quiet`` seconds. An answer that breaks
        off is not asked for again here: whoever follows a listing knows from where to go on.

        Raises
        ------
        PageError
            When there is none.
        """
        began, attempt = time.monotonic(), 0
        while True:
            spent.lists += 1
            answer, why = None, ""
            begun = throttle.begin(stop)
            try:
                answer = self._ask(target, {**_IDENTITY, **sign()}, spent, stop, quiet)
                if answer.status not in _PASSING:
                    return answer
            except Unanswered as error:
                why = str(error)
                if error.begun:
                    raise PageError(why) from None
            finally:
                busy = answer is not None and answer.status in BUSY
                throttle.end(begun, busy)
            spent.busy += busy
            attempt += 1
            passed = time.monotonic() - began
            if stop.is_set() or attempt > self.limits.retries or passed > self.limits.give_up:
                if answer is not None:
                    return answer
                raise PageError(why) from None
            spent.retries += 1
            longest = min(self.limits.first_wait * 2 ** (attempt - 1), self.limits.longest_wait)
            stop.wait(longest * random.uniform(0.5, 1.0))

    def _ask(
        self,
        target: str,
        headers: Mapping[str, str],
        spent: Spent,
        stop: threading.Event,
        quiet: float,
    ) -> Answer:
        kept = self._kept()
        if kept is None:
            return self._converse(self._connected(), target, headers, stop, quiet)
        try:
            return self._converse(kept, target, headers, stop, quiet)
        except Unanswered as error:
            if error.begun or error.late:
                raise
        # The server may have closed it just now, which is no fault.
        _close(self._idle)
        spent.lists += 1
        spent.retries += 1
        return self._converse(self._connected(), target, headers, stop, quiet)

    def _kept(self) -> Connection | None:
        """Return a connection that is idle and that the server has not closed meanwhile, if any."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            with _Selector() as ends:
                ends.register(connection.sock, selectors.EVENT_READ)
                if not ends.select(0):
                    return connection
            connection.close()  # nothing was asked, so what came is its end

    def _connected(self) -> Connection:
        origin = self.origin
        made = (
            http.client.HTTPSConnection(
                origin.host,
                origin.port,
                timeout=self.limits.connect,
                context=trust_of(origin.authorities),
            )
            if origin.encrypted
            else http.client.HTTPConnection(origin.host, origin.port, timeout=self.limits.connect)
        )
        try:
            made.connect()
        except ssl.SSLCertVerificationError as error:
            made.close()
            reason = error.verify_message or "it cannot be verified"
            raise PageError(
                DISTRUSTED.format(reason.partition("\n")[0].rstrip(".")), True
            ) from None
        except ssl.SSLError as error:
            made.close()
            raise Unanswered(
                f"no connection to the store ({error.reason or 'TLS'}): check the endpoint and its "
                "certificate"
            ) from None
        except OSError as error:
            made.close()
            reason = error.strerror or "no answer in time"
            raise Unanswered(
                f"no connection to the store ({reason}): check the endpoint and the network"
            ) from None
        made.sock.settimeout(None)  # the watch has the time
        return Connection(made)

    def _converse(
        self,
        connection: Connection,
        target: str,
        headers: Mapping[str, str],
        stop: threading.Event,
        quiet: float,
    ) -> Answer:
        end = time.monotonic() + self.limits.whole
        wait = Wait(connection.sock, stop, end, min(self.limits.quiet, quiet))
        keep = False
        try:
            with _watch(os.getpid()).over(wait):
                connection.send(target, headers)
                connection.begin()
                answer, keep = connection.answer(wait.begin, wait.heard)
            return answer
        except (OSError, http.client.HTTPException, ValueError) as error:
            what = "an answer broke off" if wait.begun else "no answer"
            reason = wait.late or _reason(error)
            raise Unanswered(f"{what}: {reason}", wait.begun, bool(wait.late)) from None
        finally:
            if keep and not wait.late:
                self._idle.append(connection)
            else:
                connection.close()


@lru_cache(maxsize=32)
def server_at(origin: Origin, limits: Limits, process: int) -> Server:
    """Return the one server at a place, whose connections the threads of a process share."""
    return Server(origin, limits)


def hang_up() -> None:
    """Close the connections that are idle; those in use are closed when they are not any more."""
    server_at.cache_clear()


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"it ended after {len(error.partial)} bytes"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0][:200] or type(error).__name__


def _close(idle: deque[Connection]) -> None:
    while True:
        try:
            idle.pop().close()
        except IndexError:
            return


@cache
def _watch(process: int) -> Watch:
    """Return the watch of a process: a fork has none of the threads of the one it was forked of."""
    return Watch()


@lru_cache(maxsize=32)
def trust_of(authorities: tuple[str, ...]) -> ssl.SSLContext:
    """Return whom to believe: those of these files and folders, or of the system."""
    # Not Python's own default, which from 3.13 on is stricter than obstore.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not authorities:
        context.load_default_certs()
    for path in map(Path, authorities):
        for file in path.iterdir() if path.is_dir() else (path,):
            with contextlib.suppress(OSError):  # a folder may hold other files, too
                context.load_verify_locations(file)
    return context
