"""A loopback server of one folder that speaks as S3, Google Cloud Storage and Azure do.

It writes down every request whole, so that a test can look for what must not be in one.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from instruments.recorded_pages import listing, modified_of, tag

#: Store options by which each cloud's clients come to a server at an endpoint.
CLOUDS: dict[str, Callable[[str], dict[str, str]]] = {
    "s3": lambda at: {"endpoint": at, "region": "us-east-1", "skip_signature": "true"},
    # Writes to Google are never without credentials: these are of no account, and sent empty.
    "gs": lambda at: {
        "base_url": at,
        "service_account_key": json.dumps(
            {"gcs_base_url": at, "disable_oauth": True}
            | dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
        ),
    },
    "az": lambda at: {
        "account_name": "devstoreaccount1",
        "endpoint": f"{at}/devstoreaccount1",
        "skip_signature": "true",
    },
}
#: Headers that name what is copied.
COPY_SOURCES = ("x-amz-copy-source", "x-goog-copy-source", "x-ms-copy-source")
#: Signs of credentials in a request, whoever they are from.
SIGNS = ("authorization", "x-amz-security-token", "encryption-key", "customer-key")


@dataclass(frozen=True)
class Fate:
    """What becomes of a request: whether it is done, and answered, or by a ``status`` instead.

    ``then`` is called before the client can know.
    """

    done: bool = True
    answered: bool = True
    status: int = 0
    then: Callable[[], None] | None = None


@dataclass
class Recorder:
    """What was asked: method, path and headers of each request, as one lower-case text."""

    endpoint: str
    requests: list[str] = field(default_factory=list)
    #: Requests without credentials are refused.
    closed: bool = False
    #: What is done with If-Match and the like: "honour", "ignore", or "refuse" with a 501.
    conditions: str = "honour"
    #: Writes that are done, but whose answer never comes: how many, of paths that end so.
    unanswered: int = 0
    unanswered_at: str = ""
    #: When all objects were modified, in seconds; None: when their files were.
    modified: float | None = 1_700_000_000
    #: What becomes of each request, by its method and path, if not what it asks for.
    fate: Callable[[str, str], Fate | None] = lambda *_: None
    #: Is told of each object that was written or deleted, before anything else happens.
    changed: Callable[[str], None] = lambda _: None
    #: Keys on a page of a listing.
    page: int = 1000
    #: How often each object was written, which is its generation on Google.
    generations: dict[Path, int] = field(default_factory=dict)
    #: Where it is given, writes of Icechunk's manifests wait there for each other.
    meeting: threading.Barrier | None = None

    def signed(self) -> list[str]:
        """Return the requests that carry credentials."""
        return [
            text
            for text in self.requests
            if any(f"\n{sign}" in text or f"-{sign}" in text for sign in SIGNS)
            or "sig=" in text.partition("\n")[0]
        ]


class _Server(ThreadingHTTPServer):
    """Serves ``folder``, which is looked at and changed under ``lock``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.lock = threading.Lock()
        self.record = Recorder(f"http://127.0.0.1:{self.server_port}")

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that were killed."""


class _Handler(BaseHTTPRequestHandler):
    """Answers requests as the clouds do, by whose headers they come with."""

    server: _Server
    protocol_version = "HTTP/1.1"
    # A body is sent behind its head, and would wait for that to be acknowledged.
    disable_nagle_algorithm = True

    @property
    def folder(self) -> Path:
        return self.server.folder

    @property
    def record(self) -> Recorder:
        return self.server.record

    def parse_request(self) -> bool:
        self.fate = Fate()
        if not super().parse_request():
            return False
        self.fate = self.record.fate(self.command, self.path) or Fate()
        if self.fate.done and not self.fate.status:
            return True
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.answer(self.fate.status or 503, b"<Error><Code>Refused</Code></Error>")
        return False

    def do_GET(self) -> None:
        headers = "".join(f"\n{name}: {value}" for name, value in self.headers.items())
        text = f"{self.command} {self.path}{headers}".lower()
        self.record.requests.append(text)
        if self.record.closed and not ("\nauthorization" in text or "sig=" in self.path):
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
            return
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = place(url.path)
        if "list-type" in query or query.get("comp") == "list":
            with self.server.lock:
                page = listing(self.folder / path, query, self.record.page, self.record.modified)
            self.answer(200, page)
            return
        file = self.folder / path
        with self.server.lock:  # an object is there whole or not at all
            found = file.read_bytes() if file.is_file() else None
            modified = modified_of(file, self.record.modified) if found is not None else 0.0
        if found is not None:
            self.answer(200, found, modified=modified, file=file)
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        copied = next(filter(None, map(self.headers.get, COPY_SOURCES)), None)
        if copied:
            copy = self.folder / place(urlsplit(copied).path)
            if not copy.is_file():
                self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                return
            body = copy.read_bytes()
        file = self.folder / place(urlsplit(self.path).path)
        if self.record.meeting is not None and "/manifests/" in self.path:
            self.record.meeting.wait()
        with self.server.lock:
            refused = self.refused(file)
            if refused is not None:
                self.answer(*refused)
                return
            self.write(file, body)
            lost = self.record.unanswered > 0 and self.path.endswith(self.record.unanswered_at)
            self.record.unanswered -= lost
        if lost:
            self.hang_up()
        else:
            said = f"<CopyObjectResult><ETag>{tag(body)}</ETag></CopyObjectResult>".encode()
            # Azure answers what is accepted or created, with nothing.
            azure = "x-ms-version" in self.headers
            status = (202 if copied else 201) if azure else 200
            self.answer(status, said if copied and not azure else b"", tag(body), file=file)

    def refused(self, file: Path) -> tuple[int, bytes] | None:
        """Return the answer to a write whose condition is refused, or does not hold of a file."""
        match, none = self.headers.get("if-match"), self.headers.get("if-none-match")
        there = tag(file.read_bytes()) if file.is_file() else None
        generation = self.headers.get("x-goog-if-generation-match")
        if generation is not None:  # of none it is 0
            match, none = None, None if generation == str(self.generation(file)) else "*"
            there = there or "none"
        if (match or none) and self.record.conditions == "refuse":
            return 501, b"<Error><Code>NotImplemented</Code></Error>"
        # Icechunk asks without quotes, as S3 lets one.
        same = there is not None and (match or "").strip('"') == there.strip('"')
        failed = (match and not same) or (none and there is not None)
        if failed and self.record.conditions == "honour":
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>"
        return None

    def write(self, file: Path, body: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = self.folder / f".{threading.get_ident()}"  # who looks at the folder sees all
        whole.write_bytes(body)
        whole.replace(file)
        self.record.generations[file] = self.record.generations.get(file, 0) + 1
        self.record.changed(file.relative_to(self.folder).as_posix())

    def hang_up(self) -> None:
        """End the connection without an answer."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
        if "comp=batch" in self.path:
            self.answer(202, self.batch(body), kind="multipart/mixed; boundary=answers")
            return
        bucket = self.folder / urlsplit(self.path).path.strip("/")
        keys = re.findall("<Key>(.*?)</Key>", body)
        for key in keys:
            self.remove(bucket / html.unescape(key))
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self.answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

    def batch(self, body: str) -> bytes:
        """Do the deletions that Azure is asked for in one request; return its answers."""
        found = ""
        for number, path in enumerate(re.findall(r"^DELETE (\S+) HTTP", body, re.MULTILINE)):
            file = self.folder / place(urlsplit(path).path)
            status = "202 Accepted" if file.is_file() else "404 Not Found"
            self.remove(file)
            head = f"Content-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
            found += f"--answers\r\n{head}HTTP/1.1 {status}\r\nx-ms-version: 1\r\n\r\n"
        return f"{found}--answers--\r\n".encode()

    def do_DELETE(self) -> None:
        self.remove(self.folder / place(urlsplit(self.path).path))
        self.answer(202 if "x-ms-version" in self.headers else 204, b"")

    def remove(self, file: Path) -> None:
        with self.server.lock:
            file.unlink(missing_ok=True)
            self.record.changed(file.relative_to(self.folder).as_posix())

    def generation(self, file: Path) -> int:
        return self.record.generations.get(file, 1) if file.is_file() else 0

    do_HEAD = do_GET  # noqa: N815 (the name is http.server's)

    def answer(
        self,
        status: int,
        body: bytes,
        etag: str = "",
        modified: float | None = None,
        file: Path | None = None,
        kind: str = "",
    ) -> None:
        if self.fate.then is not None:
            self.fate.then()
        if not self.fate.answered:
            self.hang_up()
            return
        if modified is None:
            modified = time.time() if self.record.modified is None else self.record.modified
        wanted = self.headers.get("range") or self.headers.get("x-ms-range")
        size, etag = len(body), etag or tag(body)
        if wanted and status == 200 and size:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            if not first:
                first, last = str(max(size - int(last), 0)), ""
            stop = min(int(last) + 1 if last else size, size)
            body, status = body[int(first) : stop], 206
        self.send_response(status)
        if status == 206:
            self.send_header("content-range", f"bytes {first}-{stop - 1}/{size}")
        self.send_header("content-length", str(len(body)))
        self.send_header("last-modified", formatdate(modified, usegmt=True))
        self.send_header("etag", etag)
        self.send_header("x-ms-blob-type", "BlockBlob")
        if kind:
            self.send_header("content-type", kind)
        if file is not None:
            self.send_header("x-goog-generation", str(self.generation(file)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def recorder(folder: Path) -> Iterator[Recorder]:
    """Serve ``folder``, whose top folders are buckets, on 127.0.0.1."""
    server = _Server(folder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.record
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def place(path: str) -> str:
    """Return where the object of a request's path is; Azure's emulator has an account first."""
    return unquote(path).removeprefix("/devstoreaccount1").strip("/")
