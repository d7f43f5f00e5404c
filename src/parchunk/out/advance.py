"""How far a build is, seen from anywhere: by the receipts and claims that lie in OUT."""

from __future__ import annotations

from dataclasses import dataclass

from parchunk.out.claims import Claim, read_claims, stale_claims
from parchunk.out.output import Output
from parchunk.out.receipt_files import receipted
from parchunk.planning.plan import PartitionKey, Plan


@dataclass(frozen=True)
class Advance:
    """What is done of all partitions and chunks, and who is at work.

    ``claims`` are of tasks under way, ``stale`` ones of tasks that ended without a word, and that
    nobody has taken up since.
    """

    partitions: int
    partitions_total: int
    chunks: int
    chunks_total: int
    claims: tuple[Claim, ...]
    stale: tuple[Claim, ...]

    @property
    def listed(self) -> int:
        """Keys listed by tasks under way."""
        return sum(claim.listed for claim in self.claims)

    @property
    def requests(self) -> int:
        """LIST requests of tasks under way."""
        return sum(claim.requests for claim in self.claims)

    @property
    def retries(self) -> int:
        """Requests that tasks under way have tried again."""
        return sum(claim.retries for claim in self.claims)


class Observer:
    """Looks at OUT again and again, with a listing, and a GET a task and a block of receipts."""

    def __init__(self, output: Output, plan: Plan) -> None:
        self._output, self._plan = output, plan
        self._chunks: dict[PartitionKey, int] = {
            partition.key: partition.rows.total for partition in plan.partitions()
        }

    def look(self) -> Advance:
        """Return how far it is now.

        Raises
        ------
        OutputError
            When OUT cannot be read.
        """
        there = receipted(self._output, self._plan)
        claims = read_claims(self._output)
        return Advance(
            partitions=len(there),
            partitions_total=len(self._chunks),
            chunks=sum(self._chunks[key] for key in there),
            chunks_total=sum(self._chunks.values()),
            claims=tuple(claim for claim in claims if not claim.is_over),
            stale=stale_claims(claims),
        )
