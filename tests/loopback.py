"""Servers of a test's own on loopback, stopped when it is over."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from instruments.tls import Identity


class _Server6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler],
    identity: Identity | None = None,
    host: str = "127.0.0.1",
) -> Iterator[str]:
    """Serve on a free port, by TLS with an identity; yield the endpoint."""
    with (_Server6 if ":" in host else ThreadingHTTPServer)((host, 0), handler) as server:
        server.daemon_threads = True
        if identity:
            server.socket = identity.server().wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            shown = f"[{host}]" if ":" in host else host
            yield f"http{'s' if identity else ''}://{shown}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
