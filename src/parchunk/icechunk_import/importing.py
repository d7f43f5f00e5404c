"""The import: the hierarchy in one commit, then one commit a region. Restarts where it stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from parchunk.build import load_plan
from parchunk.cover import boxes_of_numbers
from parchunk.errors import InputError, OutputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.history import Entry, History, read_history
from parchunk.icechunk_import.locations import Container
from parchunk.icechunk_import.references import Rows, read_rows
from parchunk.icechunk_import.repository import open_or_create, split_manifests
from parchunk.icechunk_import.v3_metadata import V3Documents, v3_documents
from parchunk.metadata.spec import ArraySpec, canonical
from parchunk.output import ROOT, Output
from parchunk.plan import Partition, Plan
from parchunk.receipts import Receipt, read_receipts
from parchunk.rows import RowSet

if TYPE_CHECKING:
    import icechunk

#: References in one commit. Icechunk was seen to panic at 72 million, and holds them in memory.
MAX_REFERENCES = 20_000_000
_AGAIN = "run the same import again to continue"
Receipts = Mapping[tuple[str, int | None], Receipt]


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is: ``commits`` and ``references`` are those of this run."""

    regions: int
    regions_total: int
    commits: int
    references: int
    seconds: float


@dataclass(frozen=True)
class Commit:
    """One commit that was made; ``region`` is None for the hierarchy."""

    region: int | None
    snapshot: str
    references: int
    inlined: int
    missing: int
    deleted: int
    seconds: float


@dataclass(frozen=True)
class ImportResult:
    """What an import came to.

    ``commits`` were made now; ``regions_in`` of ``regions_total`` are on ``branch`` after it, and
    ``remaining`` are the numbers of the others. ``on_side`` names the branch that holds an import
    to be published while regions are still out.
    """

    url: str
    branch: str
    commits: tuple[Commit, ...]
    regions_in: int
    regions_total: int
    remaining: tuple[int, ...]
    created: bool
    published: bool
    on_side: str | None
    seconds: float
    notes: tuple[str, ...] = ()
    code: str = field(default="", repr=False)

    @property
    def references(self) -> int:
        """Virtual references set now."""
        return sum(commit.references for commit in self.commits)

    @property
    def finished(self) -> bool:
        """Whether everything is in."""
        return not self.remaining


