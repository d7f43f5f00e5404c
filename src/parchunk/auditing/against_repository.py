"""What an Icechunk repository, imported from OUT, has otherwise than the references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from parchunk.auditing.findings import Finding, finding
from parchunk.out.output import Output

if TYPE_CHECKING:
    import icechunk


def repository_findings(
    output: Output,
    repository: str | icechunk.Repository,
    branch: str,
    repo_options: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Return a finding for every difference, by array and region, and for what is not compared.

    Counts of every chunk are compared, and a sample of references by what they point to.

    Raises
    ------
    InputError
        When OUT is unfinished, or there is no such repository or branch.
    MissingExtraError
        Without icechunk.
    """
    from parchunk.icechunk_import import compare_with_repo

    compared = compare_with_repo(output, repository, branch=branch, repo_options=repo_options)
    left_out = [
        finding(
            "repository",
            f"{name} is not compared: it was left out of branch {branch} of the repository",
            "nothing, if that was meant; else run parchunk to-icechunk with it",
            severity="notice",
            array=name,
        )
        for name in (() if compared.appended else compared.left_out)
    ]
    differences = [
        finding(
            "repository",
            f"{difference.array}"
            + (f", region {difference.region}" if difference.region is not None else "")
            + f": branch {branch} of the repository differs ({difference.kind}): "
            + difference.message,
            "run parchunk to-icechunk again: it replaces regions that changed",
            array=difference.array,
            region=difference.region,
            count=max(difference.count, 1),
        )
        for difference in compared.findings
    ]
    return differences + left_out
