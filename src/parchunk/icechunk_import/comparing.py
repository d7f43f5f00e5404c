"""Comparing references in OUT with what a repository's branch holds.

Every chunk is compared by its presence and, where icechunk tells that of all, by being a reference
or bytes; a sample by what it refers to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parchunk.arguments.lenient import lenient
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.appending import (
    Appending,
    appended_behind,
    newest_append,
    origin_of,
)
from parchunk.icechunk_import.branches import Branch
from parchunk.icechunk_import.history import History, digest_of, read_history
from parchunk.icechunk_import.left_behind import how_to_delete, left_behind
from parchunk.icechunk_import.locations import Container
from parchunk.icechunk_import.repository import open_existing
from parchunk.icechunk_import.selecting import only_of
from parchunk.keys.numbers import ravel, unravel
from parchunk.metadata.spec import ArraySpec, canonical
from parchunk.metadata.to_v3 import v3_documents
from parchunk.out.opening import open_output
from parchunk.out.output import Output
from parchunk.out.plan_file import load_plan, published_plan
from parchunk.planning.plan import Partition
from parchunk.reading.rows import finished_receipts, read_rows

if TYPE_CHECKING:
    import icechunk

#: References of each partition that are looked up one by one.
SAMPLE = 20
#: Chunks that one finding names.
_NAMED = 5


@dataclass(frozen=True)
class RepoFinding:
    """One way in which a repository differs from the references.

    ``kind`` is ``metadata`` (an array's document), ``missing`` (referenced chunks that the branch
    has not), ``extra`` (chunks of it that are not referenced), ``location`` (sampled references
    that point elsewhere) or ``type`` (a virtual chunk where bytes are inlined, or the reverse).
    ``count`` counts chunks, ``chunks`` names some of them; ``region`` is None for a whole array.
    """

    array: str
    region: int | None
    kind: str
    count: int
    message: str
    chunks: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class RepoComparison:
    """What was compared, over all partitions, and what was found.

    ``left_out`` are arrays that the import was told to leave out, and of what was appended those
    whose chunks it did not set: they are not compared. ``appended`` says which of the two.
    """

    branch: str
    snapshot: str
    partitions: int
    chunks: int
    sampled: int
    findings: tuple[RepoFinding, ...]
    left_out: tuple[str, ...] = ()
    appended: bool = False
    #: Whether icechunk tells where a reference leads, so that it was compared.
    located: bool = True
    #: Where what was appended since by another came from, which no import goes over.
    behind: str | None = None
    #: Why whoever reads the repository does not come to the chunks that OUT refers to.
    unreachable: str | None = None
    #: The Python that mends that, for a repository ``repo``.
    declaring: str = ""
    #: Arrays of earlier imports that OUT has no more and the branch has, and what deletes each.
    left_behind: Mapping[str, str] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether nothing was found."""
        return not self.findings and self.unreachable is None


