"""Results in files of the user's: each takes the place of what was there when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from parchunk.out.processes import is_gone, process_space, started

#: What a file that is being written is called, after what is said of who writes what.
_PART = re.compile(r"(?P<pid>[1-9][0-9]{0,18})-(?P<began>[0-9]+)-[0-9a-f]{32}\.part")


@contextlib.contextmanager
def replacing(to: Path) -> Iterator[Path]:
    """Yield the file to write, which takes the place of ``to`` when it is whole.

    A query that fails leaves what was there. Pipes and devices are written themselves. What a
    process that was killed had begun for the same file is deleted, where it ran on this machine
    since it was started: of others nobody knows whether they still write.
    """
    if to.exists() and not to.is_file():
        yield to
        return
    to = Path(os.path.realpath(to))
    own = _own(to)
    for left in _left_behind(to, own) if own else ():
        with contextlib.suppress(OSError):  # a folder, or somebody else's
            left.unlink(missing_ok=True)
    part = to.with_name(f"parchunk-{own}{uuid.uuid4().hex}.part")  # nobody else's
    try:
        yield part
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)


def _own(to: Path) -> str:
    """Return what tells this process and the file from others; nothing where that is not known."""
    pid = os.getpid()
    marked, began = _marked(to), started(pid)
    return f"{marked}-{pid}-{began}-" if marked and began else ""


def _marked(to: Path) -> str:
    """Return what tells a file, and processes that can see each other, from all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return ""
    said = "\n".join((boot, process_space(), to.name))
    return hashlib.sha256(os.fsencode(said)).hexdigest()[:16]


def _left_behind(to: Path, own: str) -> list[Path]:
    """Return what was begun for a file by processes that are gone, as far as that is known."""
    begin = f"parchunk-{own.partition('-')[0]}-"
    found = []
    for path in to.parent.glob(f"{begin}*.part"):
        match = _PART.fullmatch(path.name.removeprefix(begin))
        if match and is_gone(int(match["pid"]), match["began"]):
            found.append(path)
    return found
