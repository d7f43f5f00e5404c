"""What an audit asks its source, as the user said who lists it: all keys again, a few chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike

from parchunk.arguments.idle import refuse_idle
from parchunk.auditing.changes import Comparison
from parchunk.auditing.decoding import Decoded, Sample, decode_sample
from parchunk.auditing.findings import Finding
from parchunk.auditing.progress import Reporter
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.sharing import Hands
from parchunk.errors import InputError
from parchunk.out.inventory_date import refuse_older
from parchunk.out.output import Output
from parchunk.planning.inventory import MOST_PROBED, Inventory
from parchunk.planning.plan import Plan
from parchunk.planning.source_again import open_source
from parchunk.stores.source import Source


@dataclass(frozen=True)
class SourceAnswer:
    """How the source compares, and what decoding came to; each None where it was not asked."""

    comparison: Comparison | None
    decoded: Decoded | None

    @property
    def findings(self) -> list[Finding]:
        """What both found."""
        compared = [] if self.comparison is None else self.comparison.findings
        return [*compared, *([] if self.decoded is None else self.decoded.findings)]


@dataclass(frozen=True)
class AskedSource:
    """The source of an audit, None where the plan's will do, and what it is asked.

    It is listed ``again`` or not, and a ``sample`` of its chunks is decoded, or none. ``given`` is
    what stands for its listing, ``rate`` how many pages may be asked for a second; ``memory`` in
    bytes and ``concurrency`` bound what is listed or read at the same time.
    """

    source: Source | None
    store_options: Mapping[str, str] | None
    again: bool
    sample: Sample | None
    given: Inventory
    listing: str | None
    consolidated: str | None
    rate: float | None
    memory: int
    concurrency: int

    def answer(
        self,
        plan: Plan,
        output: Output,
        done: Sequence[Audited],
        hands: Hands | None,
        reporter: Reporter,
    ) -> SourceAnswer:
        """Ask it of the partitions that are ``done``.

        Raises
        ------
        InputError
            When what is ``given`` is older than OUT, or chunks cannot be decoded.
        ListingError, SourceError
            When it cannot be listed or read.
        """
        source, comparison, decoded = self.source, None, None
        if self.again:
            from parchunk.auditing.against_source import compare

            source = self._listed_by_what_is_given(plan, done)
            comparison = compare(
                plan, output, done, source, self.store_options, self.memory, self.concurrency,
                self.consolidated, self.listing, rate=self.rate, hands=hands, reporter=reporter,
            )  # fmt: skip
        if self.sample is not None:
            source = source or open_source(plan, self.store_options)
            decoded = decode_sample(
                plan, output, done, source, self.sample, self.concurrency, hands
            )
        return SourceAnswer(comparison, decoded)

    def _listed_by_what_is_given(self, plan: Plan, done: Sequence[Audited]) -> Source | None:
        """Return the source with what is ``given`` in place of its listing, no older than OUT."""
        if not self.given.given:
            return self.source
        named = replace(plan, source=self.source)
        opened = open_source(named, self.store_options, self.listing, self.given)
        refuse_older(plan, [item.receipt for item in done if item.receipt], opened)
        return opened


def opened(
    source: Source | str | PathLike[str] | None,
    store_options: Mapping[str, str] | None,
    by_others: bool,
) -> Source | None:
    """Return the source that is named, opened; ``by_others``: processes beside this one read it.

    Raises
    ------
    InputError, SourceError
        When it cannot be opened, or others cannot reach it.
    """
    if source is not None and not isinstance(source, Source):
        source = Source.open(str(source), store_options)
    if by_others and source is not None and source.manner.in_memory:
        raise InputError("a store in memory cannot be reached by other processes: use --workers 1")
    return source


def refuse_of_listing(
    inventory: str | Sequence[str],
    inventory_root: str | None,
    probe: bool,
    probe_limit: int,
    listing: str | None,
    consolidated: str | None,
    rate: float | None,
) -> None:
    """Refuse what says how a source is listed, where none is.

    Raises
    ------
    InputError
        Naming the options.
    """
    given = {
        "--inventory": inventory,
        "--inventory-root": inventory_root is not None,
        "--probe": probe,
        "--probe-limit": probe_limit != MOST_PROBED,
        "--listing": listing is not None,
        "--consolidated": consolidated is not None,
        "--max-lists-per-second": rate is not None,
    }
    refuse_idle("--against-source", given)
