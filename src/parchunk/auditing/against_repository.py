"""What an Icechunk repository, imported from OUT, has otherwise than the references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from parchunk.auditing.findings import Finding, finding
from parchunk.out.output import Output
from parchunk.wording import counted

if TYPE_CHECKING:
    import icechunk
    from parchunk.icechunk_import import RepoComparison


@dataclass(frozen=True)
class AgainstRepository:
    """What was compared: of ``chunks`` whether they are there, of ``sampled`` what they refer to.

    ``snapshot`` is the tip of ``branch`` then; ``equal``, whether no difference was found. Icechunk
    1 tells only whether a chunk is a reference, and not of all at once: ``located`` says whether
    places were compared, and of every chunk whether it is one.
    """

    branch: str
    snapshot: str
    chunks: int
    sampled: int
    equal: bool
    located: bool

    @property
    def text(self) -> str:
        """What was compared, in a line."""
        found = "holds what is referenced" if self.equal else "differs"
        all_by, how = (
            ("being there, as references or bytes", "what they refer to")
            if self.located
            else ("being there", "being references (Icechunk 1 tells no more)")
        )
        return (
            f"branch {self.branch} of the repository {found}: compared were "
            f"{counted(self.chunks, 'chunk')} by {all_by}, and {self.sampled:,} of them by {how}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def against_repository(
    output: Output,
    repository: str | icechunk.Repository,
    branch: str,
    repo_options: Mapping[str, str] | None = None,
) -> tuple[AgainstRepository, list[Finding]]:
    """Return what was compared, and a finding for every difference and for what was not.

    Every chunk is compared by being there, and a sample of references by what they point to.

    Raises
    ------
    InputError
        When OUT is unfinished, or there is no such repository or branch.
    MissingExtraError
        Without icechunk.
    """
    from parchunk.icechunk_import import compare_with_repo

    compared = compare_with_repo(output, repository, branch=branch, repo_options=repo_options)
    return (
        AgainstRepository(
            branch,
            compared.snapshot,
            compared.chunks,
            compared.sampled,
            compared.equal,
            compared.located,
        ),
        [*_differences(compared), *_left_out(compared)],
    )


def _left_out(compared: RepoComparison) -> list[Finding]:
    """Return notices of arrays that only one side has: left out, or of an earlier import."""
    branch = compared.branch
    found = [
        finding(
            "repository",
            f"{name} is not compared: it was left out of branch {branch} of the repository",
            "nothing, if that was meant; else run parchunk to-icechunk with it",
            severity="notice",
            array=name,
        )
        for name in (() if compared.appended else compared.left_out)
    ]
    found += [
        finding(
            "repository",
            f"{name} is on branch {branch} of the repository from an earlier import, and not in "
            "the references",
            "nothing, if it is of other references or is to stay; where it is gone for good, open "
            f"REPO in Python as repo and run: {code}",
            severity="notice",
            array=name,
        )
        for name, code in compared.left_behind.items()
    ]
    return found


def _differences(compared: RepoComparison) -> list[Finding]:
    """Return what readers of the repository see otherwise than those of the references."""
    branch = compared.branch
    found = []
    if compared.unreachable is not None:
        found = [
            finding(
                "repository",
                f"the repository {compared.unreachable}",
                "import into another REPO, or, where it has no chunks from there that are to stay, "
                f"open it in Python as repo and run: import icechunk as ic; {compared.declaring}",
            )
        ]
    found += [
        finding(
            "repository",
            f"{difference.array}"
            + (f", region {difference.region}" if difference.region is not None else "")
            + f": branch {branch} of the repository differs ({difference.kind}): "
            + difference.message,
            _remedy(difference.region, compared.appended, compared.behind),
            array=difference.array,
            region=difference.region,
            count=max(difference.count, 1),
        )
        for difference in compared.findings
    ]
    return found


def _remedy(region: int | None, appended: bool, behind: str | None) -> str:
    """Return what to do: what others changed on the branch, its history does not say."""
    if appended:
        return (
            "run parchunk to-icechunk --append again, which replaces regions that changed; where "
            "it says that everything is in, others changed the branch: take it back to a snapshot "
            "from before the append (repo.reset_branch), and append again"
        )
    if behind is not None:
        return (
            f"nothing, where arrays are longer by what was appended from {behind} and no chunk is "
            "missing or other; else import on a --branch that was made from a snapshot of before "
            "(repo.create_branch), or into another REPO, as an import would cut that off"
        )
    which = "" if region is None else f" --regions {region}"
    return (
        "run parchunk to-icechunk again, which replaces regions that changed; where it says that "
        f"everything is in, others changed the branch: run it with --anew{which}"
    )
