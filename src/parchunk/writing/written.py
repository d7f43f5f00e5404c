"""What has been written of a partition so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from parchunk.listing.strays import Strays
from parchunk.out.receipts import RecordFile


@dataclass
class Written:
    """The sums over what has been written of one partition so far.

    The last three are of expanded arrays only; ``empty_entries`` are inner chunks that their
    shard's index says were never written.
    """

    present: int = 0
    zero_sized: int = 0
    inlined: int = 0
    bytes: int = 0
    shards_present: int = 0
    empty_entries: int = 0
    index_requests: int = 0
    found_again: int = 0
    modified: int | None = None
    files: list[RecordFile] = field(default_factory=list)
    strays: Strays = field(default_factory=Strays)

    @property
    def reasons(self) -> dict[str, int]:
        """Strays by reason."""
        return dict(sorted(self.strays.reasons.items()))


@dataclass(frozen=True)
class FileInWork:
    """A record file that was written, and the counts of its rows."""

    record: RecordFile
    zero_sized: int
    inlined: int
    bytes: int
