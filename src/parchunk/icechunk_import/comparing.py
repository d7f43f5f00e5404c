"""Comparing references in OUT with what a repository's branch holds.

Every chunk is compared by its presence and, where icechunk tells that of all, by being a reference
or bytes; a sample by what it refers to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

from parchunk.arguments.lenient import lenient
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.appending import (
    Appending,
    appended_behind,
    newest_append,
    origin_of,
)
from parchunk.icechunk_import.branches import Branch
from parchunk.icechunk_import.compared_arrays import ArraysCompared, RepoFinding
from parchunk.icechunk_import.history import History, digest_of, read_history
from parchunk.icechunk_import.left_behind import how_to_delete, left_behind
from parchunk.icechunk_import.locations import Container
from parchunk.icechunk_import.repository import open_existing
from parchunk.icechunk_import.selecting import only_of
from parchunk.out.opening import open_output
from parchunk.out.output import Output
from parchunk.out.plan_file import load_plan, published_plan
from parchunk.reading.rows import finished_receipts

if TYPE_CHECKING:
    import icechunk

#: References of each partition that are looked up one by one.
SAMPLE = 20


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
    container = Container.of_plan(plan)
    found = ArraysCompared(session, output, plan, receipts, container, appending, sample)
    for array in plan.arrays:
        found.compare(array)
    return RepoComparison(
        branch,
        session.snapshot_id,
        found.partitions,
        found.chunks,
        found.sampled,
        tuple(found.findings),
        left_out,
        appended=appending is not None,
        located=adapter.takes_arrays(),
        behind=None if behind is None else behind.origin,
        unreachable=_unreachable(container, repository.config) if found.refers else None,
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
