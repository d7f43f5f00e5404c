"""A loopback S3 server that lists a formula store, as fast or as badly as it is told to.

It answers ListObjectsV2, GET and HEAD, which is all that an anonymous reader asks; and lists in the
JSON of Google Cloud Storage, too. It listens on
127.0.0.1 only and serves nothing but what is computed::

    with serve(store, latency=0.05, faults=[Fault("503", first=3)]) as server:
        s3 = S3Store(server.bucket, **server.store_kwargs())
        ...
        print(server.counts()["LIST"])
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import http.client
import itertools
import json
import os
import pickle
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

import numpy as np

from instruments.synthetic.faults import BEFORE_ANSWER, INSIDE_BODY, Fault
from instruments.synthetic.formula import FormulaStore, Run
from instruments.synthetic.rules import HashedSizes

BUCKET = "formula"

_ROOT = Path(__file__).parents[2]
_CONTROL = "/-/"
_REASONS = {
    200: "OK",
    206: "Partial Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    416: "Range Not Satisfiable",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_CODES = {
    403: ("AccessDenied", "Access Denied"),
    404: ("NoSuchKey", "The specified key does not exist."),
    408: ("RequestTimeout", "Your socket connection was not read from in time."),
    429: ("TooManyRequests", "Too many requests."),
    500: ("InternalError", "We encountered an internal error. Please try again."),
    501: ("NotImplemented", "A header or parameter implies what is not implemented."),
    503: ("SlowDown", "Please reduce your request rate."),
}
_JSON_HEAD = "Content-Type: application/json\r\n"
_LAST_MODIFIED_HTTP = "Tue, 02 Jan 2024 03:04:05 GMT"
_HEAD = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
)
_BETWEEN = (
    f"</Key><LastModified>{FormulaStore.last_modified}</LastModified>"
    f"<ETag>{escape(FormulaStore.e_tag, {chr(34): '&quot;'})}</ETag><Size>"
).encode()
_AFTER = b"</Size></Contents>"
#: The same in JSON: what begins an object, what is between its name and size, and what ends it.
_JSON_BETWEEN = f'","updated":"{FormulaStore.last_modified}","size":"'.encode()
_JSON_AFTER = b'"}'
_JSON_PATH = re.compile(r"/storage/v1/b/([^/]+)/o")


@dataclass
class _Request:
    method: str
    bucket: str
    key: str
    query: dict[str, str]
    range: str
    fault: Fault | None = None
    json: bool = False

    @property
    def kind(self) -> str:
        """LIST, GET, HEAD, or the method itself."""
        if self.method == "GET" and not self.key and self.query.get("list-type") == "2":
            return "LIST"
        return self.method


@dataclass
class _Answer:
    status: int
    body: bytes
    head: str = "Content-Type: application/xml\r\n"


def _error(status: int, code: str = "", message: str = "") -> _Answer:
    code, message = (code, message) if code else _CODES[status]
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message>"
        "<RequestId>0</RequestId></Error>"
    )
    return _Answer(status, text.encode())


class _Service:
    """Answers requests and counts them; knows nothing of connections."""

    def __init__(self, store: FormulaStore, page: int, faults: Iterable[Fault], keep: int) -> None:
        self.store = store
        self.page = page
        self.faults = tuple(faults)
        self.keep = keep
        self.in_flight = 0
        self._spelled: dict[HashedSizes, np.ndarray] = {}
        self._spans: dict[str, tuple[int, int]] = {}
        self.reset()

    def reset(self) -> None:
        """Count from zero, and from the first request of every fault."""
        self.seen = [0] * len(self.faults)
        self.requests = dict.fromkeys(("LIST", "GET", "HEAD"), 0)
        self.befallen: collections.Counter[str] = collections.Counter()
        self.bytes = self.keys = 0
        self.max_in_flight = self.in_flight
        self.lists: collections.deque[dict[str, Any]] = collections.deque(maxlen=self.keep)

    def counts(self) -> dict[str, Any]:
        """Return everything counted since the last reset."""
        return {
            **self.requests,
            "bytes": self.bytes,
            "keys": self.keys,
            "max_in_flight": self.max_in_flight,
            "faults": dict(self.befallen),
        }

    def accept(self, request: _Request) -> None:
        """Count a request as it comes in, and decide what befalls it."""
        kind = request.kind
        self.requests[kind] = self.requests.get(kind, 0) + 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        name = request.query.get("prefix", "") if kind == "LIST" else request.key
        token = "continuation-token" in request.query
        after = bool({"start-after", "start-at"} & request.query.keys())
        for place, fault in enumerate(self.faults):
            if fault.concerns(kind, name, token, after):
                number, self.seen[place] = self.seen[place], self.seen[place] + 1
                if request.fault is None and fault.befalls(number):
                    request.fault = fault
        if request.fault:
            self.befallen[request.fault.kind] += 1
        if kind == "LIST":
            self.lists.append(
                {
                    "prefix": name,
                    "start_after": request.query.get("start-after")
                    or request.query.get("start-at"),
                    "token": request.query.get("continuation-token"),
                    "delimiter": request.query.get("delimiter"),
                    "max_keys": request.query.get("max-keys"),
                    "fault": request.fault.kind if request.fault else None,
                }
            )

    def answer(self, request: _Request) -> _Answer:
        """Return the answer, with whatever is wrong in its content; to a HEAD without a body."""
        answer = self._answer(request)
        if request.method == "HEAD" and answer.body:
            answer = _Answer(
                answer.status, b"", f"{answer.head}Content-Length: {len(answer.body)}\r\n"
            )
        return answer

    def _answer(self, request: _Request) -> _Answer:
        kind = request.fault.kind if request.fault else ""
        if kind.isdigit():
            return _error(int(kind))
        if request.bucket != BUCKET:
            return _error(404, "NoSuchBucket", "The specified bucket does not exist.")
        if request.kind == "LIST":
            return self._list(request.query, kind, request.json)
        if request.kind in ("GET", "HEAD") and request.key:
            return self._object(request)
        return _error(405, "MethodNotAllowed", "The method is not allowed on this resource.")

    def _object(self, request: _Request) -> _Answer:
        size = self.store.head(request.key)
        if size is None:
            return _error(404)
        common = (
            f"ETag: {self.store.e_tag}\r\nLast-Modified: {_LAST_MODIFIED_HTTP}\r\n"
            "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\n"
        )
        if request.method == "HEAD":
            return _Answer(200, b"", f"{common}Content-Length: {size}\r\n")
        if not request.range:
            return _Answer(200, self.store.get(request.key), common)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.range)
        if not asked or not (asked[1] or asked[2]):
            return _error(400, "InvalidArgument", "The range cannot be read.")
        if asked[1]:
            start, stop = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else size, size)
        else:
            start, stop = max(0, size - int(asked[2])), size
        if start >= stop:
            return _error(416, "InvalidRange", "The requested range is not satisfiable")
        content_range = f"Content-Range: bytes {start}-{stop - 1}/{size}\r\n"
        return _Answer(206, self.store.get(request.key, start, stop), common + content_range)

    def _list(self, query: dict[str, str], fault: str, in_json: bool = False) -> _Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        token = query.get("continuation-token")
        limit = min(int(query.get("max-keys", self.page)), self.page)
        if prefix not in self._spans:
            self._spans[prefix] = self.store.span(prefix)
        first, stop = self._spans[prefix]
        if fault == "error-body":
            return _Answer(200, _error(500).body)
        if fault == "expired-token" or (token and not re.fullmatch(r"\d+(\.(\d+|end)?){2}", token)):
            return _error(400, "InvalidArgument", "The continuation token provided is incorrect")
        if delimiter not in ("", "/"):
            return _error(501)

        runs, commons, follows = self._page(query, fault, (first, stop), limit)
        parts = (
            self._items(runs)
            if in_json
            else self._contents(runs, query.get("encoding-type") == "url")
        )
        if fault == "empty":
            parts, commons = [], []
        elif fault == "drop":
            parts = parts[: len(parts) // 6 * 3]
        elif fault == "reverse":
            triples = [parts[at : at + 3] for at in range(0, len(parts), 3)]
            parts = list(itertools.chain.from_iterable(reversed(triples)))
        keys = len(parts) // 3
        self.keys += keys
        if in_json:
            more = json.dumps(follows) if follows and fault != "no-token" else "null"
            tail = f'],"nextPageToken":{more}}}' if more != "null" else "]}"
            listed = b"".join(parts)[1:]
            return _Answer(200, b'{"items":[' + listed + tail.encode(), _JSON_HEAD)
        head = f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix>"
        head += f"<KeyCount>{keys + len(commons)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
        if fault == "no-token":
            head += "<IsTruncated>true</IsTruncated>"
        elif follows:
            head += "<IsTruncated>true</IsTruncated>"
            head += f"<NextContinuationToken>{follows}</NextContinuationToken>"
        else:
            head += "<IsTruncated>false</IsTruncated>"
        for common in commons:
            text = escape(common.decode())
            parts.append(f"<CommonPrefixes><Prefix>{text}</Prefix></CommonPrefixes>".encode())
        parts.append(b"</ListBucketResult>")
        return _Answer(200, _HEAD + head.encode() + b"".join(parts))

    def _page(
        self, query: dict[str, str], fault: str, span: tuple[int, int], limit: int
    ) -> tuple[list[Run], list[bytes], str]:
        """Return a page's keys, its common prefixes, and the token of the page that follows."""
        first, stop = span
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        token = query.get("continuation-token")
        # a token is start.previous.then: where this page starts, where the one before it did,
        # and which slot comes after it if that is not simply the next
        start, previous, then = first, "", ""
        if token:
            at, previous, then = token.split(".")
            start = int(at)
        elif query.get("start-after") and fault != "ignore-start-after":
            start = max(start, self.store.slot_after(query["start-after"]))
        elif query.get("start-at") and fault != "ignore-start-after":
            start = max(start, self.store.span(query["start-at"])[0])
        if fault == "repeat-page" and previous:
            start = int(previous)

        commons: list[bytes] = []
        if delimiter:
            runs, commons, after = self.store.entries(start, stop, prefix, limit)
        else:
            runs, after = self.store.take(start, stop, limit)
        follows = "" if after is None else f"{after}.{start}."
        if then:
            follows = "" if then == "end" else f"{then}.{start}."
        if fault == "swap-pages" and after is not None and not delimiter:
            follows = f"{start}.{after}."
            runs, last = self.store.take(after, stop, limit)
            follows += "end" if last is None else str(last)
        elif fault == "repeat-token":
            follows = token or f"{start}.."
        elif fault in ("short", "empty"):
            follows = ""
        return runs, commons, follows

    def _contents(self, runs: list[Run], url: bool) -> list[bytes]:
        """Return three parts a key: ``<Contents>`` to the key's head, its tail, its size."""
        parts: list[bytes] = []
        for run in runs:
            count = len(run)
            triples: list[bytes] = [b""] * (3 * count)
            if run.array is None or url:
                keys = [(run.prefix + tail).decode() for tail in run.pick(run.table.tails)]
                spell = quote if url else escape
                triples[0::3] = [b"<Contents><Key>"] * count
                triples[1::3] = [spell(key).encode() + _BETWEEN for key in keys]
            else:
                prefix = escape(run.prefix.decode()).encode()
                triples[0::3] = [b"<Contents><Key>" + prefix] * count
                triples[1::3] = run.pick(run.table.closed_with(_BETWEEN))
            triples[2::3] = self._sizes(run)
            parts += triples
        return parts

    def _items(self, runs: list[Run]) -> list[bytes]:
        """Return three parts an object, as `_contents` does, in JSON; each begins with a comma."""
        parts: list[bytes] = []
        for run in runs:
            for tail, size in zip(run.pick(run.table.tails), run.sizes().tolist(), strict=True):
                name = json.dumps((run.prefix + tail).decode())[:-1].encode()
                parts += [b',{"name":', name + _JSON_BETWEEN, b"%d" % size + _JSON_AFTER]
        return parts

    def _sizes(self, run: Run) -> list[bytes]:
        rule = run.array.size_rule if run.array is not None else None
        if not isinstance(rule, HashedSizes):
            return [b"%d" % size + _AFTER for size in run.sizes().tolist()]
        if rule not in self._spelled:
            spelled = [b"%d" % size + _AFTER for size in rule.values.tolist()]
            self._spelled[rule] = np.array(spelled, dtype=object)
        found: list[bytes] = self._spelled[rule][rule.codes(run.numbers())].tolist()
        return found

    def control(self, path: str) -> _Answer:
        """Answer the handle that started the server: uncounted."""
        name = path.removeprefix(_CONTROL)
        if name == "reset":
            self.reset()
        content: Any = list(self.lists) if name == "lists" else self.counts()
        return _Answer(200, json.dumps(content).encode())


