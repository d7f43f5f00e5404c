"""Servers reached by TLS: whom both ways of listing believe, and what they say of others."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from instruments.tls import Identity, make_identity
from obstore.store import S3Store
from tests.listing.signed_bucket import signed_bucket
from tests.loopback import serving

import parchunk
from parchunk.cli.main import run
from parchunk.listing.choosing import choose, pages_of
from parchunk.listing.pages import PageError, Spent
from parchunk.listing.wire.server import Limits, Origin, hang_up, server_at
from parchunk.stores.throttle import Throttle

NEVER = threading.Event()
STORE = zarr_store([("v", (3,), (1,), ("time",))])
HERE = ["obstore", "wire"]


def listed(source: parchunk.Source) -> int:
    pages = pages_of(source, 1000, 60, NEVER).pages("v", None, Spent())
    return sum(len(page.paths) for page in pages)


def source_of(server: Any, way: str) -> parchunk.Source:
    options = server.store_kwargs() | {"retry_config": {"max_retries": 0}}
    return parchunk.Source(S3Store(server.bucket, **options), "", "s3://formula", listing=way)


@pytest.mark.parametrize("way", HERE)
@pytest.mark.parametrize("wrong", ["authority", "name", "time"])
def test_who_is_not_vouched_for_is_not_asked(
    way: str, wrong: str, certificate: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "elsewhere.example" if wrong == "name" else "127.0.0.1"
    until = datetime(2002, 1, 1, tzinfo=UTC) if wrong == "time" else None
    identity = make_identity(tmp_path, name, until)
    believed = certificate if wrong == "authority" else identity
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(believed.authority))
    begun = serve(STORE, process=False, identity=identity)
    with begun as server, pytest.raises(PageError) as refused:
        listed(source_of(server, way))
    assert refused.value.final
    assert refused.value.reason.startswith("the certificate of the store is not believed (")
    assert refused.value.reason.endswith("name the file of its authority in SSL_CERT_FILE")
    assert "\n" not in refused.value.reason


@pytest.mark.parametrize("way", HERE)
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_both_variables_name_whom_to_believe(
    way: str, variable: str, certificate: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = certificate.authority
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(named if variable == "SSL_CERT_FILE" else named.parent))
    with serve(STORE, process=False, identity=certificate) as server:
        assert listed(source_of(server, way)) == 5


def test_whom_only_obstore_can_ask_is_left_to_it(
    certificate: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen() -> str:
        store = S3Store("b", endpoint="https://127.0.0.1:1", skip_signature=True)
        return str(choose(parchunk.Source(store, "", "s3://b")))

    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    nothing = ssl.get_default_verify_paths()._replace(cafile=None, capath=str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
        assert chosen() == "obstore (Python finds no certificates of the system)"
        patch.setenv("SSL_CERT_FILE", str(certificate.authority))
        assert chosen() == "wire (S3 endpoint with TLS, anonymous)"
    monkeypatch.setattr("sys.platform", "darwin")
    assert chosen() == "obstore (whom TLS believes on this system is obstore's to ask)"


def test_what_was_named_as_the_store_was_opened_counts(
    certificate: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    with serve(STORE, process=False, identity=certificate) as server:
        source = source_of(server, "auto")
        monkeypatch.setenv("SSL_CERT_FILE", str(make_identity(tmp_path).authority))
        assert str(choose(source)).startswith("obstore (the environment has changed since")
        assert listed(source) == 5


def test_connections_are_kept(identity: Identity | None) -> None:
    with signed_bucket(keys=[f"v/{number}" for number in range(5)], identity=identity) as bucket:
        store = bucket.store(skip_signature=True)
        assert listed(parchunk.Source(store, "", "s3://b", listing="wire")) == 5
        assert (len(bucket.paths), bucket.connections) == (5, 1)


def test_what_comes_behind_an_answer_is_not_the_next_one(identity: Identity | None) -> None:
    """Of a record of TLS that is read in part, no socket says that there is more."""
    body = b"x" * 20_000

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
            self.wfile.write(head % len(body) + body + head % 3 + b"odd")

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # hung up on
                super().handle()

        def log_message(self, *_: object) -> None: ...

    authorities = (str(identity.authority),) if identity else ()
    with serving(Handler, identity) as endpoint:
        port = int(endpoint.rpartition(":")[2])
        origin = Origin(identity is not None, "127.0.0.1", port, authorities)
        server = server_at(origin, Limits(retries=0), os.getpid())
        for _ in range(3):
            assert server.get("/", dict, Spent(), NEVER, Throttle()).body == body
        hang_up()


def test_builds_go_over_tls_by_themselves(
    certificate: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    with serve(STORE, process=False, identity=certificate) as server:
        options = {"endpoint": server.endpoint, "skip_signature": "true"}
        result = parchunk.build("s3://formula", str(tmp_path / "r"), store_options=options)
    assert result.listing == "wire (S3 endpoint with TLS, anonymous)"
    assert result.present == 3


def test_the_command_says_it_in_one_line(
    certificate: Identity, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr("parchunk.stores.opening.RETRY", {"max_retries": 0})
    with serve(STORE, process=False, identity=certificate) as server:
        options = ["--store-option", f"endpoint={server.endpoint}"]
        assert run(["plan", "s3://formula", *options, "--store-option", "skip_signature=1"]) == 2
    said = capsys.readouterr().err.strip()
    assert "the certificate of the store is not believed (UnknownIssuer)" in said
    assert "\n" not in said
