"""The audit of a store: that of references which were made for it and are gone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from parchunk.auditing.findings import Finding
from parchunk.auditing.result import AuditReport

#: What remedies say to do with references, and what is done where there are none.
_AGAIN = re.compile(
    r"(run )?parchunk update OUT( --\S+ ('[^']*'|[^\s:;,]\S*(?<![:;,])))*|build with --overwrite"
)
_QUERY = re.compile(r"; (parchunk sql OUT '[^']*' names them)( all)?")


def report_of_store(report: AuditReport) -> AuditReport:
    """Return the audit of a store, from that of references just made for it and not kept."""
    since = report.since
    if since is not None:
        since = replace(since, new=_of_store(since.new))
    findings = _of_store(report.findings)
    return replace(report, url=report.source, findings=findings, of_store=True, since=since)


def report_of_repository(report: AuditReport, repo: str) -> AuditReport:
    """Return the audit of an Icechunk repository, from that of an inventory of its chunks.

    Its references cannot be kept, and so not be asked.
    """
    findings = tuple(
        replace(found, remedy=_QUERY.sub("", found.remedy))
        for found in report.findings
        if found.kind != "as-of-inventory"
    )
    return report_of_store(replace(report, source=repo, findings=findings))


def _of_store(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(
        replace(
            found,
            remedy=_QUERY.sub(r"; with --keep OUT, \1\2", _AGAIN.sub("audit again", found.remedy)),
        )
        for found in findings
    )
