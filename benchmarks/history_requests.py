"""The processes of a history, and what becomes of their requests."""

from __future__ import annotations

import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from instruments.recorder import Fate

from parchunk.cli.main import main
from parchunk.stores import opening

#: What happens to a command, by what its kind says: see `Trouble`.
KINDS = (
    "whole", "whole", "lost", "busy", "busy kill", "kill after lost", "kill", "kill after",
    *("cut", "cut after") * 5,
)  # fmt: skip
#: Where OUT and REPO are in requests, which are disturbed; those for the source are not.
_OURS = re.compile(r"/bucket(/(refs|repo)/|\?delete)")
#: Seconds that any wait may take.
_LONGEST = 60


def be_quick() -> None:
    """Have clients of this process try again at once."""
    backoff = {"init_backoff": timedelta(milliseconds=2), "max_backoff": timedelta(milliseconds=20)}
    opening.RETRY["backoff"] = {**backoff, "base": 2}
    opening.RETRY["max_retries"] = 6


def child(arguments: list[str], host: str, askew: float) -> None:
    """Run a command on a machine of that name, if any, whose clock is askew by some seconds."""
    be_quick()
    if host:
        socket.gethostname = lambda: host
    if askew:
        now = time.time
        time.time = lambda: now() + askew
    main(arguments)


def let_time_pass(out: Path) -> None:
    """Let all leases and claims in the folder of an OUT expire."""
    own = out / ".parchunk"
    for file in [own / "lease.json", *own.glob("claims/*.json")]:
        if file.exists():
            text = re.sub(r'"expires": [0-9.]+', '"expires": 1.0', file.read_text())
            file.write_text(text)
            os.utime(file, (1, 1))


@dataclass
class Trouble:
    """What happens to the writes of a command: ``kind`` says it in words.

    ``kill``: it is killed at the ``at``-th one, which is not done, or is (``after``). ``cut``: from
    then on it is refused all, which leaves as much in OUT, and needs no other process. ``lost``:
    answers of some never come. ``busy``: some get a 503. Of two commands ``delay`` has all wait for
    a moment, and ``stall`` the ``at``-th one until ``go_on``. While there is no ``gate`` all wait.
    """

    kind: str
    at: int
    dice: random.Random
    kill: Callable[[], None] = lambda: None
    count: int = 0
    killed_at: str = ""
    gate: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fate(self, method: str, path: str) -> Fate | None:
        """Return what becomes of a request; None: what it asks for."""
        if not _OURS.match(path):
            return None
        self.gate.wait(_LONGEST)
        if "cut" in self.kind and self.count >= self.at:
            return Fate(status=403)
        if method not in ("PUT", "DELETE", "POST"):
            return None
        with self.lock:
            self.count += 1
            number, chance = self.count, self.dice.random()
        if "delay" in self.kind:
            time.sleep(chance * 0.01)
        if "stall" in self.kind and number == self.at:
            self.stalled.set()
            self.go_on.wait(_LONGEST)
        if "cut" in self.kind and number == self.at:
            return None if "after" in self.kind else Fate(status=403)
        if "kill" in self.kind and number == self.at:
            self.killed_at = f"{method} {path}"
            return Fate(done="after" in self.kind, answered=False, then=self.kill)
        if "lost" in self.kind and chance < 0.15:
            return Fate(answered=False)
        if "busy" in self.kind and self.at <= number < self.at + 4:
            return Fate(status=503)
        return None