@lenient
def compare_with_repo(
    out: str | PathLike[str] | Output,
    repo: str | PathLike[str] | icechunk.Repository,
    *,
    branch: str = "main",
    sample: int = SAMPLE,
    output_options: Mapping[str, str] | None = None,
    repo_options: Mapping[str, str] | None = None,
) -> RepoComparison:
    """Compare a finished build with a branch of a repository, region by region.

    Every chunk is compared by its presence and, with icechunk 2.x, by what it is (virtual or not);
    ``sample`` references of each partition by location, offset and length, or with icechunk 1.x,
    which tells no more, by what they are; and whether the repository reads them from the server
    that OUT's chunks are at. Nothing is read from the source.

    Raises
    ------
    InputError, OutputError
        When OUT is unfinished, or there is no such repository or branch.
    """
    adapter.load()
    output = open_output(out, output_options)
    plan = published_plan(output) or load_plan(output)
    receipts = finished_receipts(output, plan)
    repository: Any = open_existing(repo, repo_options) if isinstance(repo, str) else repo
    with adapter.reported(f"read branch {branch}", "check --branch"):
        session = repository.readonly_session(branch)
        history = read_history(repository.ancestry(branch=branch))
    said = newest_append(history, origin_of(plan))
    appending = None if said is None else Appending(plan, said)
    behind = appended_behind(history, plan) if said is None else None
    left_out = _not_compared(history, appending)
    # Those that have no form in Icechunk are among what was left out.
    built, plan = plan, only_of(plan, plan.by_name.keys() - set(left_out))
    left: tuple[str, ...] = ()
    if appending is None:
        on = Branch(repository, "the repository", branch)
        left = left_behind(on, history, built.by_name, digest_of(plan.by_name))
    documents = v3_documents(plan.hierarchy, drop_non_finite=True)  # no repository has any
    container = Container.of_plan(plan)
    findings: list[RepoFinding] = []
    compared = partitions = sampled = 0
    refers = False
    random = np.random.default_rng(0)
    for array in plan.arrays:
        spec = array.spec
        with adapter.reported(f"read {spec.name} of the repository", "check the repository"):
            there = adapter.get(session.store, f"{spec.name}/zarr.json")
            if there is None:
                findings.append(
                    RepoFinding(spec.name, None, "metadata", spec.reference_total, "no such array")
                )
                continue
            same = canonical(json.loads(there)) == canonical(documents.arrays[spec.name])
            if appending is None and not same:
                findings.append(
                    RepoFinding(spec.name, None, "metadata", 0, "its metadata is another")
                )
            checks = []
            for partition in array.partitions(plan.record_size):
                receipt = receipts[partition.key]
                check = _Partition(spec, partition, container, random, sample)
                for rows in read_rows(output, partition, receipt.record_files, plan.record_size):
                    check.add(rows)
                    refers = refers or bool(np.any(rows.referenced))
                checks.append(check)
                partitions += 1
                compared += partition.rows.total
                sampled += len(check.sampled)
            shift = (0,) * spec.rank if appending is None else appending.shift(spec.name)
            sought = {number for check in checks for number in check.sampled}
            held = _held(session, spec, sought, shift)
            for check in checks:
                findings += check.against(held)
    return RepoComparison(
        branch,
        session.snapshot_id,
        partitions,
        compared,
        sampled,
        tuple(findings),
        left_out,
        appended=appending is not None,
        located=adapter.takes_arrays(),
        behind=None if behind is None else behind.origin,
        unreachable=_unreachable(container, repository.config) if refers else None,
        declaring=container.code(),
        left_behind={name: how_to_delete(name, branch) for name in left},
    )


def _unreachable(container: Container, config: Any) -> str | None:
    """Return why references of a repository lead to other chunks than OUT's, or to none."""
    if container.is_declared(config):
        return container.misdirected(config)
    return f"has no virtual chunk container for {container.words}"


def _not_compared(history: History, appending: Appending | None) -> tuple[str, ...]:
    """Return the arrays whose chunks an import did not set."""
    if appending is not None:
        return tuple(sorted(appending.plan.by_name.keys() - appending.by_chunks))
    hierarchies = (entry for entry in history.entries if entry.kind == "hierarchy")
    return next((entry.left_out for entry in hierarchies), ())


def _held(session: Any, spec: ArraySpec, wanted: set[int], shift: Sequence[int]) -> _Held:
    """Return the chunks that an array has in the branch, where they are moved by ``shift``."""
    numbers: list[NDArray[np.int64]] = []
    virtual: list[NDArray[np.bool_]] = []
    references: dict[int, _Reference] = {}
    path = f"/{spec.name}"
    sought = np.array(sorted(wanted), np.int64)
    for held in adapter.held_chunks(session, path, spec.rank):
        own = held.indices - np.array(shift, np.int64)
        inside = np.all((own >= 0) & (own < np.array(spec.reference_grid, np.int64)), axis=1)
        batch = ravel(np.where(inside[:, None], own, 0), spec.reference_grid)
        numbers.append(batch[inside])
        if held.virtual is not None:
            virtual.append(held.virtual[inside])
        for row in np.flatnonzero(inside & np.isin(batch, sought)).tolist():
            number = int(batch[row])
            if held.locations is None or held.offsets is None or held.lengths is None:
                is_so = adapter.is_virtual(session, path, held.indices[row].tolist())
                references[number] = _Reference(is_so)
            else:
                location = held.locations[row]
                at = (location, int(held.offsets[row]), int(held.lengths[row]))
                references[number] = _Reference(bool(location), at if location else None)
    return _Held(
        np.concatenate(numbers) if numbers else np.empty(0, np.int64),
        np.concatenate(virtual) if len(virtual) == len(numbers) > 0 else None,
        references,
    )


