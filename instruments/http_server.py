"""An HTTP server on loopback that serves a folder's files and lists none, as data portals do.

What may be wrong with one is said by `Faults`: no HEAD, no ranges, forbidden or failing keys, pages
of success for what is not there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


@dataclass
class Faults:
    """How a server behaves: by default as it should.

    ``heads`` is the status of every HEAD instead; ``statuses`` are those of the paths that end so,
    ``missing`` that of what is not there. ``ranges``: whether parts of files can be asked for.
    """

    heads: int | None = None
    ranges: bool = True
    missing: int = 404
    statuses: dict[str, int] = field(default_factory=dict)


@dataclass
class HttpServer:
    """A running server: its URL, how it behaves, and what it was asked."""

    url: str
    faults: Faults
    asked: list[tuple[str, str]]

    def count(self, method: str) -> int:
        """Return how many requests of a method came."""
        return sum(asked == method for asked, _ in self.asked)


class _Server(ThreadingHTTPServer):
    """Serves ``folder``, as ``running`` says, which is told what was asked."""

    daemon_threads = True

    def __init__(self, folder: Path, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.running = HttpServer(f"http://127.0.0.1:{self.server_port}", faults, [])


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_PROPFIND(self) -> None:
        self.server.running.asked.append(("PROPFIND", self.path))
        self._send(405, b"", {}, body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, body: bool) -> None:
        self.server.running.asked.append((self.command, self.path))
        faults = self.server.running.faults
        for end, status in faults.statuses.items():
            if unquote(self.path).endswith(end):
                return self._send(status, b"no", {}, body)
        if not body and faults.heads is not None:
            return self._send(faults.heads, b"", {}, body)
        path = self.server.folder / unquote(self.path.partition("?")[0]).lstrip("/")
        if not path.is_file():
            return self._send(faults.missing, b"<html>", {}, body)
        data, stat = path.read_bytes(), path.stat()
        headers = {
            "Last-Modified": formatdate(int(stat.st_mtime), usegmt=True),
            "ETag": f'"{stat.st_size}-{stat.st_mtime_ns}"',
        }
        asked = self.headers.get("Range", "")
        if not faults.ranges or not asked.startswith("bytes="):
            return self._send(200, data, headers, body)
        first, _, last = asked[6:].partition("-")
        begin, end = int(first), min(int(last) if last else len(data), len(data) - 1)
        if begin >= len(data):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"}, body)
        headers["Content-Range"] = f"bytes {begin}-{end}/{len(data)}"
        return self._send(206, data[begin : end + 1], headers, body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


@contextmanager
def served(folder: Path, faults: Faults | None = None) -> Iterator[HttpServer]:
    """Serve the files of a folder until the context ends."""
    server = _Server(folder, faults or Faults())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
