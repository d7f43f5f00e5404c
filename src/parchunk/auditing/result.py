"""What an audit came to: values for programs, JSON, the terminal and the page alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

from parchunk.auditing.audit_counts import AuditCounts
from parchunk.auditing.findings import Finding
from parchunk.auditing.gaps import Completeness, Gap
from parchunk.auditing.heat import Heat
from parchunk.auditing.periods import Periods
from parchunk.auditing.sizes import Outliers, Sizes
from parchunk.listing.strays import Stray
from parchunk.metadata.spreading import listed
from parchunk.planning.labels import Labels
from parchunk.planning.plan import PartitionKey, Plan
from parchunk.showing.values import Png, Shown, kept, page_of, picture_of
from parchunk.wording import counted, part_of

if TYPE_CHECKING:
    from parchunk.auditing.against_repository import AgainstRepository
    from parchunk.auditing.by_store import StoreAudit
    from parchunk.auditing.changes import Comparison
    from parchunk.auditing.decoding import Decoded
    from parchunk.auditing.since import Since


#: The counts that JSON has of the whole, of each array, and of each partition, in this order.
_OF_ALL = ("expected", "present", "missing", "excused", "lacking", "bytes", "strays")
_OF_ARRAY = (
    "expected", "present", "missing", "excused", "lacking", "unread", "zero_sized", "inlined",
    "bytes", "strays", "shards_expected", "shards_present", "empty_entries",
)  # fmt: skip
_OF_PARTITION = (
    "expected", "present", "missing", "excused", "lacking", "zero_sized", "bytes", "strays",
)  # fmt: skip

#: Kinds of gaps that are of missing chunks, and what the others are called when they are counted.
_MISSING = {"missing-chunks", "zero-sized", "other-spelling"}
_AMISS = {
    "impossible-size": ("chunk has an impossible size", "chunks have impossible sizes"),
    "undecodable": ("chunk cannot be decoded", "chunks cannot be decoded"),
    "ends-early": ("dimension ends early", "dimensions end early"),
}


# Slots: there may be a hundred thousand of both.
@dataclass(frozen=True, slots=True)
class PartitionAudit(AuditCounts):
    """One partition as its record files are. ``done`` is False where it is not built yet.

    What record files do not show (strays, shards, what is zero-sized) is as its receipt says.
    ``start`` and ``stop`` are elements of the split dimension.
    """

    array: str
    region: int | None
    start: int | None
    stop: int | None
    done: bool

    def to_json(self) -> dict[str, Any]:
        """Return the partition as JSON values."""
        place = {name: getattr(self, name) for name in ("array", "region", "start", "stop", "done")}
        return place | _counted(self, _OF_PARTITION)


@dataclass(frozen=True, slots=True)
class ArrayAudit(AuditCounts):
    """One array, over all its partitions.

    ``gaps`` are the largest of ``gap_count`` runs; ``unjudged`` are runs of chunk indices along the
    same axis of which they do not tell, as chunks are unread or excused. ``notable_strays`` are the
    first of ``strays``, which ``stray_reasons`` count by reason. Of very many arrays, ``sizes``
    have a histogram and ``heat`` has counts for those only that lack most: see
    `parchunk.auditing.worst`.
    """

    array: str
    allowed: bool
    gap_count: int
    gaps: tuple[Gap, ...]
    gap_labels: tuple[str, ...]
    unjudged: tuple[tuple[int, int], ...]
    outliers: Outliers | None
    notable_strays: tuple[Stray, ...]
    stray_reasons: Mapping[str, int]
    sizes: Sizes = field(repr=False)
    heat: Heat = field(repr=False)


@dataclass(frozen=True, repr=False)
class AuditReport(Shown, AuditCounts):
    """The audit of one OUT, and the counts of all its arrays.

    ``url`` is OUT, ``source`` the store that its ``plan`` is of; ``published`` says whether stock
    readers can open it. ``findings`` are what is wrong or notable, the gravest first. ``arrays``,
    ``partitions`` and ``stores`` (of a plan of several) have the counts of each, ``periods`` of
    each year, month, day or hour where that was asked. ``completeness`` is up to where nothing is
    missing along the split dimension, None where there is none; ``labels`` are its coordinates.

    ``audited`` is when it began, in UTC. ``record_files`` of ``record_bytes`` were read.
    ``list_requests`` (the fewest that could list as much are ``list_requests_least``), ``retries``,
    ``build_seconds`` and ``listings`` (partitions by who listed them, and why) are those of the
    builds, from the receipts. ``seconds`` and ``peak_memory`` (bytes, of this process) are the
    audit's own.

    ``comparison``, ``repository``, ``decoded`` and ``since`` are what was found against the source,
    in an Icechunk repository, in chunks that were decoded, and since an earlier audit; None where
    that was not asked. ``of_store``: a store was audited, by references that were not kept.
    """

    url: str
    source: str
    audited: str
    plan: Plan = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)
    arrays: tuple[ArrayAudit, ...] = field(repr=False)
    partitions: tuple[PartitionAudit, ...] = field(repr=False)
    stores: tuple[StoreAudit, ...] = field(repr=False)
    completeness: Completeness | None
    published: bool
    record_files: int
    record_bytes: int
    list_requests: int
    list_requests_least: int
    retries: int
    build_seconds: float
    seconds: float
    peak_memory: int
    labels: Labels = field(repr=False, compare=False)
    periods: Periods | None = field(default=None, repr=False)
    decoded: Decoded | None = field(default=None, repr=False)
    since: Since | None = field(default=None, repr=False)
    of_store: bool = False
    comparison: Comparison | None = field(default=None, repr=False)
    repository: AgainstRepository | None = field(default=None, repr=False)
    listings: Mapping[str, int] = field(default_factory=dict, repr=False)

    @property
    def in_short(self) -> str:
        """The audit in one line."""
        return f"{self.url}: {self.verdict}"

    def to_html(self, path: str | PathLike[str] | None = None) -> str:
        """Return the page that `parchunk audit --report` writes; ``path`` is written, too."""
        page = page_of(self)
        kept(path, page.encode())
        return page

    def plot(self, path: str | PathLike[str] | None = None) -> Png:
        """Return the coverage as a PNG, which a notebook draws; ``path`` is written, too.

        Raises
        ------
        MissingExtraError
            Without matplotlib.
        """
        picture = Png(picture_of(self))
        kept(path, picture)
        return picture

    @property
    def complete(self) -> bool:
        """Whether nothing counts against the references: notices do not."""
        return all(found.severity == "notice" for found in self.findings)

    @property
    def exit_code(self) -> int:
        """0 complete, 1 findings."""
        return 0 if self.complete else 1

    @property
    def counts(self) -> Counter[str]:
        """Findings by severity."""
        return Counter(found.severity for found in self.findings)

    @property
    def damaged(self) -> list[PartitionKey]:
        """Array and region of each partition that is damaged: what `parchunk.update` repairs."""
        regions: dict[str, set[int | None]] = {}
        for one in self.findings:
            if one.severity == "damage" and one.array and one.kind != "extra-file":
                regions.setdefault(one.array, set()).add(one.region)
        found: list[PartitionKey] = []
        for array in self.plan.arrays:
            name = array.spec.name
            some = regions.get(name, set()) - ({None} if array.axis is not None else set())
            if name in regions and not some:  # something is wrong with it, and nobody knows where
                some = set(range(array.regions))
            found += [(name, at) for at in sorted(some, key=lambda at: -1 if at is None else at)]
        return found

    @property
    def verdict(self) -> str:
        """The verdict in one line."""
        if self.complete:
            return self._how_complete()
        counts = self.counts
        said = []
        if counts["damage"]:
            said.append("damaged: the references are not what the build wrote")
        unfinished = [p for p in self.partitions if not p.done]
        if unfinished:
            total = len(self.partitions)
            said.append(
                "unfinished: "
                + part_of(len(unfinished), total, "partition is", "partitions are")
                + " not built"
            )
        gaps: Counter[str] = Counter()
        for found in self.findings:
            if found.severity == "gap":
                gaps[found.kind] += found.count
        if "unfinished" in gaps and not unfinished:
            said.append("unfinished: what is built is not published yet")
        if lacks := self._lacks(gaps):
            said.append(f"incomplete: {', '.join(lacks)}")
        changes = {found.kind for found in self.findings if found.severity == "change"}
        if changes - {"repository"}:
            said.append("out of date: the source has changed since the build")
        if "repository" in changes:
            said.append("the repository does not hold what is referenced")
        return "; ".join(said)

    def _how_complete(self) -> str:
        """Return the verdict of what is complete, with what was allowed or left out."""
        if self.missing:
            allowed = counted(self.missing, "missing chunk is", "missing chunks are")
            return f"complete as far as the policy asks: {allowed} allowed"
        apart = []
        if self.excused:
            apart.append(f"{counted(self.excused, 'other is', 'others are')} not expected")
        if self.lacking:
            apart.append(f"{counted(self.lacking, 'is', 'are')} in no store")
        others = f" ({', '.join(apart)})" if apart else ""
        left = sum(found.kind == "left-out" for found in self.findings)
        nodes = counted(left, "node of the source is", "nodes of the source are")
        more = f"; {nodes} left out, see the notices" if left else ""
        if self.of_store:
            return f"complete: every expected chunk{others} is there{more}"
        return (
            f"complete: every expected chunk{others} is referenced, every reference is right" + more
        )

    def _lacks(self, gaps: Counter[str]) -> list[str]:
        """Return what is missing, most notable first, by how many chunks each kind of gap has."""
        lacks = [counted(gaps[kind], *words) for kind, words in _AMISS.items() if gaps[kind]]
        if gaps["zero-sized"] and not gaps.keys() & (_MISSING - {"zero-sized"}):
            stand = "chunk of zero bytes stands", "chunks of zero bytes stand"
            lenient = {array.array for array in self.arrays if array.allowed}
            of_these = [p for p in self.partitions if p.zero_sized and p.array not in lenient]
            where = " where none is expected" if all(p.excused for p in of_these) else ""
            lacks.insert(0, f"{counted(gaps['zero-sized'], *stand)}{where}")
        elif gaps.keys() & _MISSING:
            share = self.missing / max(self.expected - self.excused - self.lacking, 1)
            missing = counted(self.missing, "chunk is", "chunks are")
            lacks.insert(0, f"{missing} missing ({percent(share)})")
        return lacks

    @property
    def latest_text(self) -> str:
        """The latest complete step in words, and how far it is whole from the start."""
        complete = self.completeness
        if complete is None:
            return "there is no split dimension"
        if complete.latest is None:
            return f"none of {complete.extent:,}"
        said = f"{self._named(complete.latest)} of 0 to {complete.extent - 1:,}"
        if complete.through == complete.latest:
            return f"{said}, and all before it"
        if complete.through is None:
            return f"{said}; the very first step is not complete"
        return f"{said}; without a gap up to {self._named(complete.through)}"

    def _named(self, element: int) -> str:
        label = self.labels.of(element)
        return f"{element:,}" + (f" ({label})" if label else "")

    def to_json(
        self, changes: bool = True, each: Callable[..., Iterable[Any]] = listed
    ) -> dict[str, Any]:
        """Return the report as JSON values; ``changes`` lists every changed chunk by key.

        With `Each` in place of ``each``, its lists are made an entry at a time when they are
        asked for: there may be a hundred thousand arrays.
        """
        document: dict[str, Any] = {
            "out": self.url,
            "source": self.source,
            "audited": self.audited,
            "verdict": self.verdict,
            "complete": self.complete,
            "published": self.published,
            **_counted(self, _OF_ALL),
            "latest_complete": self._completeness(),
            "findings": each(Finding.to_json, self.findings),
            "arrays": each(_array_json, self.arrays),
            "partitions": each(PartitionAudit.to_json, self.partitions),
            "stores": [store.to_json() for store in self.stores],
            "record_files": self.record_files,
            "record_bytes": self.record_bytes,
            "list_requests": self.list_requests,
            "list_requests_least": self.list_requests_least,
            "retries": self.retries,
            "listings": dict(self.listings),
            "build_seconds": round(self.build_seconds, 3),
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": self.peak_memory,
        }
        if self.decoded is not None:
            document["decoded"] = self.decoded.to_json()
        if self.since is not None:
            document["since"] = self.since.to_json()
        if self.periods is not None:
            document["by"] = self.periods.to_json()
        if self.comparison is not None:
            document["against_source"] = self.comparison.to_json(changes)
        if self.repository is not None:
            document["icechunk"] = self.repository.to_json()
        return document

    def _completeness(self) -> dict[str, Any] | None:
        found = self.completeness
        if found is None:
            return None
        label = self.labels.of
        return {
            **asdict(found),
            "latest_label": None if found.latest is None else label(found.latest),
            "through_label": None if found.through is None else label(found.through),
        }


def _counted(counts: AuditCounts, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(counts, name) for name in names}


def _array_json(array: ArrayAudit) -> dict[str, Any]:
    return {
        "array": array.array,
        **_counted(array, _OF_ARRAY),
        "missing_allowed": array.allowed,
        "median_size": array.sizes.median,
        "fixed_size": array.sizes.fixed,
        "impossible_sizes": array.sizes.wrong,
        "gap_count": array.gap_count,
        "gaps": [
            {
                "dimension": gap.dimension,
                "chunks": [gap.first, gap.last],
                "elements": [gap.start, gap.stop],
                "labels": label or None,
                "missing": gap.missing,
                "of": gap.expected,
            }
            for gap, label in zip(array.gaps, array.gap_labels, strict=True)
        ],
        "unjudged_chunks": [list(run) for run in array.unjudged],
        "size_outliers": None if array.outliers is None else asdict(array.outliers),
        "notable_strays": [asdict(stray) for stray in array.notable_strays],
    }


def percent(share: float) -> str:
    """Return a share as a percentage that never rounds to 0 or 100 what is not."""
    value = share * 100
    for digits in range(1, 9):
        shown = f"{value:.{digits}f}"
        if (value <= 0 or float(shown) > 0) and (value >= 100 or float(shown) < 100):
            return f"{shown} %"
    return f"{value:.2g} %"
