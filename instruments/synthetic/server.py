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
import contextlib
import http.client
import json
import math
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from instruments.synthetic.answers import BUCKET
from instruments.synthetic.connection import run
from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.service import CONTROL, Service
from instruments.tls import Identity

_ROOT = Path(__file__).parents[2]


def main() -> None:
    """Serve what standard input describes until it ends, the port printed on standard output.

    It ends with the process that holds its other end, so no server outlives what started it.
    """
    options = pickle.load(sys.stdin.buffer)
    named = ("store", "page", "faults", "keep", "lists_per_second")
    service = Service(*(options[name] for name in named))

    async def until_input_ends() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopped.set)
        latency, identity = options["latency"], options["identity"]
        await run(service, latency, lambda port: print(port, flush=True), stopped, identity)

    asyncio.run(until_input_ends())


class Server:
    """A running server: where it is, what it has counted."""

    bucket = BUCKET

    def __init__(self, port: int, pid: int, identity: Identity | None = None) -> None:
        """Name a server on ``port`` in process ``pid``; by TLS if it has an identity."""
        self.port = port
        self.pid = pid
        self.identity = identity

    @property
    def endpoint(self) -> str:
        """The server's URL, without bucket or trailing slash."""
        return f"http{'s' if self.identity else ''}://127.0.0.1:{self.port}"

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
        connection = (
            http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=200, context=self.identity.client()
            )
            if self.identity
            else http.client.HTTPConnection("127.0.0.1", self.port, timeout=200)
        )
        try:
            connection.request("GET", CONTROL + name)
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
    identity: Identity | None = None,
    lists_per_second: float = math.inf,
) -> Iterator[Server]:
    """Serve ``store`` on a free port of 127.0.0.1 for as long as the context lasts.

    Every request is answered ``latency`` seconds after it came, whatever else is in flight; a
    page has at most ``page`` keys; the parameters of the last ``keep`` LIST requests are kept.
    A process of its own shares no interpreter lock with the client: measure with it.
    ``process=False`` serves from a thread, which starts at once and takes lambdas as rules.
    With an ``identity`` it is reached by TLS. LISTs beyond ``lists_per_second`` are answered 503.
    """
    if process:
        options = {
            "store": store,
            "latency": latency,
            "page": page,
            "faults": tuple(faults),
            "keep": keep,
            "identity": identity,
            "lists_per_second": lists_per_second,
        }
        with _process(options) as server:
            yield server
    else:
        with _thread(
            Service(store, page, faults, keep, lists_per_second), latency, identity
        ) as server:
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
        yield Server(int(port), child.pid, options["identity"])
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
def _thread(service: Service, latency: float, identity: Identity | None) -> Iterator[Server]:
    ports: list[int] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    def started(port: int) -> None:
        ports.append(port)
        ready.set()

    def serve_it() -> None:
        try:
            loop.run_until_complete(run(service, latency, started, stopped, identity))
        finally:
            loop.close()
            ready.set()

    thread = threading.Thread(target=serve_it, name="synthetic-server", daemon=True)
    thread.start()
    try:
        ready.wait()
        if not ports:
            raise RuntimeError("the synthetic server did not start; its own message is above")
        yield Server(ports[0], os.getpid(), identity)
    finally:
        if ports:
            loop.call_soon_threadsafe(stopped.set)
        thread.join()
