"""The audit of a store: references are made for it, audited, and kept only where that is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from parchunk.auditing.decoding import Sample
from parchunk.auditing.periods import FITTING, unit_of
from parchunk.auditing.policy import Policy
from parchunk.auditing.policy_file import read_policy
from parchunk.auditing.since import read_audit
from parchunk.building.build import build
from parchunk.cli.progress import progress_shown
from parchunk.errors import InputError, OutputError
from parchunk.listing.patience import Patience
from parchunk.metadata.names import OWN
from parchunk.out.opening import open_output
from parchunk.out.output import PLAN, ROOT
from parchunk.planning.from_source import plan as make_plan
from parchunk.planning.joining.joining import UnjoinedError
from parchunk.planning.labels import coordinate_of
from parchunk.planning.plan import Plan
from parchunk.planning.reading_labels import labels_of
from parchunk.stores.urls import is_http

#: Options of `parchunk audit` that are about the store alone, as they are spelled.
STORE_ONLY = {
    "keep": "--keep",
    "split": "--split",
    "region": "--region",
    "group": "--group",
    "include": "--include",
    "exclude": "--exclude",
    "skip_unsupported": "--skip-unsupported",
}

#: What says how a source is listed: the store, or that of OUT for --against-source.
OF_SOURCE = ("consolidated", "listing", "inventory", "inventory_root", "probe", "probe_limit")

#: Options that the audit of a native repository has no use for.
_NOT_NATIVE = {
    "against_source": "--against-source",
    "icechunk": "--icechunk",
    "decode": "--decode",
    "keep": "--keep",
    "inventory": "--inventory",
    "inventory_root": "--inventory-root",
    "probe": "--probe",
    "probe_limit": "--probe-limit",
    "listing": "--listing",
    "consolidated": "--consolidated",
    "max_lists_per_second": "--max-lists-per-second",
    "dask": "--dask",
    "store_options": "--store-option",
    "output_options": "--output-option",
}


@dataclass(frozen=True)
class Asked:
    """The ``store`` to audit, ``by`` which periods, and how much its listing may take: ``rate``
    pages a second.
    """

    store: str
    by: str | None
    memory: int
    concurrency: int
    workers: int
    rate: float
    output_options: Mapping[str, str]
    quiet: bool


def is_store(
    given: str, store_options: Mapping[str, str], output_options: Mapping[str, str]
) -> bool:
    """Whether what is to be audited is no references, as far as can be seen, and so a store.

    Raises
    ------
    OutputError
        When it cannot be read, and no options are given that a store may need.
    """
    if is_store_alone(given):
        return True
    output = open_output(given, output_options)
    try:
        if output.get(PLAN) is not None or output.holds(OWN, ".json"):
            return False
        return b'"record_size"' not in (output.get(ROOT) or b"")
    except OutputError:
        if store_options:
            return True
        raise


def is_store_alone(given: str) -> bool:
    """Whether it can be a store and no references: of an HTTP server, or a whole bucket."""
    scheme, mark, rest = given.partition("://")
    in_bucket = bool(mark) and scheme.lower() != "file"
    return is_http(given) or (in_bucket and "/" not in rest.rstrip("/"))


def refuse_store_options(options: Mapping[str, Any]) -> None:
    """Refuse options of a store where references are audited, which are what they are.

    Raises
    ------
    InputError
        Naming the first of them.
    """
    for name, spelled in STORE_ONLY.items():
        if options[name]:
            raise InputError(f"{spelled} is for the audit of a store: OUT was planned already")


def refuse_beside_store(given: str, dask: str | None, compared: bool) -> None:
    """Refuse what is for references alone, where a store is audited.

    Raises
    ------
    InputError
        Naming what to do instead.
    """
    if dask is not None:
        raise InputError(
            f"{given} holds no parchunk build: --dask is for references that all workers reach: "
            "run parchunk build SRC OUT --dask ADDRESS, then audit OUT"
        )
    if compared:
        raise InputError(
            f"{given} holds no parchunk build: --against-source and --icechunk are for references, "
            "not a store: give OUT, as it was given to parchunk build"
        )


def refuse_beside_native(context: click.Context) -> None:
    """Refuse what the command line says of sources, where a repository's own chunks are audited.

    Raises
    ------
    InputError
        Naming all of it.
    """
    told = [
        spelled
        for name, spelled in _NOT_NATIVE.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if told:
        raise InputError(f"--native reads the repository alone: leave out {' and '.join(told)}")


def policy_of(rules: Mapping[str, Any], since: str | None) -> Policy:
    """Return the policy of an audit, whose sample and earlier audit can be read, too.

    Whoever misspells one of them is told before a store is listed, which may take hours.

    Raises
    ------
    InputError
        As the audit does.
    """
    if since is not None:
        read_audit(since)
    if rules["decode"] is not None:
        Sample.parse(rules["decode"])
    given = () if rules["policy"] is None else read_policy(rules["policy"])
    return Policy.of(rules["expect"], rules["allow_missing"], rules["max_missing"], given)


def _planned(store: str, chosen: Mapping[str, Any]) -> Plan:
    try:
        return make_plan(store, **chosen)
    except UnjoinedError as error:
        raise InputError(
            f"{store} is {str(error).partition(':')[0]}, and an audit of SRC is of one: parchunk "
            "build makes references of them (--concat, --stack or --merge): audit those, or each"
        ) from None
    except InputError as error:
        if str(error).startswith("no Zarr metadata"):
            raise InputError(f"{store} holds no parchunk build, and {error}") from None
        raise


def _check_dates(plan: Plan, by: str | None, policy: Policy) -> None:
    """Refuse dates that an audit would refuse, before a store is listed, which may take hours.

    Where a chunk of the coordinate is missing, its labels are known when all is listed only.

    Raises
    ------
    InputError
        As the audit does.
    SourceError
        When the coordinate cannot be read.
    """
    if plan.source is None or (by in (None, FITTING) and not policy.has_dates):
        return
    labels = labels_of(plan, plan.source)
    if len(labels) or coordinate_of(plan) is None:
        policy.for_plan(plan, labels)
        unit_of(by, plan, labels)


@contextmanager
def native_references(
    asked: Asked,
    branch: str,
    repo_options: Mapping[str, str],
    chosen: Mapping[str, Any],
    policy: Policy,
) -> Iterator[str]:
    """Yield where references of the chunks of an Icechunk repository are, which nobody can read.

    They say which chunks are there and how large each is, which is what an audit asks.

    Raises
    ------
    ParchunkError
        As reading the repository, planning and building do.
    """
    from parchunk.icechunk_import.native import write_native

    with tempfile.TemporaryDirectory(prefix="parchunk-audit-") as folder:
        made = write_native(asked.store, Path(folder), branch, repo_options)
        # As they are: Icechunk holds v3 arrays, and chunks of the grid, which may be shards.
        kept = {"inline_coordinates": False, "zarr_format": 3, "shards": "whole"}
        more = {**chosen, **kept, "inventory": made.inventory, "consolidated": "ignore"}
        with references_of(replace(asked, store=made.store), None, more, policy) as where:
            yield where


@contextmanager
def references_of(
    asked: Asked, keep: str | None, chosen: Mapping[str, Any], policy: Policy
) -> Iterator[str]:
    """Yield where references of a store are: ``keep``, or a temporary folder that is deleted.

    ``chosen`` is what planning is told; what the ``policy`` of the audit names must be in the plan.

    Raises
    ------
    ParchunkError
        As planning and building do.
    """
    plan = _planned(asked.store, chosen)
    policy.check(plan)
    _check_dates(plan, asked.by, policy)
    with tempfile.TemporaryDirectory(prefix="parchunk-audit-") as folder:
        out = keep or f"{folder}/references"
        with progress_shown(asked.quiet, "listing") as progress:
            build(
                plan,
                out,
                memory=asked.memory,
                concurrency=asked.concurrency,
                workers=asked.workers,
                patience=Patience(lists_per_second=asked.rate),
                output_options=asked.output_options if keep else {},
                progress=progress,
            )
        yield out
