"""Programs that serve on loopback are waited for, and not when they have ended."""

import socket
import subprocess
import sys

import pytest
from instruments.loopback import free_ports, wait_for


def test_a_server_that_has_ended_is_not_waited_for() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (port,) = free_ports(1)
    with pytest.raises(RuntimeError, match="ended: see its log"):
        wait_for(f"http://127.0.0.1:{port}", [ended], lambda: "see its log")


def test_ports_are_not_the_same_and_none_of_those_that_connections_get() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        assert max(ports) < asked.getsockname()[1]
