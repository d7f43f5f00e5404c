"""Whether an audit could have found again what an earlier one did: else it was not mended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container

from parchunk.auditing.findings import Finding
from parchunk.auditing.result import AuditReport, PartitionAudit

#: Kinds of findings about chunks that were drawn.
DRAWN = ("undecodable", "all-fill")
#: Kinds of damage that the source may show, too, by the keys of its objects.
_BY_SOURCE = ("wrong-offset", "wrong-path")
#: Kinds that receipts tell, whatever became of record files.
_BY_RECEIPT = ("strays", "zero-sized", "unverified")
#: Kinds of changes that times tell, at least in part.
_BY_TIME = ("changed-chunks", "rewritten-chunks", "new-chunks")
#: Notices of what was listed again.
_OF_LISTING = ("chunkless", "untimed")


class Judged:
    """What an audit looked for, and where."""

    def __init__(self, report: AuditReport, then: Container[str], imported: bool) -> None:
        """Take an audit, the arrays ``then``, and whether it looked at a repository, too."""
        self._report, self._then, self._imported = report, then, imported
        self._partitions: defaultdict[str | None, list[PartitionAudit]] = defaultdict(list)
        for one in report.partitions:
            self._partitions[one.array].append(one)

    def says(self, found: Finding) -> bool:
        """Whether it would have found this."""
        if not self._looked_for(found):
            return False
        of_array = self._partitions[found.array]
        if not of_array and found.array in self._then:
            return found.severity == "change"
        parts = [one for one in of_array if found.region in (None, one.region)]
        if found.kind == "unfinished":
            return True
        if found.severity == "damage" or found.kind in _BY_RECEIPT:
            return all(one.done for one in parts)
        return not any(one.unread for one in parts)

    def _looked_for(self, found: Finding) -> bool:
        if found.kind == "repository":
            return self._imported
        if found.kind in DRAWN:
            decoded = self._report.decoded
            return decoded is not None and decoded.read == decoded.of
        if found.kind == "uneven-labels":
            return len(self._report.labels) > 0
        compared = self._report.comparison
        by_source = found.kind in _BY_SOURCE and not str(found.key).endswith(".parq")
        if compared is not None and compared.untimed and (by_source or found.kind in _BY_TIME):
            return False
        if found.severity == "change" or by_source or found.kind in _OF_LISTING:
            return compared is not None
        return True