def to_icechunk(
    out: str | Output,
    repo: str | icechunk.Repository,
    *,
    branch: str = "main",
    publish: bool = False,
    regions: Iterable[int] | None = None,
    checksum: bool = True,
    max_references: int = MAX_REFERENCES,
    drop_non_finite: bool = False,
    output_options: Mapping[str, str] | None = None,
    repo_options: Mapping[str, str] | None = None,
    progress: Callable[[ImportProgress], None] | None = None,
) -> ImportResult:
    """Import the references in ``out`` into an Icechunk repository, one commit a region.

    The source is not listed again, and nothing is read from it. What the branch's history says
    is in is left alone, so that the same call resumes, and a second one commits nothing.

    Parameters
    ----------
    out
        The folder that a build wrote.
    repo
        An `icechunk.Repository`, or a path or URL: opened there, or created.
    branch
        Where to commit; made from the tip of ``main`` where it does not exist.
    publish
        Commit to a branch aside, and move ``branch`` only when all regions are in.
    regions
        The numbers of the regions to import (all without it). The hierarchy always is.
    checksum
        Keep each region's newest modification time, so that Icechunk refuses objects changed
        later.
    max_references
        The most references in one commit; a larger region is refused before anything is written.
    drop_non_finite
        Leave out attributes with NaN or an infinity, which Icechunk cannot hold; else they are
        refused.

    Raises
    ------
    InputError, UnsupportedError
        Before anything is written: OUT, an array or the repository cannot be used like this.
    OutputError
        When the repository cannot be written, or another writer is in the way.
    MissingExtraError
        When icechunk is not installed.
    """
    adapter.load()
    began = time.monotonic()
    output = out if isinstance(out, Output) else Output.open(out, output_options)
    plan = load_plan(output)
    receipts = finished_receipts(output, plan)
    documents = v3_documents(plan.hierarchy, drop_non_finite)
    container = Container.of(plan.location)
    work = _plan_work(plan, receipts, documents, container, checksum)
    chosen = _choose(plan, regions)
    _check_limit(plan, work, max_references)
    repository, url, created = _open(repo, plan, container, repo_options)
    target = _Branch(repository, url, branch)
    run = _Run(repository, url, plan, output, receipts, documents, container, checksum)
    published = False
    side: _Branch | None = None
    history = target.history()
    if publish and not _all_in(history, work):
        side = target.side()
        history = side.history()
    writing = side or target
    reporter = _Reporter(progress, len(plan.regions), began)
    commits: list[Commit] = []
    for item in work:
        is_in = history.has(item.entry)
        wanted = item.entry.region is None or item.entry.region in chosen
        if not is_in and wanted:
            commit = run.do(item, writing, history)
            if commit is not None:
                commits.append(commit)
                history = history.after(item.entry)
            run.done.add(item.entry.content)
        if item.entry.region is not None and (is_in or wanted):
            reporter.add(commits)
    remaining = tuple(
        item.entry.region
        for item in work
        if item.entry.region is not None
        and not (history.has(item.entry) or item.entry.content in run.done)
        and not (item.is_empty and not history.may_hold(item.entry))
    )
    if side is not None and not remaining:
        target.move_to(side)
        published = True
    elif publish and side is None:
        published = True
        target.drop_side()
    return ImportResult(
        url=url,
        branch=branch,
        commits=tuple(commits),
        regions_in=len(plan.regions) - len(remaining),
        regions_total=len(plan.regions),
        remaining=remaining,
        created=created,
        published=published,
        on_side=side.name if side is not None and remaining else None,
        seconds=time.monotonic() - began,
        notes=documents.notes,
        code=_opening(url, branch),
    )


@dataclass(frozen=True)
class _Work:
    """One commit to be: what history will say of it, and the partitions it consists of."""

    entry: Entry
    partitions: tuple[Partition, ...]

    @property
    def is_empty(self) -> bool:
        return self.entry.kind == "region" and not self.entry.references + self.entry.inlined

    @property
    def name(self) -> str:
        entry = self.entry
        if entry.region is None:
            return "the hierarchy and the whole arrays"
        return f"region {entry.region} ({entry.dimension} {entry.start} to {entry.stop})"


def finished_receipts(output: Output, plan: Plan) -> Receipts:
    """Return the receipts of a finished build."""
    receipts = read_receipts(output, plan)
    missing = [str(p) for p in plan.partitions() if (p.array, p.region) not in receipts]
    if missing or output.get(ROOT) is None:
        what = f"{len(missing)} partitions are missing" if missing else "it was not published"
        raise InputError(
            f"{output.url} is unfinished ({what}): run its build again to resume, then import it"
        )
    return receipts


def _plan_work(
    plan: Plan,
    receipts: Receipts,
    documents: V3Documents,
    container: Container,
    checksum: bool,
) -> list[_Work]:
    """Return the commits to be: the hierarchy first, then every region."""
    whole: list[Partition] = []
    by_region: dict[int, list[Partition]] = {region.index: [] for region in plan.regions}
    for partition in plan.partitions():
        (whole if partition.region is None else by_region[partition.region]).append(partition)
    words = [container.base, documents.groups, documents.arrays]
    found = [_work(plan, receipts, whole, words, checksum)]
    for region in plan.regions:
        parts = by_region[region.index]
        found.append(_work(plan, receipts, parts, [container.base], checksum, region.index))
    return found


