"""A server that gives credentials for tokens of web identities, as AWS's does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from instruments.tls import Identity
from tests.listing.signed_bucket import KEY, SECRET, SESSION
from tests.loopback import serving

_GIVEN = f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{KEY}</AccessKeyId>
<SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{SESSION}</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
_REFUSED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>No provider.</Message></Error>
</ErrorResponse>"""


@dataclass
class TokenService:
    """The server: where it is, what it was asked, and whether it refuses."""

    endpoint: str
    asked: list[dict[str, str]] = field(default_factory=list)
    refuses: bool = False


@contextmanager
def token_service(identity: Identity) -> Iterator[TokenService]:
    """Serve AssumeRoleWithWebIdentity by TLS, without which nobody would ask."""
    made = TokenService("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            made.asked.append(dict(parse_qsl(urlsplit(self.path).query) + parse_qsl(body)))
            answer = (_REFUSED if made.refuses else _GIVEN).encode()
            self.send_response(400 if made.refuses else 200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None: ...

    with serving(Handler, identity) as made.endpoint:
        yield made
