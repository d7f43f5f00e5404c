"""What servers on loopback need that are programs: ports, and to be waited for."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence

#: Ports that systems give to nobody who asks for any: until a program that was told one has begun
#: to listen there, a connection that goes out could have been given it.
_PORTS = range(20_000, 32_000)
#: Seconds that a server is waited for: a busy machine takes many to start a program.
_LONGEST = 200


def free_ports(count: int) -> list[int]:
    """Return so many ports of 127.0.0.1 that nobody has."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def wait_for(
    endpoint: str, processes: Sequence[subprocess.Popen[bytes]], why: Callable[[], str]
) -> None:
    """Wait until a server answers that some processes are.

    Raises
    ------
    RuntimeError
        When one of them ends, or minutes have passed; ``why`` says more.
    """
    until = time.monotonic() + _LONGEST
    while time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(endpoint, timeout=5):
            return
        if any(process.poll() is not None for process in processes):
            raise RuntimeError(f"what should answer at {endpoint} ended: {why()}")
        time.sleep(0.1)
    raise RuntimeError(f"{endpoint} does not answer: {why()}")
