"""What is new since an earlier audit of the same, and what was mended: one is compared as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parchunk.auditing.findings import Finding
from parchunk.auditing.judged import DRAWN, Judged
from parchunk.auditing.result import ArrayAudit, AuditReport
from parchunk.errors import InputError
from parchunk.metadata.gathering import Take, gathered
from parchunk.metadata.sharing import shared
from parchunk.planning.labels import Labels
from parchunk.wording import changes_text

#: What is counted of an array, then and now, ...
_COUNTED = ("expected", "present", "missing", "excused", "unread")
#: ... and what else is compared of it.
_COMPARED = (*_COUNTED, "gap_count", "gaps", "unjudged_chunks")


@dataclass(frozen=True)
class Stretch:
    """Chunks along a dimension, both ends included, as elements, half-open, and by their labels."""

    dimension: str
    first: int
    last: int
    start: int
    stop: int
    label: str

    @property
    def text(self) -> str:
        """Where it is, in words."""
        many = self.first != self.last
        where = f"chunks {self.first:,}-{self.last:,}" if many else f"chunk {self.first:,}"
        return f"{where} along {self.dimension}" + (f", i.e. {self.label}" if self.label else "")

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "dimension": self.dimension,
            "chunks": [self.first, self.last],
            "elements": [self.start, self.stop],
            "labels": self.label or None,
        }


@dataclass(frozen=True)
class ArraySince:
    """One array that is not as it was, or may not be; counts are None when it was not there.

    ``new`` and ``mended`` are where chunks are missing that were not, and the other way round: as
    far as both audits read them, and expect them. ``all_gaps`` says that all of them were
    compared: of very many, audits list the largest, and those of other chunks are not comparable.
    What one audit does not list is not new in the other, nor mended.
    """

    array: str
    then: Mapping[str, int] | None
    now: Mapping[str, int] | None
    new: tuple[Stretch, ...]
    mended: tuple[Stretch, ...]
    all_gaps: bool

    @property
    def text(self) -> str:
        """How its counts changed, in words."""
        if self.then is None:
            return f"{self.array}: it was not there"
        if self.now is None:
            return f"{self.array}: it is there no more"
        said = changes_text({name: self.now[name] - self.then[name] for name in _COUNTED})
        alike = "others are missing" if self.new or self.mended else "counts are as they were"
        return f"{self.array}: {said or alike}"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "array": self.array,
            "then": self.then,
            "now": self.now,
            "new_gaps": [one.to_json() for one in self.new],
            "mended_gaps": [one.to_json() for one in self.mended],
            "all_gaps": self.all_gaps,
        }


@dataclass(frozen=True)
class Since:
    """How an audit differs from an earlier one.

    ``audited`` is when that one was made. Findings are of all kinds but missing chunks, which
    ``arrays`` tell. Those of the same kind in the same region are the same, and new where they are
    of more chunks than before, unless these were drawn. ``unjudged`` are those of then that this
    audit could not have found: it did not look for them, or did not read where they were.
    """

    audited: str | None
    verdict: str
    new: tuple[Finding, ...]
    mended: tuple[Finding, ...]
    unjudged: tuple[Finding, ...]
    unchanged: int
    arrays: tuple[ArraySince, ...]

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is other than it was."""
        return not (self.new or self.mended or self.unjudged or self.arrays)

    @property
    def title(self) -> str:
        """Since when, and what was said then."""
        return f"since {self.audited or 'an audit without a date'} ({self.verdict})"

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what is other, in words: ``new``, ``mended``, ``not looked at``, ``changed``."""
        for found in self.new:
            yield "new", f"{found.message}  [{found.kind}]"
        for array in self.arrays:
            for one in array.new:
                yield "new", f"{array.array}: {one.text}: missing"
        for found in self.mended:
            yield "mended", f"{found.message}  [{found.kind}]"
        for array in self.arrays:
            for one in array.mended:
                yield "mended", f"{array.array}: {one.text}"
        for found in self.unjudged:
            yield "not looked at", f"{found.message}  [{found.kind}]"
        for array in self.arrays:
            yield (
                "changed",
                array.text + ("" if array.all_gaps else " (not all gaps were compared)"),
            )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "audited": self.audited,
            "verdict": self.verdict,
            "new": [found.to_json() for found in self.new],
            "mended": [found.to_json() for found in self.mended],
            "unjudged": [found.to_json() for found in self.unjudged],
            "unchanged": self.unchanged,
            "arrays": [array.to_json() for array in self.arrays],
        }


def read_audit(path: str) -> dict[str, Any]:
    """Return an audit as ``parchunk audit --json`` printed it, without what is not compared.

    Of its ``arrays`` there are pairs, of a name and what is compared: there may be very many, most
    of them alike.

    Raises
    ------
    InputError
        When it is not that.
    """
    try:
        takes: Mapping[tuple[str, ...], Take] = {
            ("partitions",): lambda *_: None,
            ("arrays",): _taken,
        }
        document = gathered(Path(path).read_bytes(), takes)
    except OSError as error:
        raise InputError(f"--since {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not {"out", "findings", "arrays"} <= document.keys():
        raise InputError(f"--since {path} is not what parchunk audit --json prints of an audit")
    return document


def _taken(_: Any, array: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(array, dict) or not isinstance(array.get("array"), str):
        raise ValueError("an array without a name")
    return array["array"], shared({name: array[name] for name in _COMPARED if name in array})


def compared(
    report: AuditReport, path: str, then: Mapping[str, Any], *, imported: bool = False
) -> Since:
    """Return how ``report`` differs from the audit ``then``, which was read from ``path``.

    ``imported`` says that it looked at what was imported into a repository, too.

    Raises
    ------
    InputError
        When that is of other references and another store, or its values are none of an audit.
    """
    try:
        if report.url != then["out"] and report.source != then["source"]:
            raise InputError(
                f"--since {path} is of {then['out']}, references of {then['source']}: compare with "
                f"an audit of {report.source}"
            )
        before = [Finding(**found) for found in then["findings"]]
        arrays = dict(then["arrays"])
        since = _since(report, then.get("audited"), str(then["verdict"]), before, arrays)
        judged = Judged(report, arrays, imported)
        return replace(
            since,
            mended=tuple(one for one in since.mended if judged.says(one)),
            unjudged=tuple(one for one in since.mended if not judged.says(one)),
        )
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"--since {path} is not what this parchunk's audit --json prints: "
            f"{type(error).__name__} {error}"
        ) from None


def _since(
    report: AuditReport,
    audited: str | None,
    verdict: str,
    before: Sequence[Finding],
    arrays: Mapping[str, Mapping[str, Any]],
) -> Since:
    # Missing chunks are told by array: a gap that grew is no other gap.
    earlier = [one for one in before if one.kind != "missing-chunks"]
    now = [one for one in report.findings if one.kind != "missing-chunks"]
    known, left = Counter(map(_identity, earlier)), Counter(map(_identity, now))
    new, mended, same = _beyond(now, known), _beyond(earlier, left), (known & left).total()
    grown = _grown(now, earlier)
    found = [_array_since(report, array, arrays.get(array.array)) for array in report.arrays]
    there = {array.array for array in report.arrays}
    found += [
        ArraySince(name, _counts(then), None, (), (), True)
        for name, then in arrays.items()
        if name not in there
    ]
    changed = tuple(
        one for one in found if one.then != one.now or one.new or one.mended or not one.all_gaps
    )
    return Since(audited, verdict, new + grown, mended, (), same - len(grown), changed)


def _identity(found: Finding) -> tuple[str | int | None, ...]:
    """Return by what a finding is known again: of damage, the file, too."""
    key = found.key if found.severity == "damage" else None
    return found.kind, found.array, found.region, key


def _beyond(findings: Sequence[Finding], others: Counter[Any]) -> tuple[Finding, ...]:
    """Return the findings that others do not have."""
    left, found = others.copy(), []
    for one in findings:
        identity = _identity(one)
        if left[identity]:
            left[identity] -= 1
        else:
            found.append(one)
    return tuple(found)


def _grown(now: Sequence[Finding], earlier: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings that were there, of fewer chunks, or of as many others."""
    before, after = (Counter(map(_identity, some)) for some in (earlier, now))
    was = {_identity(one): one for one in earlier if before[_identity(one)] == 1}
    return tuple(
        one
        for one in now
        if one.kind not in DRAWN and after[_identity(one)] == 1 and _identity(one) in was
        and _is_of_more(one, was[_identity(one)])
    )  # fmt: skip


