"""Listings side by side on an event loop: what `benchmarks.wire` compares threads with.

As little as can be: no TLS, no retries, no time-outs, answers of one length that says itself. Who
has those in a loop pays more.
"""

from __future__ import annotations

import re
import selectors
import socket
import threading
from dataclasses import dataclass

from parchunk.listing.wire.wire_pages import Dialect

_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")
_ROOM = 256 << 10


class Walk:
    """One listing: its connection, and what has come of the answer that it waits for."""

    def __init__(self, dialect: Dialect, after: str | None, enough: int) -> None:
        self._dialect, self._after, self._enough = dialect, after, enough
        self._reader = dialect.reader(after)
        self.sock = socket.create_connection((dialect.origin.host, dialect.origin.port or 80))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.keys = 0
        self._came = bytearray()

    def ask(self, token: str | None = None) -> None:
        """Ask for a page: requests are small enough to be taken at once."""
        target = self._dialect.target("t/", self._after, token)
        host = self._dialect.origin.host
        self.sock.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    def take(self) -> bool:
        """Take what has come; a page is read, and the next one asked for; False at the end."""
        self._came += self.sock.recv(_ROOM)
        head = self._came.find(b"\r\n\r\n", 0, 4096)
        length = _LENGTH.search(self._came, 0, head + 2) if head >= 0 else None
        if length is None or len(self._came) < head + 4 + int(length[1]):
            return True
        self._reader.add(bytes(self._came[head + 4 :]))
        (page,) = self._reader.read()
        self._came.clear()
        self.keys += len(page.listed.paths)
        if page.token is None or self.keys >= self._enough:
            self.sock.close()
            return False
        self.ask(page.token)
        return True


@dataclass
class Loop:
    """Walks that one thread follows."""

    walks: list[Walk]

    def run(self) -> None:
        """Follow them to their ends."""
        with selectors.DefaultSelector() as waiting:
            for walk in self.walks:
                waiting.register(walk.sock, selectors.EVENT_READ, walk)
                walk.ask()
            while waiting.get_map():
                for key, _ in waiting.select():
                    walk = key.data
                    sock = walk.sock
                    if not walk.take():
                        waiting.unregister(sock)


def loops(dialect: Dialect, offsets: list[str | None], enough: int, threads: int) -> int:
    """Follow a listing from each offset until it has enough keys; return how many came."""
    walks = [Walk(dialect, after, enough) for after in offsets]
    shares = [Loop(walks[at::threads]) for at in range(min(threads, len(walks)))]
    running = [threading.Thread(target=share.run) for share in shares]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(walk.keys for walk in walks)
