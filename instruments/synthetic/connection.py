"""Connections to the synthetic server: latency, kept-alive requests, and answers that break off."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from typing import Any
from urllib.parse import parse_qsl, unquote

from instruments.synthetic import gcs_pages
from instruments.synthetic.answers import REASONS, Answer, Request
from instruments.synthetic.faults import BEFORE_ANSWER, INSIDE_BODY
from instruments.synthetic.service import CONTROL, Service
from instruments.tls import Identity


class Connection(asyncio.Protocol):
    """One kept-alive connection: a request, its latency, its answer, the next request."""

    def __init__(self, service: Service, latency: float, open_: set[Connection]) -> None:
        self.service = service
        self.latency = latency
        self.open = open_
        self.buffer = b""
        self.busy = False
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20
        )
        self.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.open.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer what has come whole."""
        self.buffer += data
        self._next()

    def _next(self) -> None:
        while not self.busy and not self.transport.is_closing():
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self.buffer = rest
            self._accept(head.decode("latin-1"))

    def _accept(self, head: str) -> None:
        method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
        path, _, query = target.partition("?")
        if path.startswith(CONTROL):
            self._write(self.service.control(path))
            return
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        ranged = re.search(r"\r\nrange:[ \t]*([^\r]*)", head, re.IGNORECASE)
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        google = gcs_pages.PATH.fullmatch(path)
        if google:
            bucket, key, parameters = unquote(google[1]), "", gcs_pages.as_of_s3(parameters)
        request = Request(
            method,
            bucket,
            key,
            parameters,
            ranged[1].strip() if ranged else "",
            json=google is not None,
        )
        self.busy = True
        self.service.accept(request)
        if self.latency:
            self.loop.call_later(self.latency, self._answer, request)
        else:
            self._answer(request)

    def _answer(self, request: Request) -> None:
        self.service.in_flight -= 1
        if self.transport.is_closing():
            return
        fault = request.fault
        if fault and fault.kind in BEFORE_ANSWER:
            self.loop.call_later(fault.seconds if fault.kind == "hang" else 0, self.reset)
            return
        answer = self.service.answer(request)
        if fault and fault.kind in INSIDE_BODY:
            self._write(answer, len(answer.body) // 2)
            if fault.kind == "cut":
                self.transport.close()
            else:
                # a moment, so that what has been sent arrives before the reset overtakes it
                wait = fault.seconds if fault.kind == "stall" else 0.02
                self.loop.call_later(wait, self.reset)
            return
        self._write(answer)
        self.busy = False
        if request.method not in ("GET", "HEAD"):
            self.transport.close()  # a body may follow, and nobody reads it
        elif self.buffer:
            self._next()

    def _write(self, answer: Answer, part: int | None = None) -> None:
        length = (
            "" if "Content-Length" in answer.head else f"Content-Length: {len(answer.body)}\r\n"
        )
        head = f"HTTP/1.1 {answer.status} {REASONS[answer.status]}\r\n{answer.head}{length}\r\n"
        body = answer.body if part is None else answer.body[:part]
        self.service.bytes += len(body)
        self.transport.write(head.encode())
        self.transport.write(body)

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


async def run(
    service: Service,
    latency: float,
    started: Any,
    stopped: asyncio.Event,
    identity: Identity | None = None,
) -> None:
    """Serve until ``stopped``, by TLS with an identity; ``started`` is called with the port."""
    open_: set[Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(service, latency, open_),
        "127.0.0.1",
        0,
        backlog=512,
        ssl=identity.server() if identity else None,
    )
    started(server.sockets[0].getsockname()[1])
    await stopped.wait()
    server.close()
    for connection in list(open_):
        connection.transport.abort()
    while open_:
        await asyncio.sleep(0)
    await server.wait_closed()
