"""Programs that serve on loopback are waited for, and not when they have ended."""

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


def test_ports_are_not_the_same() -> None:
    assert len(set(free_ports(20))) == 20
