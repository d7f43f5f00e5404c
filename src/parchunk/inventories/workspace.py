"""A folder for what is sorted, below the system's temporary directory, which goes with its owner.

One that was killed leaves its folder behind: the next one that is made removes it, as nobody holds
its lock any more.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from parchunk.errors import SourceError

#: How the names of those begin that rows of inventories are sorted in.
INVENTORY = "parchunk-inventory-"
_LOCK = "lock"
#: What the system says where there is no room.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Workspace:
    """A folder that is removed when this is given up, or the process ends."""

    def __init__(self, prefix: str = INVENTORY) -> None:
        """Make the folder, and remove those of its kind whose processes were killed."""
        _sweep(prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        # Locked before it has its name: whoever finds it by that name finds it held.
        lock = os.open(self.path / "new", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        (self.path / "new").rename(self.path / _LOCK)
        self.close = weakref.finalize(self, _remove, self.path, lock, os.getpid())


@contextlib.contextmanager
def room_told() -> Iterator[None]:
    """Turn an error for lack of room on disk into one that says what to do; for a `Workspace`.

    Raises
    ------
    SourceError
        Naming the system's temporary directory.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise SourceError(
            f"the rows of the inventory do not fit into {tempfile.gettempdir()} "
            f"({os.strerror(error.errno)}): make room there, or set TMPDIR to a folder with more"
        ) from None


def _remove(path: Path, lock: int, owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked process, whose parent goes on
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _sweep(prefix: str) -> None:
    """Remove the folders of this user's whose locks nobody holds."""
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if path.is_symlink() or path.lstat().st_uid != os.getuid():
                continue
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