def _is_of_more(now: Finding, then: Finding) -> bool:
    return now.count > then.count or (now.count == then.count and now.key != then.key)


def _array_since(
    report: AuditReport, array: ArrayAudit, then: Mapping[str, Any] | None
) -> ArraySince:
    gaps = [] if then is None else then["gaps"]
    mine = [(gap.first, gap.last + 1) for gap in array.gaps]
    theirs = _half_open(gap["chunks"] for gap in gaps)
    untold = [] if then is None else _half_open(then["unjudged_chunks"])
    all_mine = len(mine) == array.gap_count
    all_theirs = then is None or len(gaps) == int(then["gap_count"])
    along = {gap.dimension for gap in array.gaps} | {str(gap["dimension"]) for gap in gaps}
    lengths = {
        _length(first, gap["elements"][0]) for (first, _), gap in zip(theirs, gaps, strict=True)
    }
    named = _Along.of(report, array.array, along, lengths - {None})
    counts = {name: getattr(array, name) for name in _COUNTED}
    return ArraySince(
        array.array,
        None if then is None else _counts(then),
        counts,
        named.stretches(ranges_beyond(mine, theirs + untold)) if named and all_theirs else (),
        named.stretches(ranges_beyond(theirs, mine + _half_open(array.unjudged)))
        if named and all_mine
        else (),
        all_mine and all_theirs and (named is not None or not along),
    )