def _as_of_s3(query: dict[str, str]) -> dict[str, str]:
    """Return what a listing of Google's asks for, in the words of S3; its start is inclusive."""
    words = {
        "prefix": "prefix",
        "pageToken": "continuation-token",
        "maxResults": "max-keys",
        "startOffset": "start-at",
    }
    return {"list-type": "2"} | {words[key]: query[key] for key in words if key in query}


class _Connection(asyncio.Protocol):
    """One kept-alive connection: a request, its latency, its answer, the next request."""

    def __init__(self, service: _Service, latency: float, open_: set[_Connection]) -> None:
        self.service = service
        self.latency = latency
        self.open = open_
        self.buffer = b""
        self.busy = False
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20
        )
        self.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.discard(self)

    def data_received(self, data: bytes) -> None:
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
        if path.startswith(_CONTROL):
            self._write(self.service.control(path))
            return
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        ranged = re.search(r"\r\nrange:[ \t]*([^\r]*)", head, re.IGNORECASE)
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        google = _JSON_PATH.fullmatch(path)
        if google:
            bucket, key, parameters = unquote(google[1]), "", _as_of_s3(parameters)
        request = _Request(
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

    def _answer(self, request: _Request) -> None:
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

    def _write(self, answer: _Answer, part: int | None = None) -> None:
        length = (
            "" if "Content-Length" in answer.head else f"Content-Length: {len(answer.body)}\r\n"
        )
        head = f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\n{answer.head}{length}\r\n"
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


async def _run(service: _Service, latency: float, started: Any, stopped: asyncio.Event) -> None:
    """Serve until ``stopped``; ``started`` is called with the port."""
    open_: set[_Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(service, latency, open_), "127.0.0.1", 0, backlog=512
    )
    started(server.sockets[0].getsockname()[1])
    await stopped.wait()
    server.close()
    for connection in list(open_):
        connection.transport.abort()
    while open_:
        await asyncio.sleep(0)
    await server.wait_closed()


def main() -> None:
    """Serve what standard input describes until it ends, the port printed on standard output.

    It ends with the process that holds its other end, so no server outlives what started it.
    """
    options = pickle.load(sys.stdin.buffer)
    service = _Service(options["store"], options["page"], options["faults"], options["keep"])

    async def until_input_ends() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopped.set)
        await _run(service, options["latency"], lambda port: print(port, flush=True), stopped)

    asyncio.run(until_input_ends())


