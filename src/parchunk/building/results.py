"""What a build has come to: while it runs, and when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from parchunk.out.receipts import Receipt
from parchunk.planning.plan import Plan


@dataclass(frozen=True)
class Progress:
    """How far a build is. ``partitions`` and ``chunks`` count those done before, too."""

    partitions: int
    partitions_total: int
    chunks: int
    chunks_total: int
    listed: int
    requests: int
    retries: int
    seconds: float


@dataclass(frozen=True)
class BuildResult:
    """What a finished build came to, over all its runs (``receipts``) and in this one.

    ``requests``, ``requests_least``, ``gets``, ``retries``, ``seconds`` and ``peak_memory`` (bytes,
    of this process and its largest worker) are this run's; the others are the whole output's.
    """

    url: str
    plan: Plan = field(repr=False)
    receipts: tuple[Receipt, ...] = field(repr=False)
    built: int
    requests: int
    requests_least: int
    gets: int
    retries: int
    seconds: float
    peak_memory: int
    notes: tuple[str, ...]

    @property
    def expected(self) -> int:
        """Chunks that the metadata says there can be."""
        return sum(receipt.expected for receipt in self.receipts)

    @property
    def present(self) -> int:
        """Chunks referenced."""
        return sum(receipt.present for receipt in self.receipts)

    @property
    def missing(self) -> int:
        """Chunks without a reference, zero-sized ones included."""
        return sum(receipt.missing for receipt in self.receipts)

    @property
    def shards(self) -> int:
        """Shards that expanded arrays can have."""
        return sum(receipt.shards_expected for receipt in self.receipts)

    @property
    def shards_present(self) -> int:
        """Shards that are there."""
        return sum(receipt.shards_present for receipt in self.receipts)

    @property
    def empty_entries(self) -> int:
        """Chunks missing from shards that are there."""
        return sum(receipt.empty_entries for receipt in self.receipts)

    @property
    def zero_sized(self) -> int:
        """Chunks whose object has no bytes."""
        return sum(receipt.zero_sized for receipt in self.receipts)

    @property
    def strays(self) -> int:
        """Listed objects that are no chunk of the grid."""
        return sum(receipt.strays for receipt in self.receipts)

    @property
    def bytes(self) -> int:
        """Bytes of the referenced chunks."""
        return sum(receipt.bytes for receipt in self.receipts)
