"""What has changed in the source since the references were written, region by region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from parchunk.auditing.differences import RegionChanges
from parchunk.auditing.findings import Finding
from parchunk.auditing.source_contents import Reread


@dataclass(frozen=True)
class Comparison:
    """The source against the references; ``regions`` are the partitions with differences."""

    regions: tuple[RegionChanges, ...]
    findings: tuple[Finding, ...]
    requests: int
    requests_least: int
    notes: tuple[str, ...]
    indexes: Reread = field(default_factory=Reread)
    inlined: Reread = field(default_factory=Reread)
    #: Who listed the source, and why; of several stores, each that differs.
    listing: tuple[str, ...] = ()
    #: Requests that were tried again; of those, the ones that were too many for the store.
    retries: int = 0
    busy: int = 0
    #: Objects of which nothing says whether they were modified since, that are the same otherwise.
    untimed: int = 0

    @property
    def read_text(self) -> str:
        """What was read again, in words; empty where there was nothing to be read."""
        said = [
            f"{reread.read:,} of {reread.of:,} {what}"
            for reread, what in (
                (self.indexes, "indexes of shards"),
                (self.inlined, "inlined chunks"),
            )
            if reread.of
        ]
        sampled = any(reread.read < reread.of for reread in (self.indexes, self.inlined))
        return f"read again: {', '.join(said)}{' (a sample)' if sampled else ''}" if said else ""

    def to_json(self, changes: bool = True) -> dict[str, Any]:
        """Return JSON values; with ``changes`` every chunk by its key."""
        document: dict[str, Any] = {
            "new": sum(len(region.new) for region in self.regions),
            "gone": sum(len(region.gone) for region in self.regions),
            "changed": sum(len(region.changed) for region in self.regions),
            "untimed": self.untimed,
            "list_requests": self.requests,
            "list_requests_least": self.requests_least,
            "retries": self.retries,
            "too_busy": self.busy,
            "listing": "; ".join(self.listing),
            "notes": list(self.notes),
            "shard_indexes_read": self.indexes.read,
            "shard_indexes": self.indexes.of,
            "inlined_read": self.inlined.read,
            "inlined": self.inlined.of,
        }
        if changes:
            document["regions"] = [
                {
                    "array": region.array,
                    "region": region.region,
                    "new": region.keys(region.new),
                    "gone": region.keys(region.gone),
                    "resized": region.keys(region.resized),
                    "rewritten": region.keys(region.rewritten),
                    "overrun": region.keys(region.overrun),
                    "contradicted": region.keys(region.contradicted.index),
                    "altered": region.keys(region.contradicted.bytes),
                    "unreadable": region.keys(region.contradicted.unreadable),
                }
                for region in self.regions
            ]
        return document
