"""A kept connection: a request is sent, and its answer read as cheaply as it usually can be.

Nearly all answers are alike: status 200, a length, and a body of it. Those are read straight off
the socket. Any other is read by Python's own `http.client`, from its first byte on.
"""

from __future__ import annotations

import http.client
import io
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Bytes of an answer at most: a page of the longest keys, all of entities, is smaller.
MOST_BYTES = 64 << 20
#: Bytes asked for at a time where nobody says how many come.
_PIECE = 1 << 20
#: Bytes that the head of an answer, and what comes with it, may take.
_FIRST = 16 << 10
_USUAL = re.compile(rb"HTTP/1\.1 200 ([ -~]*)\r\n", re.ASCII)
#: What Python's own client takes for the name of a header: behind anything else it reads none.
_NAME = re.compile(rb"[!-9;-~]+", re.ASCII)
_LENGTH = re.compile(rb"[ \t]*([0-9]{1,9})[ \t]*", re.ASCII)
#: What must not stand in a request: it would be another one.
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")
#: Headers that say where an answer ends.
_LENGTHS = frozenset({"content-length", "transfer-encoding"})
_TOO_LARGE = "it is too large for a page of a listing"


@dataclass(frozen=True)
class Answer:
    """What a server said; ``headers`` by names in lower case, none where all is as usual.

    ``phrase`` is what can be shown of what stands beside the status.
    """

    status: int
    phrase: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Connection:
    """A connection that asks one thing at a time."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._made = connection
        self.sock = connection.sock
        self._host = _host(connection)
        self._buffer = bytearray(_FIRST)
        self._came = 0
        self._head = -1

    def send(self, target: str, headers: Mapping[str, str]) -> None:
        """Send a GET of ``target``.

        Raises
        ------
        ValueError
            When it cannot be said in a request.
        """
        named = {"Host": self._host, "Accept-Encoding": "identity", **headers}
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {text}" for name, text in named.items())]
        if " " in target or any(map(_UNSENDABLE.search, lines)):
            raise ValueError("the request has a character that none may have")
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def begin(self) -> None:
        """Wait until the head of the answer has come, or what may be no answer.

        Raises
        ------
        OSError
            When nothing does.
        """
        self._came, self._head, room = 0, -1, memoryview(self._buffer)
        while self._head < 0 and self._came < _FIRST:
            came = self.sock.recv_into(room[self._came :])
            if not came:
                break
            self._came += came
            self._head = self._buffer.find(b"\r\n\r\n", 0, self._came)
        if not self._came:
            raise http.client.RemoteDisconnected("Remote end closed connection without response")

    def answer(self, begun: Callable[[], None], heard: Callable[[], None]) -> tuple[Answer, bool]:
        """Return the answer, all of it, and whether the connection can be asked again.

        ``begun`` is called once it is an answer, and ``heard`` whenever a part of it has come.

        Raises
        ------
        OSError, http.client.HTTPException, ValueError
            When it breaks off, or is none.
        """
        usual = _usual(bytes(self._buffer[: self._head])) if self._head >= 0 else None
        if usual is None:
            return self._unusual(begun, heard)
        begun()
        phrase, length = usual
        body, start = bytearray(length), self._head + 4
        room = memoryview(body)
        size = min(self._came - start, length)
        room[:size] = self._buffer[start : start + size]
        while size < length:
            came = self.sock.recv_into(room[size:])
            if not came:
                raise ValueError(f"it ended after {size} of {length} bytes")
            size += came
            heard()
        return Answer(200, phrase, bytes(body)), self._came <= start + length and self._is_over()

    def _is_over(self) -> bool:
        """Whether no more has come by TLS: what is decrypted is not seen at the socket."""
        return not isinstance(self.sock, ssl.SSLSocket) or not self.sock.pending()

    def _unusual(self, begun: Callable[[], None], heard: Callable[[], None]) -> tuple[Answer, bool]:
        source: Any = _Begun(bytes(self._buffer[: self._came]), self.sock)
        response = http.client.HTTPResponse(source, method="GET")
        response.begin()
        begun()
        body = _read(response, heard)
        headers = {name.lower(): value for name, value in response.headers.items()}
        # Of a terminal it may be a command.
        phrase = "".join(filter(str.isprintable, response.reason))
        answer = Answer(response.status, phrase, body, headers)
        # Not where more is to come, or may: it would be taken for the next answer.
        lengths = [name for name, _ in response.headers.items() if name.lower() in _LENGTHS]
        bodiless = response.status < 200 or response.status in (204, 304)
        sure = not bodiless and len(lengths) < 2 and not source.left
        return answer, sure and not response.will_close and self._is_over()

    def close(self) -> None:
        """Hang up."""
        self._made.close()


class _Begun(io.RawIOBase):
    """What comes from a socket, behind what has come already."""

    def __init__(self, came: bytes, sock: Any) -> None:
        self._came, self._sock = came, sock
        #: Whether something that had come was not read when its file was closed.
        self.left = False

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return it as a file, as a socket would."""
        return _File(self)

    def end(self) -> None:
        """Let nothing more come."""
        self._sock = None

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        if not self._came:
            return int(self._sock.recv_into(room)) if self._sock else 0
        part, self._came = self._came[: len(room)], self._came[len(room) :]
        room[: len(part)] = part
        return len(part)


class _File(io.BufferedReader):
    raw: _Begun

    def close(self) -> None:
        if not self.closed:
            self.raw.end()
            self.raw.left = bool(self.peek(1))
        super().close()


def _host(connection: http.client.HTTPConnection) -> str:
    host = connection.host if connection.host.isascii() else connection.host.encode("idna").decode()
    shown = f"[{host}]" if ":" in host else host
    return shown if connection.port == connection.default_port else f"{shown}:{connection.port}"


def _usual(head: bytes) -> tuple[str, int] | None:
    """Return phrase and length of an answer as nearly all are; None for any other.

    Raises
    ------
    ValueError
        When it is too long.
    """
    found = _USUAL.match(head + b"\r\n")
    if found is None or not head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n"):
        return None
    length = None
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or not _NAME.fullmatch(name):
            return None  # goes on the line before, or is none
        if name == b"content-length":
            said = _LENGTH.fullmatch(value)
            if said is None or length is not None:
                return None
            length = int(said[1])
        elif name == b"transfer-encoding" or (
            name == b"connection" and value.strip().lower() != b"keep-alive"
        ):
            return None
    if length is None:
        return None
    if length > MOST_BYTES:
        raise ValueError(_TOO_LARGE)
    return found[1].decode("ascii").strip(), length


def _read(response: http.client.HTTPResponse, heard: Callable[[], None]) -> bytes:
    """Return the body, all of it."""
    declared = response.length
    if (declared or 0) > MOST_BYTES:
        raise ValueError(_TOO_LARGE)
    parts, size = [], 0
    while part := response.read1(_PIECE if response.length is None else response.length):
        parts.append(part)
        size += len(part)
        heard()
        if size > MOST_BYTES:
            raise ValueError(_TOO_LARGE)
        if response.length == 0:
            break
    if declared is not None and size != declared:
        raise ValueError(f"it ended after {size} of {declared} bytes")
    if not response.isclosed():
        response.close()
    return b"".join(parts)