def _work(
    plan: Plan,
    receipts: Receipts,
    partitions: Sequence[Partition],
    words: Sequence[Any],
    checksum: bool,
    region: int | None = None,
) -> _Work:
    held = [receipts[(p.array, p.region)] for p in partitions]
    # Of the content, and not of the plan: an update leaves the regions that it did not touch.
    content = canonical(
        [
            *words,
            [
                [
                    receipt.array,
                    _rows_words(partition.rows),
                    [[file.index, file.rows, file.digest] for file in receipt.record_files],
                    receipt.last_modified if checksum else None,
                ]
                for partition, receipt in zip(partitions, held, strict=True)
            ],
        ]
    )
    inlined = sum(receipt.inlined for receipt in held)
    entry = Entry(
        kind="hierarchy" if region is None else "region",
        content=hashlib.sha256(content.encode()).hexdigest(),
        fingerprint=plan.fingerprint,
        source=plan.location.url,
        references=sum(receipt.present for receipt in held) - inlined,
        inlined=inlined,
        missing=sum(receipt.missing for receipt in held),
        dimension=None if region is None else str(plan.split),
        region=region,
        start=None if region is None else plan.regions[region].start,
        stop=None if region is None else plan.regions[region].stop,
        length=None if region is None else plan.region_length,
    )
    return _Work(entry, tuple(partitions))


def _rows_words(rows: RowSet) -> list[int]:
    """Return what names a row set; on axis 0 not its period, which grows with the array."""
    if rows.count == 1:
        begin = rows.first * rows.period
        return [begin + rows.start, begin + rows.stop]
    return [rows.period, rows.start, rows.stop, rows.first, rows.count]


def _choose(plan: Plan, regions: Iterable[int] | None) -> frozenset[int]:
    there = range(len(plan.regions))
    if regions is None:
        return frozenset(there)
    chosen = frozenset(regions)
    unknown = sorted(chosen - set(there))
    if unknown:
        raise InputError(
            f"there is no region {unknown[0]}: the plan has {len(there)}"
            + (f", 0 to {there[-1]}" if there else "")
        )
    return chosen