def _half_open(runs: Iterable[Sequence[Any]]) -> list[tuple[int, int]]:
    return [(int(first), int(last) + 1) for first, last in runs]


def _length(first: int, start: Any) -> int | None:
    """Return how long chunks are of which one begins at an element; None of the first."""
    return int(start) // first if first else None


def _counts(then: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(then[name]) for name in _COUNTED}


_Ranges = Sequence[tuple[int, int]]


def ranges_beyond(some: _Ranges, others: _Ranges) -> list[tuple[int, int]]:
    """Return what of half-open ranges lies in no other; neighbours are one."""
    edges = sorted(
        [(low, 0, 1) for low, _ in some] + [(high, 0, -1) for _, high in some]
        + [(low, 1, 1) for low, _ in others] + [(high, 1, -1) for _, high in others]
    )  # fmt: skip
    found: list[tuple[int, int]] = []
    depth = [0, 0]
    at = 0
    for place, whose, step in edges:
        if place > at and depth[0] and not depth[1]:
            if found and found[-1][1] == at:
                found[-1] = (found[-1][0], place)
            else:
                found.append((at, place))
        depth[whose] += step
        at = place
    return found


@dataclass(frozen=True)
class _Along:
    """The dimension that an array's gaps are told along."""

    dimension: str
    length: int
    extent: int
    labels: Labels

    @classmethod
    def of(
        cls, report: AuditReport, array: str, dimensions: set[str], lengths: set[int | None]
    ) -> _Along | None:
        """Return it; None where there is none, or where gaps then and now are not comparable."""
        if len(dimensions) != 1:
            return None
        (name,) = dimensions
        spec, split = report.plan.by_name[array].spec, report.plan.split
        if not spec.rank:
            return cls(name, 1, 1, Labels())
        known = name in spec.dimension_names
        axis = spec.dimension_names.index(name) if known else int(name.removeprefix("axis "))
        length = spec.reference_chunks[axis]
        if lengths - {length}:
            return None
        is_split = split is not None and split.dimension == name
        return cls(name, length, spec.shape[axis], report.labels if is_split else Labels())

    def stretches(self, ranges: _Ranges) -> tuple[Stretch, ...]:
        """Return ranges of chunk indices as stretches."""
        found = []
        for low, high in ranges:
            start = low * self.length
            stop = max(min(high * self.length, self.extent), start + 1)
            label = self.labels.between(start, stop) or ""
            found.append(Stretch(self.dimension, low, high - 1, start, stop, label))
        return tuple(found)
