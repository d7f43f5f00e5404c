"""References against the source as it is now: listed again by the same cover as a build's.

Chunks that are new, gone, or changed are named by region. Changed means another size, or modified
after everything that the build saw of that partition, so that a rewrite of equal size is found too;
or of another time or entity tag, where what each object had is kept (``--identity``).

Of expanded sharded arrays the objects are shards, whose sizes references do not hold: a shard
counts as resized when it ends before a reference into it does. Where it was not modified since,
that is damage of the references. What no listing shows is read again, as
`parchunk.auditing.source_contents` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from parchunk.auditing.change_findings import change_findings, untimed_findings
from parchunk.auditing.changes import Comparison
from parchunk.auditing.chunkless import chunkless_findings
from parchunk.auditing.comparing import (
    Allowed,
    Compared,
    ComparisonTask,
    compare_part,
    compare_partitions,
)
from parchunk.auditing.findings import Finding, finding
from parchunk.auditing.found_arrays import array_findings, gone_arrays, gone_remedy
from parchunk.auditing.progress import AuditProgress, Reporter
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.sharing import Hands, Part
from parchunk.auditing.source_contents import ALL_OF_LITTLE, MostRead, Shares
from parchunk.auditing.source_now import as_it_is
from parchunk.cover.dividing import divide
from parchunk.listing.patience import Patience, Requests
from parchunk.metadata import Hierarchy
from parchunk.metadata.meaning import differences, same_meaning
from parchunk.out.output import Output
from parchunk.planning.inventory import require_few
from parchunk.planning.plan import Plan
from parchunk.planning.source_again import open_source
from parchunk.planning.stretches import partitions_in, stretch_name
from parchunk.stores.source import Source
from parchunk.workers.crews import Call


def compare(
    plan: Plan,
    output: Output,
    done: Sequence[Audited],
    source: Source | None,
    store_options: Mapping[str, str] | None,
    memory: int,
    concurrency: int,
    consolidated: str | None = None,
    listing: str | None = None,
    most_read: MostRead = ALL_OF_LITTLE,
    rate: float | None = None,
    hands: Hands | None = None,
    reporter: Reporter | None = None,
) -> Comparison:
    """List the source again, and return how it differs from the references.

    Partitions that are not built are not listed: everything in them would be new. ``most_read`` is
    how much is read again beyond what a listing shows; ``rate`` how many pages may be asked for a
    second. ``hands`` share the work; ``reporter`` is told how far it is.

    Raises
    ------
    ListingError, SourceError
        When the source cannot be listed.
    """
    source = replace(source or open_source(plan, store_options), identity=plan.identity)
    if listing is not None:
        source = replace(source, listing=listing)
    found = as_it_is(plan, source, consolidated, store_options)
    now, updatable, options = found.hierarchy, found.updatable, found.options
    findings = [*array_findings(plan, now, found.update, found.remedy), *found.findings]
    findings += _metadata_findings(plan, now, source, found.remedy if updatable else "")
    empty = {spec.name for spec in now.arrays if not spec.total}
    lost = dict.fromkeys(found.shrunk, found.remedy)
    lost |= dict.fromkeys(gone_arrays(plan, now), gone_remedy(found.update))
    del now, found  # of very many arrays it takes much
    patience = Patience(lists_per_second=math.inf if rate is None else rate)
    allowed = Allowed(memory, concurrency, 1, patience, Shares.of(plan, done, most_read))
    reporter = reporter or Reporter(None, AuditProgress(0, 0))
    objects = sum(item.partition.objects.total for item in done)
    require_few(source, objects)
    reporter.begin_listing(objects)
    seen = _compared(plan, output, source, done, allowed, hands, reporter)
    beside = Requests(total=reporter.requests)
    findings += chunkless_findings(plan, empty, source, beside, patience, concurrency)
    # In one order, however it was shared out.
    place = {array.spec.name: at for at, array in enumerate(plan.arrays)}
    regions = sorted(seen.regions, key=lambda one: (place[one.array], one.region or 0))
    for one in regions:
        findings += change_findings(one, updatable, lost.get(one.array, ""), options)
    findings += untimed_findings(seen.untimed, probed=source.manner.probed)
    remote = source.manner.remote
    return Comparison(
        tuple(regions),
        tuple(findings),
        seen.lists + beside.lists if remote else 0,
        seen.least + beside.lists if remote else 0,
        (*(source.objects.notes if source.objects is not None else ()), *seen.notes),
        seen.indexes,
        seen.inlined,
        seen.listing,
        seen.retries + beside.retries,
        seen.busy + beside.busy,
        seen.untimed,
    )


def _metadata_findings(plan: Plan, now: Hierarchy, source: Source, remedy: str) -> list[Finding]:
    """Return what says that the source's metadata is other than what was built from.

    Where nothing takes that in, there is no ``remedy``, and it has been said why.
    """
    if not remedy or same_meaning(plan.hierarchy, now):
        return []
    changed = "; ".join(differences(plan.hierarchy, now)[:3])
    return [
        finding(
            "source-metadata",
            f"the metadata of {source.url} is no longer what was built from: {changed}",
            remedy,
        )
    ]


def _compared(
    plan: Plan,
    output: Output,
    source: Source,
    done: Sequence[Audited],
    allowed: Allowed,
    hands: Hands | None,
    reporter: Reporter,
) -> Compared:
    """Return what listing all partitions comes to, here or shared out."""
    if hands is None:
        return compare_partitions(plan, output, source, done, allowed, reporter)
    processes, listings = hands.processes, allowed.concurrency
    if processes > 1:
        rate = allowed.patience.lists_per_second / processes
        allowed = replace(
            allowed,
            concurrency=max(allowed.concurrency // processes, 1),
            processes=processes,
            patience=replace(allowed.patience, lists_per_second=rate),
        )
    by_key = {item.partition.key: item for item in done}
    left_out = {partition.key for partition in plan.partitions()} - by_key.keys()
    calls = []
    for stretch in divide(plan, source.manner, None, left_out, least=hands.among):
        items = tuple(
            by_key[partition.key]
            for partition in partitions_in(plan, stretch.start, stretch.stop)
            if partition.key in by_key
        )
        name = f"compare {stretch_name(plan, stretch.start, stretch.stop)}"
        task = ComparisonTask(Part(name, output, plan.fingerprint), source, items, allowed)
        objects = sum(item.partition.objects.total for item in items)
        calls.append(Call(name, compare_part, (task,), objects))
    parts = []
    for part in hands.in_order(calls, reporter.compared, listings):
        parts.append(part)
        reporter.requests.add(
            lists=part.lists, keys=part.keys, retries=part.retries, busy=part.busy
        )
        reporter.compared(0)
    return Compared.total(parts)
