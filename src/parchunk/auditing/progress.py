"""How far an audit is: its record files, then what is listed again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from parchunk.listing.patience import Requests
from parchunk.wording import counted


@dataclass(frozen=True)
class AuditProgress:
    """How far an audit is. ``files`` are record files checked.

    While the source is listed again, ``objects`` of ``objects_total`` (chunks, or shards) are
    compared; before, and without, there are 0 in all. ``listed`` are keys, ``requests`` LIST
    requests, and ``busy`` those of the ``retries`` that were too many for the store. ``waiting``
    says what is waited for, as where a Dask cluster has no workers; mostly "".
    """

    files: int
    files_total: int
    objects: int = 0
    objects_total: int = 0
    listed: int = 0
    requests: int = 0
    retries: int = 0
    busy: int = 0
    seconds: float = 0.0
    waiting: str = ""

    @property
    def share(self) -> float | None:
        """What is done of 1, of the files or of the listing; None when what follows has no end."""
        if self.objects_total:
            return min(self.objects / self.objects_total, 1.0)
        return self.files / self.files_total if self.files < self.files_total else None

    @property
    def place(self) -> tuple[int, int, str]:
        """Files checked, or objects compared."""
        if self.objects_total:
            return self.objects, self.objects_total, "objects compared"
        return self.files, self.files_total, "record files"

    @property
    def counted(self) -> tuple[int, str] | None:
        """Keys that were listed."""
        return (self.listed, "keys") if self.objects_total else None

    @property
    def others(self) -> tuple[str, ...]:
        """Requests and retries."""
        if not self.objects_total:
            return ()
        retries = (counted(self.retries, "retry", "retries"),) if self.retries else ()
        return (*retries, counted(self.requests, "LIST request"))


@dataclass
class Reporter:
    """Tells a caller's ``progress`` how far an audit is."""

    progress: Callable[[AuditProgress], None] | None
    now: AuditProgress
    #: What listings have cost so far, in this process and in others.
    requests: Requests = field(default_factory=Requests)
    began: float = field(default_factory=time.monotonic)

    def checked(self, files: int) -> None:
        """Tell that so many more record files are checked."""
        if self.progress is None:  # there may be a hundred thousand
            return
        self.now = replace(self.now, files=self.now.files + files)
        self._tell()

    def compared(self, objects: int) -> None:
        """Tell that so many more objects are compared; `requests` say what that cost."""
        self.now = replace(
            self.now,
            objects=self.now.objects + objects,
            listed=self.requests.keys,
            requests=self.requests.lists,
            retries=self.requests.retries,
            busy=self.requests.busy,
        )
        self._tell()

    def begin_listing(self, objects: int) -> None:
        """Tell that so many objects are to be compared."""
        self.now = replace(self.now, objects_total=objects)
        self._tell()

    def waits(self, waiting: str) -> None:
        """Tell what is waited for; "" once it is there."""
        self.now = replace(self.now, waiting=waiting)
        self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(replace(self.now, seconds=time.monotonic() - self.began))
