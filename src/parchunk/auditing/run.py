"""The audit: every record file, in a stream, side by side; then what the whole amounts to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

from parchunk.arguments.idle import refuse_idle
from parchunk.arguments.lenient import called, lenient
from parchunk.auditing.against_repository import AgainstRepository, against_repository
from parchunk.auditing.all_arrays import AllArrays, read_arrays
from parchunk.auditing.asked_source import AskedSource, opened, refuse_of_listing
from parchunk.auditing.audit_counts import AuditCounts
from parchunk.auditing.by_store import coverage_by_store
from parchunk.auditing.decoding import Sample
from parchunk.auditing.findings import Finding
from parchunk.auditing.labels import labels_for
from parchunk.auditing.of_all import findings_of_all
from parchunk.auditing.periods import Periods, check_unit, periods_of, unit_of
from parchunk.auditing.policy import Policy
from parchunk.auditing.policy_file import read_policy
from parchunk.auditing.progress import AuditProgress, Reporter
from parchunk.auditing.receipt_check import Audited, read_partitions
from parchunk.auditing.result import AuditReport
from parchunk.auditing.sharing import opened_hands
from parchunk.auditing.since import compared, read_audit
from parchunk.auditing.uneven_labels import uneven_labels
from parchunk.auditing.wording import early_ends
from parchunk.cover.memory import DEFAULT_CONCURRENCY, DEFAULT_MEMORY, peak_memory
from parchunk.errors import InputError
from parchunk.out.counts import BuildCounts
from parchunk.out.opening import open_output
from parchunk.out.output import Output
from parchunk.out.plan_file import load_plan
from parchunk.out.prepared import refuse_between
from parchunk.out.receipts import Receipt, listings
from parchunk.out.under_way import read_under_way
from parchunk.planning.inventory import MOST_PROBED, as_inventory
from parchunk.planning.labels import Labels
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source

if TYPE_CHECKING:
    from icechunk import Repository


@lenient
def audit(
    out: str | PathLike[str] | Output,
    *,
    against_source: bool = False,
    icechunk: str | Repository | None = None,
    branch: str = "main",
    repo_options: Mapping[str, str] | None = None,
    expect: str | Sequence[str] = (),
    allow_missing: str | Sequence[str] = (),
    max_missing: float | str | None = None,
    policy: str | PathLike[str] | None = None,
    by: str | None = None,
    decode: str | float | None = None,
    since: str | PathLike[str] | None = None,
    source: Source | str | PathLike[str] | None = None,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
    memory: int | str = DEFAULT_MEMORY,
    concurrency: int = DEFAULT_CONCURRENCY,
    max_lists_per_second: float | None = None,
    workers: int = 1,
    executor: Executor | Any = None,
    consolidated: str | None = None,
    listing: str | None = None,
    inventory: str | Sequence[str] = (),
    inventory_root: str | None = None,
    probe: bool = False,
    probe_limit: int = MOST_PROBED,
    progress: Callable[[AuditProgress], None] | bool | None = None,
) -> AuditReport:
    """Audit the references in OUT: is everything there, and is every reference right?

    Parameters
    ----------
    out
        The folder that a build wrote, finished or not.
    against_source
        List the source again, and compare.
    icechunk, branch, repo_options
        A repository, or its path or URL, that the references were imported into: compare counts
        and a sample of references by region with its branch.
    expect
        ``DIM=START:STOP`` in elements, half-open, or from one date of the split dimension to
        another, both included (``"time=2015-01-11:2018-05-15"``): chunks outside are not expected.
    allow_missing
        Globs of arrays that may have gaps.
    max_missing
        The percentage of each array's expected chunks that may be missing: ``1``, or ``"1%"``.
    policy
        A TOML file that says such things by array (docs/audit.md); what is given beside it counts
        for all arrays.
    by
        ``"year"``, ``"month"``, ``"day"`` or ``"hour"``: tell which of them are complete, too, by
        the dates of the split dimension. ``"fitting"``: the one that a page has room for, if there
        are dates.
    source
        The opened source, where the URL in the plan and ``store_options`` do not say enough; or
        another path or URL of it.
    decode
        Read so many chunks of the source, or such a percentage (``"0.1%"``), and decode them.
    since
        What ``parchunk audit --json`` printed of an earlier audit: tell what is new since then,
        and what was mended.
    memory, concurrency, max_lists_per_second
        Bound, listings side by side and LIST requests a second at most of ``against_source``: of
        all processes together, and of each task of an ``executor``.
    workers
        Processes that share the work, ``memory`` and listings.
    executor
        Any `concurrent.futures.Executor`, or a Dask ``Client``, in place of processes, as for
        `parchunk.build`: ``workers`` says among how many at least to share out.
    consolidated
        How ``against_source`` takes consolidated metadata, as for `parchunk.plan`. Default: as it
        was planned.
    listing
        Who lists the source for ``against_source``, as for `parchunk.plan`.
    inventory, inventory_root
        A newer inventory in place of the listing for ``against_source``, as for `parchunk.plan`.
    probe, probe_limit
        Ask for each chunk by itself for ``against_source``, as for `parchunk.plan`.
    progress
        True shows a bar. Or what is called with how far it is: record files, then what is listed.
    store_options, output_options
        For the source and for ``out``, as for `parchunk.build`.

    Raises
    ------
    InputError
        When OUT holds no build, its plan cannot be relied on, or a policy names what is not there;
        when what looks like damage was written while it was read.
    OutputError, SourceError
        When something cannot be read at all.
    """
    began, now = time.monotonic(), datetime.now(UTC)
    earlier = None if since is None else read_audit(str(since))
    memory = cast(int, memory)
    check_unit(by)
    rate = None if max_lists_per_second == math.inf else max_lists_per_second
    if not against_source:
        refuse_of_listing(
            inventory, inventory_root, probe, probe_limit, listing, consolidated, rate
        )
        refuse_idle("--against-source or --decode", {"source=": source and decode is None})
    if icechunk is None:
        refuse_idle("--icechunk", {"--branch": branch != "main", "--repo-option": repo_options})
    given = as_inventory(inventory, inventory_root, memory, probe, probe_limit)
    named = opened(source, store_options, by_others=workers > 1 and executor is None)
    asked = _policy_of(expect, allow_missing, max_missing, policy)
    sample = None if decode is None else Sample.parse(decode)
    asked_source = AskedSource(
        named, store_options, against_source, sample, given, listing, consolidated, rate, memory,
        concurrency,
    )  # fmt: skip
    output = open_output(out, output_options)
    plan = _plan_of(output)
    labels = labels_for(plan, output, store_options)
    agreed = asked.for_plan(plan, labels)
    unit = unit_of(by, plan, labels)  # refused before anything is read
    under_way = read_under_way(output, plan)
    done, undone, findings = read_partitions(plan, output, under_way.updating)
    files = sum(-(-item.partition.rows.total // plan.record_size) for item in done)
    reporter = Reporter(called(progress), AuditProgress(0, files))
    with opened_hands(workers, executor, reporter.waits) as hands:
        arrays = read_arrays(
            plan, output, agreed, done, undone, labels, memory, hands, reporter, unit is not None
        )
        receipts = [item.receipt for item in done if item.receipt]
        findings += arrays.findings
        incomplete = {array.array for array in arrays.audited if array.present < array.expected}
        findings += early_ends(asked, plan, labels)
        findings += uneven_labels(plan, labels, incomplete)
        findings += findings_of_all(plan, output, agreed, under_way, undone, receipts)
        answer = asked_source.answer(plan, output, done, hands, reporter)
        findings += answer.findings
    _refuse_written(plan, output, under_way.updating, done, findings)
    repository, differences = _in_repository(icechunk, output, branch, repo_options)
    findings += differences
    findings.sort(key=_importance)
    report = replace(
        _report(plan, output, labels, arrays, receipts, now, under_way.published),
        findings=tuple(findings),
        seconds=time.monotonic() - began,
        peak_memory=peak_memory(children=workers > 1),
        periods=_periods(unit, plan, labels, arrays, agreed),
        comparison=answer.comparison,
        repository=repository,
        decoded=answer.decoded,
    )
    if earlier is not None:
        news = compared(report, str(since), earlier, imported=icechunk is not None)
        report = replace(report, since=news)
    return report


def _policy_of(
    expect: str | Sequence[str],
    allow_missing: str | Sequence[str],
    max_missing: float | str | None,
    policy: str | PathLike[str] | None,
) -> Policy:
    """Return what may be missing, by a file and by what is given beside it."""
    rules = () if policy is None else read_policy(str(policy))
    return Policy.of(expect, allow_missing, max_missing, rules)


def _report(
    plan: Plan,
    output: Output,
    labels: Labels,
    arrays: AllArrays,
    receipts: Sequence[Receipt],
    began: datetime,
    published: bool,
) -> AuditReport:
    """Return what the arrays, as they were read, and the receipts come to; nothing was found."""
    built = BuildCounts.total(receipts)
    return AuditReport(
        **AuditCounts.total(arrays.audited).values(),
        url=output.url,
        source=plan.location.url,
        audited=began.strftime("%Y-%m-%dT%H:%M:%SZ"),
        plan=plan,
        findings=(),
        arrays=tuple(arrays.audited),
        partitions=tuple(arrays.partitions),
        stores=coverage_by_store(plan, arrays.along, arrays.audited, labels),
        completeness=arrays.completeness(),
        published=published,
        record_files=arrays.files,
        record_bytes=arrays.file_bytes,
        list_requests=built.requests,
        list_requests_least=built.requests_least if built.requests else 0,
        retries=built.retries,
        build_seconds=built.seconds,
        seconds=0.0,
        peak_memory=0,
        labels=labels,
        listings=listings(receipts),
    )


def _plan_of(output: Output) -> Plan:
    """Return the plan of OUT, unless a part of OUT is already of another one."""
    refuse_between(output)
    return load_plan(output)


def _refuse_written(
    plan: Plan,
    output: Output,
    updating: bool,
    done: Sequence[Audited],
    findings: Sequence[Finding],
) -> None:
    """Refuse to call damage what a build or an update wrote meanwhile: receipts go before files."""
    if not any(found.severity == "damage" for found in findings):
        return
    now = load_plan(output)
    if now.fingerprint != plan.fingerprint or read_partitions(plan, output, updating)[0] != done:
        raise InputError(
            f"{output.url} was written to while it was audited, by a build or an update: audit "
            "again when that has ended"
        )


def _in_repository(
    icechunk: str | Repository | None,
    output: Output,
    branch: str,
    repo_options: Mapping[str, str] | None,
) -> tuple[AgainstRepository | None, list[Finding]]:
    """Return how a repository compares, and what that comes to, where one is given."""
    if icechunk is None:
        return None, []
    return against_repository(output, icechunk, branch, repo_options)


def _periods(
    unit: str | None, plan: Plan, labels: Labels, arrays: AllArrays, policy: Policy
) -> Periods | None:
    """Return what is there by period, over the arrays that have the split dimension."""
    split = plan.split
    if unit is None or split is None:
        return None
    along = [
        (each.steps, each.lacking)
        for each in arrays.along
        if split.axis_in(each.steps.spec) == each.steps.axis
    ]
    return periods_of(unit, split.dimension, labels, along, policy)


def _importance(found: Finding) -> tuple[int, str, str, int]:
    order = ("damage", "change", "gap", "notice")
    return (order.index(found.severity), found.array or "", found.kind, found.region or 0)
