"""Servers that are asked off the wire: what is left of them, also to a process that is forked."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store
from tests.loopback import serving

import parchunk
from parchunk.building.pools import Pools
from parchunk.listing.choosing import pages_of
from parchunk.listing.pages import PageError, Spent
from parchunk.listing.wire.connection import Answer
from parchunk.listing.wire.s3 import S3
from parchunk.listing.wire.s3_place import s3_place
from parchunk.listing.wire.server import Limits, Origin, hang_up, server_at
from parchunk.stores.throttle import Throttle

LIMITS = Limits(quiet=2.0, whole=60.0, retries=0)


def asked(origin: Origin) -> str:
    """Return why a server did not answer."""
    with pytest.raises(PageError) as silent:
        server_at(origin, LIMITS, os.getpid()).get(
            "/", dict, Spent(), threading.Event(), Throttle()
        )
    return silent.value.reason


def ask(origin: Origin, told: Connection) -> None:
    told.send(asked(origin))


@contextlib.contextmanager
def redirecting(to: str, region: str) -> Iterator[str]:
    """Serve nothing but where to go; yield the endpoint."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(307)
            self.send_header("Location", to + self.path)
            self.send_header("Content-Length", "0")
            if region:
                self.send_header("x-amz-bucket-region", region)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as endpoint:
        yield endpoint


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ("eu-west-9", "the bucket is in region eu-west-9: give --store-option region=eu-west-9"),
        ("", "the bucket is elsewhere (307): give its endpoint, or --listing obstore, which goes"),
        ("<odd>", "the bucket is elsewhere (307): give its endpoint, or --listing obstore, which"),
    ],
)
@pytest.mark.parametrize("keys", [{}, {"access_key_id": "a", "secret_access_key": "b"}])
def test_redirects_are_not_followed_and_what_to_do_is_said(
    region: str, said: str, keys: dict[str, Any]
) -> None:
    formula = zarr_store([("v", (3,), (1,), ("time",))])
    with serve(formula, process=False) as other, redirecting(other.endpoint, region) as endpoint:
        options = other.store_kwargs() | {"endpoint": endpoint, "skip_signature": not keys} | keys
        source = parchunk.Source(S3Store(other.bucket, **options), "", "s3://formula")
        with pytest.raises(PageError) as refused:
            list(pages_of(source, 1000, 60, threading.Event()).pages("v", None, Spent()))
        assert refused.value.reason.startswith(said)
        assert refused.value.final
        assert other.lists() == []
        if not region:
            left = replace(source, listing="obstore")
            pages = pages_of(left, 1000, 60, threading.Event()).pages("v", None, Spent())
            assert sum(len(page.paths) for page in pages) == 5


def test_signatures_for_another_region_say_which() -> None:
    body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-9</Region></Error>"
    place = s3_place(S3Store("b", skip_signature=True, region="us-east-1"))
    refused = S3(place).refused(Answer(400, "Bad Request", body), "")
    assert refused.final
    assert refused.reason.endswith("is in region eu-west-9: give --store-option region=eu-west-9")


def test_what_the_server_closed_meanwhile_is_no_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = threading.Semaphore(0)

        def answer() -> None:
            for _ in range(3):
                came, _ = server.accept()
                with came:
                    came.recv(10_000)
                    came.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                closed.release()

        thread = threading.Thread(target=answer)
        thread.start()
        origin = Origin(False, "127.0.0.1", server.getsockname()[1])
        asked = server_at(origin, replace(LIMITS, quiet=60.0), os.getpid())
        spent = Spent()
        for _ in range(3):
            assert asked.get("/", dict, spent, threading.Event(), Throttle()).body == b"ok"
            assert closed.acquire(timeout=60)
        thread.join()
        assert spent == Spent(lists=3)
        hang_up()


def sockets() -> set[str]:
    """Return the sockets of this process."""
    found = set()
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(file.readlink()))
    return {name for name in found if name.startswith("socket:")}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux")
def test_no_connection_outlives_a_build() -> None:
    with serve(zarr_store([("v", (3_000,), (1,), ("time",))])) as server:
        store = S3Store(server.bucket, **server.store_kwargs())
        source = parchunk.Source(store, "", "s3://formula", listing="wire")
        before = sockets()
        with Pools(2) as pools:
            for _ in range(2):
                pages = pages_of(source, 1000, 60, pools.stop).pages("v", None, Spent())
                assert len(next(pages).paths) == 1000
                assert len(sockets() - before) == 1
                pages.close()
        assert sockets() <= before


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_was_forked_does_not_wait_without_an_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        origin = Origin(False, "127.0.0.1", silent.getsockname()[1])
        assert asked(origin) == "no answer: nothing came for 2 s"
        come, told = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=ask, args=(origin, told))
        child.start()
        try:
            assert come.poll(60)
            assert come.recv() == "no answer: nothing came for 2 s"
        finally:
            child.kill()
            child.join()
            child.close()
            come.close()
            told.close()