def _check_limit(plan: Plan, work: Sequence[_Work], most: int) -> None:
    """Refuse commits of too many references, naming the region length that fits."""
    largest = max(work, key=lambda item: item.entry.references)
    count = largest.entry.references
    if count <= most:
        return
    if largest.entry.region is None:
        raise InputError(
            f"{largest.name} have {count:,} references, more than the {most:,} that one commit "
            "shall have: build with --split along their large dimension, or give --max-references"
        )
    chunk = _alignment(plan)
    length = max(plan.region_length * most // count // chunk * chunk, chunk)
    raise InputError(
        f"{largest.name} has {count:,} references, more than the {most:,} that one commit shall "
        f"have: build with --region {length}, or give --max-references"
    )


def _alignment(plan: Plan) -> int:
    """Return the elements that every region length of the plan's split arrays must divide by."""
    sizes = [a.spec.chunks[a.axis] for a in plan.arrays if a.axis is not None]
    return int(np.lcm.reduce(sizes)) if sizes else 1


def _open(
    repo: str | icechunk.Repository,
    plan: Plan,
    container: Container,
    options: Mapping[str, str] | None,
) -> tuple[Any, str, bool]:
    """Return the repository with the plan's splitting, its name, and whether it is new."""
    if isinstance(repo, str):
        repository, url, created = open_or_create(repo, plan, container, options)
    else:
        if options:
            raise InputError("repo_options are for a repository given as path or URL")
        repository, url, created = repo, "the repository", False
    config = repository.config
    if not container.is_declared(config):
        raise InputError(
            f"{url} has no virtual chunk container for {container.base}, without which Icechunk "
            f"reads no chunk from there: open it in Python as repo and run: import icechunk as ic; "
            f"{container.code()}"
        )
    if not created and split_manifests(config, plan):
        with adapter.reported(f"set the manifest splitting of {url}", "check the access"):
            repository = repository.reopen(config=config)
    return repository, url, created


class _Branch:
    """One branch of the repository: its history, and moving it."""

    def __init__(self, repository: Any, url: str, name: str) -> None:
        self._repository = repository
        self._url = url
        self.name = name
        with self._reported("find"):
            if name not in repository.list_branches():
                repository.create_branch(name, repository.lookup_branch("main"))

    def _reported(self, doing: str) -> Any:
        return adapter.reported(f"{doing} branch {self.name} of {self._url}", _AGAIN)

    def tip(self) -> str:
        with self._reported("read"):
            return str(self._repository.lookup_branch(self.name))

    def history(self) -> History:
        with self._reported("read the history of"):
            return read_history(self._repository.ancestry(branch=self.name))

    def session(self) -> Any:
        with self._reported("write to"):
            return self._repository.writable_session(self.name)

    @property
    def _side_name(self) -> str:
        return f"parchunk-import-{self.name}"

    def side(self) -> _Branch:
        """Return the branch to import on, made from this one's tip or begun before.

        Raises
        ------
        InputError
            When this branch has moved since: publishing would lose what it got.
        """
        name, tip = self._side_name, self.tip()
        with self._reported("branch off"):
            if name not in self._repository.list_branches():
                self._repository.create_branch(name, tip)
        side = _Branch(self._repository, self._url, name)
        self._check_behind(side, tip)
        return side

    def _check_behind(self, side: _Branch, tip: str) -> None:
        with self._reported("read the history of"):
            known = any(commit.id == tip for commit in self._repository.ancestry(branch=side.name))
        if not known:
            raise InputError(
                f"branch {self.name} of {self._url} has got commits since the import on "
                f"{side.name} began, which publishing would lose: run "
                f"repo.delete_branch({side.name!r}), then the import again"
            )

    def move_to(self, side: _Branch) -> None:
        """Make this branch what the side branch is, and drop that one."""
        tip = self.tip()
        self._check_behind(side, tip)
        with self._reported("publish on"):
            self._repository.reset_branch(self.name, side.tip(), from_snapshot_id=tip)
        self.drop_side()

    def drop_side(self) -> None:
        """Delete the side branch of an import that is published."""
        with self._reported("clean up beside"):
            if self._side_name in self._repository.list_branches():
                self._repository.delete_branch(self._side_name)


def _all_in(history: History, work: Sequence[_Work]) -> bool:
    return all(
        history.has(item.entry) or (item.is_empty and not history.may_hold(item.entry))
        for item in work
    )


class _Run:
    """Writes commits."""

    def __init__(
        self,
        repository: Any,
        url: str,
        plan: Plan,
        output: Output,
        receipts: Receipts,
        documents: V3Documents,
        container: Container,
        checksum: bool,
    ) -> None:
        self._repository = repository
        self._url = url
        self._plan = plan
        self._output = output
        self._receipts = receipts
        self._documents = documents
        self._container = container
        self._checksum = checksum
        self.done: set[str] = set()

    def do(self, work: _Work, branch: _Branch, history: History) -> Commit | None:
        """Commit one item of work; None when there was nothing to change."""
        began = time.monotonic()
        if work.is_empty and not history.may_hold(work.entry):
            return None
        session = branch.session()
        doing = f"import {work.name} into {self._url}"
        with adapter.reported(doing, _AGAIN):
            base = self._repository.readonly_session(snapshot_id=session.snapshot_id)
            if work.entry.kind == "hierarchy":
                replacing = self._write_hierarchy(session, base, history)
            else:
                again = history.may_hold(work.entry)
                replacing = frozenset(p.array for p in work.partitions) if again else frozenset()
            deleted = sum(
                self._write(session, base, partition, partition.array in replacing)
                for partition in work.partitions
            )
            if not session.has_uncommitted_changes:
                return None
            snapshot = self._commit(session, work, branch)
        if snapshot is None:
            return None
        entry = work.entry
        return Commit(
            entry.region,
            snapshot,
            entry.references,
            entry.inlined,
            entry.missing,
            deleted,
            time.monotonic() - began,
        )

    def _commit(self, session: Any, work: _Work, branch: _Branch) -> str | None:
        """Commit, over commits of others where they touch nothing of ours."""
        entry = work.entry
        inlined = f", {entry.inlined:,} inlined" if entry.inlined else ""
        message = (
            f"{work.name}: {entry.references:,} references{inlined}, {entry.missing:,} missing, "
            f"from {entry.source}"
        )
        try:
            return str(
                session.commit(
                    message[:1].upper() + message[1:],
                    metadata=entry.to_metadata(),
                    rebase_with=adapter.load().ConflictDetector(),
                )
            )
        except adapter.conflicts() as error:
            if branch.history().has(entry):
                return None  # another import of the same references was faster
            raise OutputError(
                f"cannot commit {work.name} to branch {branch.name} of {self._url}: another writer "
                f"changed the same arrays meanwhile ({adapter.one_line(error)}); {_AGAIN}"
            ) from None

    def _write_hierarchy(self, session: Any, base: Any, history: History) -> frozenset[str]:
        """Set groups and arrays; return the arrays that were there before.

        Raises
        ------
        InputError
            When the branch has a node that is not this import's, or has other chunks.
        """
        ours = history.hierarchy is not None
        replaced: set[str] = set()
        items: dict[str, bytes] = {}
        for name, document in self._documents.groups.items():
            self._add(items, base, name, document, ours)
        for name, document in self._documents.arrays.items():
            if self._add(items, base, name, document, ours):
                replaced.add(name)
                self._drop_outside(session, base, self._plan.by_name[name].spec)
        adapter.put(session.store, items)
        return frozenset(replaced)

    def _add(
        self, items: dict[str, bytes], base: Any, name: str, document: Any, ours: bool
    ) -> bool:
        """Add a node's document to ``items`` if it is new; return whether the node was there."""
        key = f"{name}/zarr.json" if name else "zarr.json"
        there = adapter.get(base.store, key)
        found = None if there is None else json.loads(there)
        if found is not None:
            same = canonical(found) == canonical(document)
            is_array = document["node_type"] == "array"
            if same and (ours or not is_array):
                return True
            empty = not is_array and not found.get("attributes") and not is_array
            fits = ours and _chunks_of(found) == _chunks_of(document)
            if not fits and not (empty and found.get("node_type") == "group"):
                kind = document["node_type"]
                what = "of other chunks, data type or codecs" if ours else "that is not parchunk's"
                raise InputError(
                    f"{self._url} already has an {kind} {name!r} {what}: import on another "
                    "--branch, or into another REPO"
                    if is_array
                    else f"{self._url} already has a group {name or '/'!r} {what}: import on "
                    "another --branch, or into another REPO"
                )
        items[key] = json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
        return found is not None

    def _drop_outside(self, session: Any, base: Any, spec: ArraySpec) -> None:
        """Delete the chunks of an array that its new shape does not have."""
        document = json.loads(adapter.get(base.store, f"{spec.name}/zarr.json") or b"{}")
        if all(old <= new for old, new in zip(document["shape"], spec.shape, strict=True)):
            return
        for held in adapter.held_chunks(base, f"/{spec.name}", spec.rank):
            indices = held.indices
            outside = indices[(indices >= np.array(spec.reference_grid)).any(axis=1)]
            adapter.delete(session.store, [_key(spec.name, at) for at in outside.tolist()])

    def _write(self, session: Any, base: Any, partition: Partition, replace: bool) -> int:
        """Set a partition's references; return how many of an earlier import were deleted."""
        receipt = self._receipts[(partition.array, partition.region)]
        spec = self._plan.by_name[partition.array].spec
        present = np.zeros(partition.rows.cells, bool) if replace else None
        modified = None
        if self._checksum and receipt.last_modified is not None:
            # A local file's nanoseconds were cut off in the receipt, but icechunk sees them.
            finer = int(self._plan.location.scheme == "file")
            modified = adapter.whole_second_after(receipt.last_modified + finer)
        written = position = 0
        if receipt.present or present is not None:
            for rows in read_rows(
                self._output, partition, receipt.record_files, self._plan.record_size
            ):
                written += self._set(session.store, spec, rows, modified)
                if present is not None:
                    present[position : position + len(rows)] = rows.referenced | rows.inlined
                position += len(rows)
        if written != receipt.present:
            raise InputError(
                f"{partition}: {written:,} references in its record files, {receipt.present:,} in "
                "its receipt: delete that receipt and build again, then import again"
            )
        if present is None:
            return 0
        return _delete_others(session, base, spec, partition.rows, present)

    def _set(self, store: Any, spec: ArraySpec, rows: Rows, modified: Any) -> int:
        count = int(np.count_nonzero(rows.referenced))
        if count:
            locations: list[str] = pc.fill_null(
                self._container.locations(spec.name, rows.path), ""
            ).to_pylist()
            at = 0
            for box in boxes_of_numbers(spec.reference_grid, rows.begin, rows.begin + len(rows)):
                shape = tuple(b - a for a, b in zip(box.start, box.stop, strict=True))
                end = at + int(np.prod(shape, dtype=np.int64))
                whole = at == 0 and end == len(rows)
                refused = adapter.set_references(
                    store,
                    f"/{spec.name}",
                    box.start,
                    shape,
                    locations if whole else locations[at:end],
                    rows.offset[at:end],
                    rows.size[at:end],
                    modified,
                )
                if refused:
                    raise OutputError(
                        f"{self._url} did not take {refused:,} references of {spec.name}: no "
                        f"virtual chunk container matches {self._container.base}; nothing of "
                        "this region was committed"
                    )
                at = end
        inlined = np.flatnonzero(rows.inlined)
        if len(inlined):
            index = unravel(inlined + rows.begin, spec.reference_grid)
            adapter.put(
                store,
                {
                    _key(spec.name, at): rows.raw[int(row)].as_py()
                    for at, row in zip(index.tolist(), inlined, strict=True)
                },
            )
        return count + len(inlined)


def _delete_others(
    session: Any, base: Any, spec: ArraySpec, rows: RowSet, present: NDArray[np.bool_]
) -> int:
    """Delete the chunks that the branch has among ``rows`` and that are not ``present``."""
    deleted = 0
    grid = np.array(spec.reference_grid, np.int64)
    for held in adapter.held_chunks(base, f"/{spec.name}", spec.rank):
        inside = held.indices[(held.indices < grid).all(axis=1)]
        numbers = ravel(inside, spec.reference_grid)
        position, among = positions(rows, numbers)
        stale = inside[among][~present[position[among]]]
        adapter.delete(session.store, [_key(spec.name, at) for at in stale.tolist()])
        deleted += len(stale)
    return deleted


def positions(
    rows: RowSet, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the positions of chunk numbers in a row set, and which of them are in it."""
    if rows.count == 1:
        within = numbers - rows.first * rows.period
        return within - rows.start, (within >= rows.start) & (within < rows.stop)
    run, within = np.divmod(numbers, rows.period)
    run -= rows.first
    among = (run >= 0) & (run < rows.count) & (within >= rows.start) & (within < rows.stop)
    return run * rows.run + within - rows.start, among


def ravel(indices: NDArray[np.int64], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the chunk numbers of indices, shape (n, rank)."""
    numbers = np.zeros(len(indices), np.int64)
    for axis, size in enumerate(grid):
        numbers = numbers * size + indices[:, axis]
    return numbers


def unravel(numbers: NDArray[np.int64], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the chunk indices of numbers, shape (n, rank)."""
    indices = np.empty((len(numbers), len(grid)), np.int64)
    rest = numbers
    for axis in reversed(range(len(grid))):
        rest, indices[:, axis] = np.divmod(rest, grid[axis])
    return indices


def _key(array: str, index: Sequence[int]) -> str:
    return "/".join([array, "c", *map(str, index)])


def _chunks_of(document: Mapping[str, Any]) -> str:
    """Return what must be equal for old references to keep their meaning."""
    free = {"shape", "attributes", "dimension_names"}
    return canonical({key: value for key, value in document.items() if key not in free})


def _opening(url: str, branch: str) -> str:
    """Return the Python that opens the result."""
    return (
        f'xarray.open_zarr(parchunk.open_icechunk("{url}").readonly_session("{branch}").store, '
        "consolidated=False)"
    )


class _Reporter:
    """Calls the caller's progress."""

    def __init__(
        self, progress: Callable[[ImportProgress], None] | None, total: int, began: float
    ) -> None:
        self._progress = progress
        self._total = total
        self._began = began
        self._regions = 0

    def add(self, commits: Sequence[Commit]) -> None:
        self._regions += 1
        if self._progress is not None:
            self._progress(
                ImportProgress(
                    self._regions,
                    self._total,
                    len(commits),
                    sum(commit.references for commit in commits),
                    time.monotonic() - self._began,
                )
            )