class Server:
    """A running server: where it is, what it has counted."""

    bucket = BUCKET

    def __init__(self, port: int, pid: int) -> None:
        """Name a server that listens on ``port`` in process ``pid``."""
        self.port = port
        self.pid = pid

    @property
    def endpoint(self) -> str:
        """The server's URL, without bucket or trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def store_kwargs(self) -> dict[str, Any]:
        """Return the keywords with which ``obstore.store.S3Store(bucket, **kwargs)`` reads it."""
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "skip_signature": True,
            "client_options": {"allow_http": True},
        }

    def counts(self) -> dict[str, Any]:
        """Return LIST, GET, HEAD, bytes, keys, max_in_flight and faults (by kind).

        Requests are counted as they come in, failed ones and a client's retries too; ``bytes``
        are those of bodies; ``max_in_flight`` overlaps only under latency, as answers take turns.
        """
        counts: dict[str, Any] = self._control("counts")
        return counts

    def lists(self) -> list[dict[str, Any]]:
        """Return the parameters of the last LIST requests, and what befell them."""
        lists: list[dict[str, Any]] = self._control("lists")
        return lists

    def reset(self) -> None:
        """Count from zero; faults count their requests from zero again too."""
        self._control("reset")

    def _control(self, name: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", _CONTROL + name)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextlib.contextmanager
def serve(
    store: FormulaStore,
    *,
    latency: float = 0.0,
    page: int = 1000,
    faults: Iterable[Fault] = (),
    keep: int = 10_000,
    process: bool = True,
) -> Iterator[Server]:
    """Serve ``store`` on a free port of 127.0.0.1 for as long as the context lasts.

    Every request is answered ``latency`` seconds after it came, whatever else is in flight; a
    page has at most ``page`` keys; the parameters of the last ``keep`` LIST requests are kept.
    A process of its own shares no interpreter lock with the client: measure with it.
    ``process=False`` serves from a thread, which starts at once and takes lambdas as rules.
    """
    if process:
        options = {
            "store": store,
            "latency": latency,
            "page": page,
            "faults": tuple(faults),
            "keep": keep,
        }
        with _process(options) as server:
            yield server
    else:
        with _thread(_Service(store, page, faults, keep), latency) as server:
            yield server


@contextlib.contextmanager
def _process(options: dict[str, Any]) -> Iterator[Server]:
    paths = [str(_ROOT), str(_ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    child = subprocess.Popen(
        [sys.executable, "-c", "from instruments.synthetic.server import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(pickle.dumps(options))
        child.stdin.flush()
        port = child.stdout.readline()
        if not port:
            raise RuntimeError("the synthetic server did not start; its own message is above")
        yield Server(int(port), child.pid)
    finally:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


@contextlib.contextmanager
def _thread(service: _Service, latency: float) -> Iterator[Server]:
    ports: list[int] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    def started(port: int) -> None:
        ports.append(port)
        ready.set()

    def run() -> None:
        try:
            loop.run_until_complete(_run(service, latency, started, stopped))
        finally:
            loop.close()
            ready.set()

    thread = threading.Thread(target=run, name="synthetic-server", daemon=True)
    thread.start()
    try:
        ready.wait()
        if not ports:
            raise RuntimeError("the synthetic server did not start; its own message is above")
        yield Server(ports[0], os.getpid())
    finally:
        if ports:
            loop.call_soon_threadsafe(stopped.set)
        thread.join()
