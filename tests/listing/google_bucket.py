"""A bucket of Google's that answers in both of its dialects, and who gives the tokens for it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl

from instruments.tls import Identity
from obstore.store import GCSStore
from tests.listing.signed_bucket import TOKEN, page
from tests.loopback import serving

KEYS = ["k/1", "k/2", "k/3"]
EMAIL, KEY_ID = "reader@project.iam.gserviceaccount.com", "the-key-id"
REFRESH, CLIENT_SECRET = "1//the-refresh-token", "the-client-secret"


@dataclass
class Google:
    """What its servers share: tokens that are believed, and what they were asked."""

    #: Where the bucket is, and, without a scheme, who gives tokens.
    bucket: str = ""
    giver: str = ""
    #: Tokens that are believed, or None for a bucket that is open to nobody who shows one.
    believed: set[str] | None = field(default_factory=set)
    #: Whose signature is believed, too.
    public_key: Any = None
    #: Seconds that tokens last, and with which status instead none is given.
    lasts: float = 3600
    refuses: int = 0
    issued: list[dict[str, str]] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)

    def store(self, **options: Any) -> GCSStore:
        client = {"allow_http": True} | options.pop("client_options", {})
        return GCSStore(
            "b",
            base_url=self.bucket,
            **options,
            client_options=client,
            retry_config={"max_retries": 0},
        )

    def issue(self, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Answer who asks for a token; whatever was believed before is not any more."""
        self.issued.append(asked)
        if self.refuses:
            said = f"of {asked.get('client_secret')}\nand of {asked.get('refresh_token')}"
            return self.refuses, {"error": "invalid_grant", "error_description": said}
        token = f"ya29.token-{len(self.issued)}"
        self.believed = {token}
        return 200, {"access_token": token, "expires_in": self.lasts, "token_type": "Bearer"}

    def believes(self, authorization: str | None) -> bool:
        if self.believed is None or authorization is None:
            return self.believed is None and authorization is None
        token = authorization.removeprefix("Bearer ")
        return token in self.believed or (self.public_key is not None and self._is_signed(token))

    def _is_signed(self, token: str) -> bool:
        """Verify a token that a service account signed itself, as Google documents it."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        head, claims, signature = (base64.urlsafe_b64decode(f"{p}==") for p in token.split("."))
        try:
            signed = token.rpartition(".")[0].encode()
            self.public_key.verify(signature, signed, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        said = json.loads(claims)
        assert json.loads(head) == {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        assert said["exp"] - said["iat"] == 3600
        assert said["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        return said["iss"] == said["sub"] == EMAIL and said["iat"] - 60 < time.time() < said["exp"]


@contextmanager
def google(identity: Identity | None = None, giver: Identity | None = None) -> Iterator[Google]:
    """Serve a bucket, and what gives tokens for it; each by TLS with an identity.

    The second is a metadata server, and the service that the tokens of users come from.
    """
    made = Google()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, text = self.path.partition("?")
            query = dict(parse_qsl(text))
            if path.startswith("/computeMetadata/"):
                assert path.endswith("/v1/instance/service-accounts/default/token")
                assert self.headers["Metadata-Flavor"] == "Google"
                return self.say(*made.issue({}))
            made.seen.append({name.lower(): value for name, value in self.headers.items()})
            made.queries.append(query)
            if not made.believes(self.headers["Authorization"]):
                said = {"error": {"code": 401, "errors": [{"reason": "authError"}]}}
                return self.say(401, said)
            if path == "/b":
                return self.say(200, page(KEYS, _at(query.get("continuation-token"))))
            assert path == "/storage/v1/b/b/o"
            return self.say(200, _json_page(_at(query.get("pageToken"))))

        def do_POST(self) -> None:
            assert self.path == "/token"
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.say(*made.issue(dict(parse_qsl(body))))

        def say(self, status: int, said: bytes | dict[str, Any]) -> None:
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with serving(Handler, identity) as made.bucket, serving(Handler, giver) as endpoint:
        made.giver = endpoint.partition("://")[2]
        yield made


def _at(token: str | None) -> int:
    return int((token or "").removeprefix(TOKEN) or 0)


def _json_page(at: int) -> dict[str, Any]:
    item = {"name": KEYS[at], "size": "1", "updated": "2024-01-02T03:04:05.678Z"}
    more = {"nextPageToken": f"{TOKEN}{at + 1}"} if at + 1 < len(KEYS) else {}
    return {"items": [item], **more}
