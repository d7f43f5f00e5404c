"""A loopback server of one folder that speaks as S3, Google Cloud Storage and Azure do.

It writes down every request whole, so that a test can look for what must not be in one.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

#: Signs of credentials in a request, whoever they are from.
SIGNS = ("authorization", "x-amz-security-token", "encryption-key", "customer-key")


@dataclass
class Recorder:
    """What was asked: method, path and headers of each request, as one lower-case text."""

    endpoint: str
    requests: list[str] = field(default_factory=list)
    #: Requests without credentials are refused.
    closed: bool = False
    #: What is done with If-Match and If-None-Match: "honour", "ignore", or "refuse" with a 501.
    conditions: str = "honour"
    #: Writes that are done, but whose answer never comes: how many, of paths that end so.
    unanswered: int = 0
    unanswered_at: str = ""
    #: When all objects were modified, in seconds.
    modified: float = 1_700_000_000
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


@contextlib.contextmanager
def recorder(folder: Path) -> Iterator[Recorder]:
    """Serve ``folder``, whose top folders are buckets, on 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = "".join(f"\n{name}: {value}" for name, value in self.headers.items())
            text = f"{self.command} {self.path}{headers}".lower()
            record.requests.append(text)
            if record.closed and not ("\nauthorization" in text or "sig=" in self.path):
                self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
                return
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            path = unquote(url.path).removeprefix("/devstoreaccount1").strip("/")
            if "list-type" in query or query.get("comp") == "list":
                self.answer(200, listing(folder / path, query))
                return
            with lock:  # an object is there whole or not at all
                found = (folder / path).read_bytes() if (folder / path).is_file() else None
            if found is not None:
                self.answer(200, found)
            else:
                self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            copied = self.headers.get("x-amz-copy-source")
            if copied:
                body = (folder / unquote(copied).strip("/")).read_bytes()
            file = folder / unquote(urlsplit(self.path).path).strip("/")
            match, none = self.headers.get("if-match"), self.headers.get("if-none-match")
            if record.meeting is not None and "/manifests/" in self.path:
                record.meeting.wait()
            with lock:
                there = tag(file.read_bytes()) if file.is_file() else None
                if (match or none) and record.conditions == "refuse":
                    self.answer(501, b"<Error><Code>NotImplemented</Code></Error>")
                    return
                # Icechunk asks without quotes, as S3 lets one.
                same = there is not None and (match or "").strip('"') == there.strip('"')
                failed = (match and not same) or (none and there is not None)
                if failed and record.conditions == "honour":
                    self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                    return
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(body)
                lost = record.unanswered > 0 and self.path.endswith(record.unanswered_at)
                record.unanswered -= lost
            if lost:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                said = f"<CopyObjectResult><ETag>{tag(body)}</ETag></CopyObjectResult>".encode()
                self.answer(200, said if copied else b"", tag(body))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
            bucket = folder / urlsplit(self.path).path.strip("/")
            keys = re.findall("<Key>(.*?)</Key>", body)
            for key in keys:
                (bucket / key).unlink(missing_ok=True)
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            self.answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

        def do_DELETE(self) -> None:
            (folder / unquote(urlsplit(self.path).path).strip("/")).unlink(missing_ok=True)
            self.answer(204, b"")

        do_HEAD = do_GET  # noqa: N815 (the name is http.server's)

        def answer(self, status: int, body: bytes, etag: str = "") -> None:
            wanted = self.headers.get("range") or self.headers.get("x-ms-range")
            size, etag = len(body), etag or tag(body)
            if wanted and status == 200 and size:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                stop = min(int(last) + 1 if last else size, size)
                body, status = body[int(first) : stop], 206
            self.send_response(status)
            if status == 206:
                self.send_header("content-range", f"bytes {first}-{stop - 1}/{size}")
            self.send_header("content-length", str(len(body)))
            self.send_header("last-modified", formatdate(record.modified, usegmt=True))
            self.send_header("etag", etag)
            self.send_header("x-ms-blob-type", "BlockBlob")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    lock = threading.Lock()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    record = Recorder(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield record
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tag(data: bytes) -> str:
    """Return an object's entity tag."""
    return f'"{hashlib.md5(data).hexdigest()}"'


def listing(bucket: Path, query: dict[str, str]) -> bytes:
    """Return one page with everything that a list request asks for, of S3 or of Azure."""
    prefix, after = query.get("prefix", ""), query.get("start-after", "")
    found, common = [], set()
    for path in sorted(p.relative_to(bucket).as_posix() for p in bucket.rglob("*") if p.is_file()):
        if not path.startswith(prefix) or path <= after:
            continue
        head, slash, _ = path[len(prefix) :].partition("/")
        if slash and query.get("delimiter"):
            common.add(f"{prefix}{head}/")
        else:
            found.append((path, (bucket / path).stat().st_size))
    if "comp" in query:
        blobs = "".join(
            f"<Blob><Name>{escape(path)}</Name><Properties>"
            f"<Last-Modified>{formatdate(1_700_000_000, usegmt=True)}</Last-Modified>"
            f"<Content-Length>{size}</Content-Length><Content-Type>x</Content-Type><Etag>1</Etag>"
            "</Properties></Blob>"
            for path, size in found
        )
        blobs += "".join(f"<BlobPrefix><Name>{escape(p)}</Name></BlobPrefix>" for p in common)
        return f"<EnumerationResults><Blobs>{blobs}</Blobs></EnumerationResults>".encode()
    contents = "".join(
        f"<Contents><Key>{escape(path)}</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified>"
        f'<ETag>"1"</ETag><Size>{size}</Size></Contents>'
        for path, size in found
    )
    contents += "".join(
        f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in sorted(common)
    )
    return f"<ListBucketResult>{contents}</ListBucketResult>".encode()
