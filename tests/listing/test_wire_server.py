"""Servers that are asked off the wire: what a process leaves to those that are forked of it."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from multiprocessing.connection import Connection

import pytest

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
