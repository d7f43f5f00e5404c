"""Servers that are asked off the wire: what is left of them, also to a process that is forked."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store

import parchunk
from parchunk.building.pools import Pools
from parchunk.listing.choosing import pages_of
from parchunk.listing.pages import PageError, Spent
from parchunk.listing.wire.server import Limits, Origin, server_at

LIMITS = Limits(quiet=0.5, whole=1.0, retries=0)


def asked(origin: Origin) -> str:
    """Return why a server did not answer."""
    with pytest.raises(PageError) as silent:
        server_at(origin, LIMITS, os.getpid()).get("/", dict, Spent(), threading.Event())
    return silent.value.reason


def ask(origin: Origin, told: Connection) -> None:
    told.send(asked(origin))


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
        assert asked(origin) == "no answer: nothing came for 0.5 s"
        come, told = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=ask, args=(origin, told))
        child.start()
        try:
            assert come.poll(20)
            assert come.recv() == "no answer: nothing came for 0.5 s"
        finally:
            child.kill()
            child.join()
            child.close()
            come.close()
            told.close()
