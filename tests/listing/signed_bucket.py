"""A server that believes no signature without computing it."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, quote

from instruments.tls import Identity
from obstore.store import S3Store
from tests.loopback import serving

#: What tokens begin with: all that AWS's are made of, and URLs have to be told about.
TOKEN = "1ueGcx/+Jyc8Y=="
KEY, SECRET, SESSION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE", "Ses/sion+Token=="


@dataclass
class SignedBucket:
    """A server that believes no signature without computing it, and whom it was asked by."""

    endpoint: str
    keys: list[str]
    seen: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    connections: int = 0

    def store(self, **options: Any) -> S3Store:
        return S3Store(
            "b",
            **{"endpoint": self.endpoint, "region": "eu-west-9"} | options,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )


@contextmanager
def signed_bucket(
    kind: str = "anonymous",
    keys: list[str] | None = None,
    identity: Identity | None = None,
    host: str = "127.0.0.1",
) -> Iterator[SignedBucket]:
    """Serve a bucket whose pages have one key each, to who may see them; by TLS with an identity.

    It answers in pieces whose number it does not say before, as AWS does.
    """
    made = SignedBucket("", keys or ["k/1", "k/2"])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            made.connections += 1
            super().setup()

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            path, _, query = self.path.partition("?")
            made.seen.append(headers)
            made.paths.append(path)
            token = dict(parse_qsl(query)).get("continuation-token", "")
            at = int(token.removeprefix(TOKEN) or 0)
            status, body = 200, page(made.keys, at)
            if not believed(kind, path, query, headers):
                status = 403
                body = b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
            self.send_response(status)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (body[:100], body[100:]):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"")
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: Any) -> None: ...

    with serving(Handler, identity, host) as made.endpoint:
        yield made


def page(keys: list[str], at: int) -> bytes:
    more = at + 1 < len(keys)
    token = f"<NextContinuationToken>{TOKEN}{at + 1}</NextContinuationToken>" if more else ""
    return (
        f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
        f"<Contents><Key>{keys[at]}</Key><LastModified>2024-01-02T03:04:05.678Z</LastModified>"
        "<Size>1</Size></Contents></ListBucketResult>"
    ).encode()


def believed(kind: str, path: str, query: str, headers: dict[str, str]) -> bool:
    """Compute a signature as AWS documents it (Signature Version 4), from what came."""
    if kind == "anonymous":
        return "authorization" not in headers
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/(eu-west-9)/(s3)/aws4_request, ?"
        r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
        headers.get("authorization", ""),
    )
    if found is None or found[1] != KEY:
        return False
    if kind == "session token" and headers.get("x-amz-security-token") != SESSION:
        return False
    _, day, region, service, signed, signature = found.groups()
    needed = {"host", *(name for name in headers if name.startswith("x-amz-"))}
    if not needed <= set(signed.split(";")):
        return False
    pairs = sorted(
        (quote(key, safe="~"), quote(value, safe="~"))
        for key, value in parse_qsl(query, keep_blank_values=True)
    )
    canonical = "\n".join(
        [
            "GET",
            path,
            "&".join(f"{key}={value}" for key, value in pairs),
            *(f"{name}:{' '.join(headers[name].split())}" for name in signed.split(";")),
            "",
            signed,
            headers["x-amz-content-sha256"],
        ]
    )
    text = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            headers["x-amz-date"],
            f"{day}/{region}/{service}/aws4_request",
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    key = f"AWS4{SECRET}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.new(key, text.encode(), "sha256").hexdigest(), signature)