@dataclass(frozen=True)
class _Reference:
    """What a chunk is: ``at`` is its location, offset and length, None where not known."""

    virtual: bool
    at: tuple[str, int, int] | None = None


@dataclass(frozen=True)
class _Held:
    """The chunks that an array has by number, which of them are virtual, and what some refer to.

    ``virtual`` is None where icechunk does not tell it of all.
    """

    numbers: NDArray[np.int64]
    virtual: NDArray[np.bool_] | None
    references: Mapping[int, _Reference]


class _Partition:
    """One partition's references, and a sample of them."""

    def __init__(
        self,
        spec: ArraySpec,
        partition: Partition,
        container: Container,
        random: np.random.Generator,
        sample: int,
    ) -> None:
        self._spec = spec
        self._partition = partition
        self._container = container
        self._present = np.zeros(partition.rows.total, bool)
        self._inlined = np.zeros(partition.rows.total, bool)
        self._at = 0
        total = partition.rows.total
        count = min(sample, total)
        chosen = random.choice(total, count, replace=False) if count else np.empty(0, np.int64)
        self._chosen = np.sort(chosen)
        #: By chunk number; only chunks that are present.
        self.sampled: dict[int, _Reference] = {}

    def add(self, rows: Any) -> None:
        """Take the next rows of the partition."""
        end = self._at + len(rows)
        self._present[self._at : end] = rows.referenced | rows.inlined
        self._inlined[self._at : end] = rows.inlined
        for position in self._chosen[(self._chosen >= self._at) & (self._chosen < end)]:
            row = int(position) - self._at
            if rows.inlined[row]:
                self.sampled[rows.begin + row] = _Reference(False)
            elif rows.referenced[row]:
                one = self._container.locations(self._spec.name, rows.path.slice(row, 1))
                at = (one[0].as_py(), int(rows.offset[row]), int(rows.size[row]))
                self.sampled[rows.begin + row] = _Reference(True, at)
        self._at = end

    def against(self, held: _Held) -> list[RepoFinding]:
        """Return what differs from the chunks that the branch has."""
        there = np.zeros(len(self._present), bool)
        where = self._partition.rows.positions(held.numbers)
        ours = where >= 0
        there[where[ours]] = True
        other = np.zeros(len(self._present), bool)
        if held.virtual is not None:
            other[where[ours]] = held.virtual[ours] == self._inlined[where[ours]]
        found = []
        for kind, differ, message in (
            ("missing", self._present & ~there, "referenced, but not in the repository"),
            ("extra", there & ~self._present, "in the repository, but not referenced"),
            ("type", self._present & other, "inlined on one side only"),
        ):
            rows = np.flatnonzero(differ)
            if len(rows):
                numbers = [self._partition.rows.number(int(at)) for at in rows[:_NAMED]]
                found.append(self._finding(kind, len(rows), message, numbers))
        kinds: list[int] = []
        elsewhere: list[int] = []
        for number, expected in self.sampled.items():
            theirs = held.references.get(number)
            if theirs is None:
                continue
            if theirs.virtual != expected.virtual:
                kinds += [number] if held.virtual is None else []
            elif theirs.at is not None and theirs.at != expected.at:
                elsewhere.append(number)
        for kind, wrong, message in (
            ("type", kinds, "of the sample are inlined on one side only"),
            ("location", elsewhere, "of the sample point elsewhere"),
        ):
            if wrong:
                found.append(self._finding(kind, len(wrong), message, wrong[:_NAMED]))
        return found

    def _finding(self, kind: str, count: int, message: str, numbers: list[int]) -> RepoFinding:
        indices = unravel(np.array(numbers, np.int64), self._spec.reference_grid)
        return RepoFinding(
            self._spec.name,
            self._partition.region,
            kind,
            count,
            message,
            tuple(tuple(index) for index in indices.tolist()),
        )
