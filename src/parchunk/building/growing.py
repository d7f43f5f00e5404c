"""What an update goes by: a source or stores as they are now, a plan for them, what changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from parchunk.building.preflight import refuse_overlap
from parchunk.building.staging import telling_of_before
from parchunk.out.output import Output
from parchunk.out.unfinished import Unfinished
from parchunk.planning.changes import Changes, changes_of, changes_of_stores, refuse_unasked
from parchunk.planning.from_stores import grown_many
from parchunk.planning.inventory import Inventory, mark_of
from parchunk.planning.many_sources import StoreLike
from parchunk.planning.plan import Plan
from parchunk.planning.source_again import grown, read_as_planned
from parchunk.stores.source import Source


@dataclass(frozen=True)
class MayLose:
    """What an update may lose: arrays that cannot be referenced, ends of arrays, arrays.

    ``lost`` is what one had lost that was cut short, which it may have lost again. ``excluded`` are
    the globs that leave out more than before: each must match an array.
    """

    unsupported: bool
    shrink: bool
    gone: bool
    lost: Collection[str] = ()
    excluded: Collection[str] = ()


@dataclass(frozen=True)
class Now:
    """A plan for what is there now, the source of it, and what changed since the plan before.

    ``lost`` is what went with that, in words.
    """

    plan: Plan
    source: Source
    changes: Changes
    lost: tuple[str, ...]


def store_now(wanted: Plan, source: Source, allowed: MayLose) -> Now:
    """Return what the one store of a plan has become.

    Raises
    ------
    InputError, SourceError, MetadataError, UnsupportedError
        When it cannot be planned, or lost more than is ``allowed``.
    """
    hierarchy = read_as_planned(wanted, source, allowed.unsupported, allowed.excluded)
    changes = changes_of(wanted, hierarchy)
    lost = refuse_unasked(wanted, changes, allowed.shrink, allowed.gone, allowed.lost)
    plan = replace(grown(wanted, hierarchy, source), inventory=mark_of(source))
    return Now(plan, source, changes, lost)


def stores_now(
    wanted: Plan,
    source: Source,
    came: Sequence[StoreLike],
    labels: Sequence[str],
    cut_short: Mapping[str, Unfinished],
    output: Output,
    store_options: Mapping[str, str] | None,
    given: Inventory,
    allowed: MayLose,
) -> Now:
    """Return what the stores of a plan have become, with those that ``came`` behind them.

    What updates were asked that were ``cut_short`` is told where stores are refused for it.

    Raises
    ------
    InputError, MisfitError, SourceError, MetadataError
        As `grown_many`; when one of them has OUT within, or lost more than is ``allowed``.
    """
    with telling_of_before(cut_short, output):
        plan = grown_many(
            wanted,
            came,
            labels,
            store_options,
            allowed.unsupported,
            given,
            allowed.shrink or bool(allowed.lost),
            allowed.excluded,
        )
    source = plan.source or source
    refuse_overlap(plan, source, output)
    changes = changes_of_stores(wanted, plan)
    lost = refuse_unasked(wanted, changes, allowed.shrink, allowed.gone, allowed.lost)
    return Now(plan, source, changes, lost)
