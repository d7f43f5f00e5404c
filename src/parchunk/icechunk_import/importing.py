"""The import: the hierarchy in one commit, then one commit a region. Restarts where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

from parchunk.arguments.lenient import called, lenient
from parchunk.errors import InputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.ahead import set_ahead
from parchunk.icechunk_import.beginning import Begun, begin_append, begin_import
from parchunk.icechunk_import.branches import Branch
from parchunk.icechunk_import.calls import Calls, Reading, one_ahead
from parchunk.icechunk_import.committing import Committer
from parchunk.icechunk_import.crews import crew_of
from parchunk.icechunk_import.forks import Forked
from parchunk.icechunk_import.left_behind import left_behind_notes
from parchunk.icechunk_import.limits import USUAL, Limits
from parchunk.icechunk_import.locations import Container
from parchunk.icechunk_import.memory import Budget, budget
from parchunk.icechunk_import.opening import open_to_append
from parchunk.icechunk_import.planned_commits import PlannedCommit, choose, plan_commits
from parchunk.icechunk_import.read_otherwise import read_otherwise_notes
from parchunk.icechunk_import.refusals import check_memory, check_references
from parchunk.icechunk_import.repository import open_or_create, split_manifests
from parchunk.icechunk_import.results import Commit, ImportProgress, ImportResult, Reporter
from parchunk.icechunk_import.selecting import select
from parchunk.icechunk_import.still_held import still_held_notes
from parchunk.icechunk_import.storage import refuse_secrets
from parchunk.out.opening import open_output
from parchunk.out.output import Output
from parchunk.out.plan_file import load_plan, published_plan
from parchunk.planning.plan import Plan
from parchunk.reading.opening_code import first_group
from parchunk.reading.rows import Receipts, finished_receipts
from parchunk.stores.opening import Location
from parchunk.stores.told_options import told_options
from parchunk.workers.crews import Crew, require_workers

if TYPE_CHECKING:
    import icechunk

#: References in one commit. Icechunk was seen to panic at 72 million, and holds them in memory.
MAX_REFERENCES = 20_000_000
#: Bytes above the imports: enough for some four million references in one commit.
MEMORY = 4 << 30


@lenient
def to_icechunk(
    out: str | PathLike[str] | Output,
    repo: str | PathLike[str] | icechunk.Repository,
    *,
    branch: str = "main",
    append: str | None = None,
    publish: bool = False,
    regions: int | Iterable[int] | None = None,
    anew: bool = False,
    checksum: bool = True,
    max_references: int = MAX_REFERENCES,
    memory: int | str = MEMORY,
    drop_non_finite: bool = False,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    skip_unsupported: bool = False,
    output_options: Mapping[str, str] | None = None,
    repo_options: Mapping[str, str] | None = None,
    workers: int = 1,
    executor: Executor | Any = None,
    limits: Limits | None = None,
    progress: Callable[[ImportProgress], None] | bool | None = None,
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
    append
        A dimension: put everything behind what the repository holds along it, whoever wrote that.
        What has the dimension must fit as the stores of ``parchunk.plan(concat=...)`` must, and
        begin with a chunk; its coordinates are appended, too, and must go on where the
        repository's end. Implies ``publish``. An ``out`` that was appended and has grown since is
        appended to by the same call, as long as nothing else came behind it.
    publish
        Commit to a branch aside, and move ``branch`` only when all regions are in. That is done in
        any case where ``branch`` keeps chunks that new attributes change the values of.
    regions
        The numbers of the regions to import (all without it). The hierarchy always is.
    anew
        Import these also where the history says that they are in: for a branch of which others
        deleted or overwrote chunks, which their commits do not say.
    checksum
        Keep each region's newest modification time, so that Icechunk refuses objects changed
        later.
    max_references
        The most references in one commit; a larger region is refused before anything is written.
    memory
        Bound on the peak above the imports, in bytes or as text such as ``"4GiB"``. What is
        read ahead keeps within it, and a region whose references Icechunk cannot hold within it is
        refused before anything is written.
    drop_non_finite
        Leave out attributes with NaN or an infinity, which Icechunk cannot hold; else they are
        refused.
    include, exclude
        A glob on array names, or several: only these arrays, and without those. Arrays that are
        left out stay in the repository as they are.
    skip_unsupported
        Leave out arrays that have no form in Icechunk, instead of refusing all; ``notes`` of the
        result names them.
    workers
        Processes that read the references of regions to come and set them, while those before are
        committed: as many as ``memory`` lets.
    executor
        Any `concurrent.futures.Executor`, or a Dask ``Client``, in place of processes. Each of its
        tasks takes less memory than ``memory``; ``workers`` above 1 is how many it has at a time.
        It is sent what opens the repository.
    limits
        How many references are handled together.
    output_options, repo_options
        Options that reach OUT, as for `parchunk.build`, and the repository, in the same words.
    progress
        True shows a bar. Or what is called with how far it is.

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
    _check(branch, append, regions is not None, anew, workers)
    began = time.monotonic()
    output = open_output(out, output_options)
    built = published_plan(output) or load_plan(output)
    receipts = finished_receipts(output, built)
    plan, documents = select(
        built, tuple(include), tuple(exclude), skip_unsupported, drop_non_finite
    )
    container = Container.of_plan(plan)
    work = plan_commits(plan, receipts, documents, container, checksum, built)
    chosen = choose(plan, cast("Iterable[int] | None", regions))
    wanted = [item for item in work if item.entry.region in chosen]
    check_references(plan, wanted, max_references)
    planned = _budget(plan, receipts, container, wanted, cast(int, memory), limits)
    if executor is not None and repo_options and isinstance(repo, str):
        refuse_secrets(repo, repo_options)
    repository, url, created = _open(
        cast("str | icechunk.Repository", repo),
        plan,
        container,
        output.location,
        repo_options,
        append is not None,
        planned.together,
    )
    target = Branch(repository, url, branch)
    with target.without_traces():
        if append is None:
            begun = begin_import(plan, documents, work, target, publish, anew)
        else:
            begun = begin_append(output, plan, receipts, documents, work, append, target)
    side, history, appending = begun.side, begun.history, begun.appending
    to_do, remaining = _to_do(begun, chosen, anew)
    reading = Reading(output, plan.record_size, container, checksum, planned.rows, plan.identity)
    committer = Committer(
        side or target, history, plan, receipts, documents, reading, planned.limits, appending, anew
    )
    before = len(plan.regions) - len(remaining) - len(to_do.keys() - {None})
    reporter = Reporter(called(progress), before, len(plan.regions), began)
    crew, notes = crew_of(planned, list(to_do), workers, executor)
    with target.without_traces():
        commits = _commit_all(committer, [*to_do.values()], crew, reporter)
    aside = publish or append is not None or side is not None
    published = aside and _publish(target, side, remaining)
    on_side = side.name if side is not None and remaining else None
    return ImportResult(
        url=url,
        branch=branch,
        commits=tuple(commits),
        regions_in=len(plan.regions) - len(remaining),
        regions_total=len(plan.regions),
        remaining=remaining,
        created=created,
        published=published,
        on_side=on_side,
        seconds=time.monotonic() - began,
        notes=(*documents.notes, *_notes(begun, branch, on_side is not None), *notes),
        code=_opening(plan, url, branch, repo_options),
    )


def _check(branch: str, append: str | None, some: bool, anew: bool, workers: int) -> None:
    """Refuse what makes no sense: to append ``some`` regions alone, or those there once more."""
    if not branch:
        raise InputError("--branch is empty: a branch must have a name")
    require_workers(workers)
    if append is None:
        return
    if some:
        raise InputError("--regions with --append: all regions are appended: leave it out")
    if anew:
        raise InputError(
            "--anew with --append: what is appended is put behind what is there, once: leave it out"
        )


def _to_do(
    begun: Begun, chosen: frozenset[int | None], anew: bool
) -> tuple[dict[int | None, PlannedCommit], tuple[int, ...]]:
    """Return the commits to make by region, and the regions that are not in and not chosen."""
    again = chosen if anew else frozenset[int | None]()
    lacking = [
        item for item in begun.work if item.entry.region in again or not item.is_in(begun.history)
    ]
    to_do = {item.entry.region: item for item in lacking if item.entry.region in chosen}
    regions = (item.entry.region for item in lacking)
    return to_do, tuple(one for one in regions if one is not None and one not in to_do)


def _notes(begun: Begun, branch: str, aside: bool) -> list[str]:
    """Return what is to be known of what was on the branch before."""
    return [
        *(begun.appending.notes if begun.appending else ()),
        *still_held_notes(begun.history, branch),
        *read_otherwise_notes(begun.otherwise, branch),
        # A commit to the branch would keep what is aside from being published: told with the last.
        *(() if aside else left_behind_notes(begun.left, branch)),
    ]


def _budget(
    plan: Plan,
    receipts: Receipts,
    container: Container,
    work: Sequence[PlannedCommit],
    memory: int,
    limits: Limits | None,
) -> Budget:
    """Return how to import ``work`` within ``memory`` bytes; refuse what needs more."""
    planned = budget(plan, receipts, container, work, memory, limits or USUAL)
    check_memory(plan, work, planned)
    return planned


def _commit_all(
    committer: Committer, work: Sequence[PlannedCommit], crew: Crew | None, reporter: Reporter
) -> list[Commit]:
    """Commit all of ``work``; return the commits that were needed."""
    commits: list[Commit] = []
    with closing(_done(committer, work, crew, reporter)) as items:
        for item, done in items:
            commit = committer.commit(item, done)
            if commit is not None:
                commits.append(commit)
            if item.entry.region is not None:
                reporter.add(commits)
    return commits


def _done(
    committer: Committer, work: Sequence[PlannedCommit], crew: Crew | None, reporter: Reporter
) -> Generator[tuple[PlannedCommit, Forked | Iterator[Calls]]]:
    """Yield what is to be committed with what is set of it already, or the calls that set it.

    Record files are read, and workers begin, once the hierarchy is in; without workers before.
    """
    here = [item for item in work if crew is None or item.entry.region is None]
    lots = (lot for item in here for lot in committer.lots(item))
    with one_ahead(committer.reading.calls(lots)) as calls:
        for item in here:
            yield item, calls
    if crew is not None:
        yield from set_ahead(committer, work[len(here) :], crew, reporter.waits)


def _publish(target: Branch, side: Branch | None, remaining: Sequence[int]) -> bool:
    """Move the branch to what was committed aside, once all is in; return whether all is."""
    if side is None:
        target.drop_side()
        return True
    if remaining:
        return False
    target.move_to(side)
    return True


def _open(
    repo: str | icechunk.Repository,
    plan: Plan,
    container: Container,
    out: Location,
    options: Mapping[str, str] | None,
    appended_to: bool,
    together: int,
) -> tuple[Any, str, bool]:
    """Return the repository with the plan's splitting, its name, and whether it is new.

    One that is ``appended_to`` keeps its own. Manifests of ``together`` arrays are written at a
    time.
    """
    if isinstance(repo, str) and appended_to:
        repository, url, created = *open_to_append(repo, container, options), False
    elif isinstance(repo, str):
        repository, url, created = open_or_create(repo, plan, container, out, options)
    else:
        if options:
            raise InputError("repo_options are for a repository given as path or URL")
        repository, url, created = repo, "the repository", False
    config = repository.config
    if not container.is_declared(config):
        raise InputError(
            f"{url} has no virtual chunk container for {container.words}, without which Icechunk "
            f"reads no chunk from there: open it in Python as repo and run: import icechunk as ic; "
            f"{container.code()}"
        )
    misdirected = container.misdirected(config)
    if misdirected is not None:
        raise InputError(
            f"{url} {misdirected}: import into another REPO, or, where it has no chunks from there "
            f"that are to stay, open it in Python as repo and run: import icechunk as ic; "
            f"{container.code()}"
        )
    if not created and not appended_to:
        split_manifests(config, plan)
    adapter.forget_manifests(config)
    adapter.write_together(config, together)
    # Not saved: the splitting of a repository that was there, and the rest, are this import's.
    with adapter.reported(f"open {url} for the import", "check the access"):
        repository = repository.reopen(config=config)
    return repository, url, created


def _opening(plan: Plan, url: str, branch: str, repo_options: Mapping[str, str] | None) -> str:
    """Return the Python that opens the result, with the options that REPO was reached with."""
    repo, named = json.dumps(url, ensure_ascii=False), json.dumps(branch, ensure_ascii=False)
    told = told_options("repo_options", url, repo_options)
    store = f"parchunk.open_icechunk({repo}{told}).readonly_session({named}).store"
    which = first_group(plan.hierarchy)
    if which is None:
        return f'zarr.open_group({store}, mode="r")'
    return f"xarray.open_zarr({store}{which}, consolidated=False)"
