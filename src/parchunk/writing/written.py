"""What has been written of a partition so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from parchunk.listing.strays import Strays
from parchunk.out.counts import Counts
from parchunk.out.receipts import RecordFile


@dataclass
class Written:
    """What has been written of one partition so far; ``modified`` is the newest of its chunks."""

    counts: Counts = field(default_factory=Counts)
    index_requests: int = 0
    modified: int | None = None
    files: list[RecordFile] = field(default_factory=list)
    strays: Strays = field(default_factory=Strays)

    def add(self, more: Written) -> None:
        """Count in what else was written of the partition."""
        self.counts += more.counts
        self.index_requests += more.index_requests
        if more.modified is not None:
            self.modified = max(more.modified, self.modified or more.modified)
        self.files += more.files
        self.strays.merge(more.strays)

    @property
    def reasons(self) -> dict[str, int]:
        """Strays by reason."""
        return dict(sorted(self.strays.reasons.items()))


@dataclass(frozen=True)
class FileWritten:
    """A record file that was written, and the counts of its rows."""

    record: RecordFile
    counts: Counts
