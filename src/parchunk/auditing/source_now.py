"""The source's metadata as it is now, and what an update must be allowed to take it in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from parchunk.auditing.findings import Finding, finding
from parchunk.errors import InputError
from parchunk.metadata import Hierarchy, skip_refused
from parchunk.planning.changes import Changes, changes_of, lost_from_some
from parchunk.planning.from_stores import (
    changed_coordinates,
    rejoined,
    stores_that_came,
    stores_that_got,
)
from parchunk.planning.joining.growing import store_problems
from parchunk.planning.joining.members import Dataset
from parchunk.planning.joining.misfits import MisfitError, some_of, some_stores
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.plan import Plan
from parchunk.planning.source_again import read_again, told_of_moves
from parchunk.stores.source import Source
from parchunk.wording import counted


@dataclass(frozen=True)
class SourceNow:
    """What the source has now.

    ``findings`` are what is other in some of many stores; of those that do not fit any more
    ``hierarchy`` is that of the plan, and no update is made. ``shrunk`` arrays became shorter, and
    ``options`` are those without which no update is made, each after a space.
    """

    hierarchy: Hierarchy
    findings: tuple[Finding, ...] = ()
    updatable: bool = True
    shrunk: Collection[str] = ()
    options: str = ""

    @property
    def update(self) -> str:
        """The command that takes in what the source has now."""
        return f"parchunk update OUT{self.options}"

    @property
    def remedy(self) -> str:
        """What to do where the source has something else now: nobody is to lose what he has not
        thought of.
        """
        if not self.options:
            return self.update
        return f"restore what was lost; or, if that is meant, run {self.update}"


def as_it_is(
    plan: Plan,
    source: Source,
    consolidated: str | None,
    store_options: Mapping[str, str] | None,
) -> SourceNow:
    """Read the source's metadata again, of many stores joined as they were.

    Raises
    ------
    SourceError, MetadataError
        When it cannot be read.
    """
    if plan.stores is None:
        with told_of_moves():
            hierarchy = read_again(plan, source, consolidated=consolidated)
        changes = changes_of(plan, hierarchy)
        return SourceNow(hierarchy, (), True, tuple(changes.shrunk), _options(changes))
    try:
        joined = rejoined(plan, source, consolidated)
    except InputError as error:
        # One is gone, or they fit no more: their chunks are listed all the same.
        why = some_of(error.misfits) if isinstance(error, MisfitError) else str(error)
        return SourceNow(plan.hierarchy, (_misfit(source, why),), False)
    stores = _stores_now(plan.stores, joined)
    problems = store_problems(plan.stores, stores, may_shrink=True)
    if problems:
        return SourceNow(plan.hierarchy, (_misfit(source, "; ".join(problems[:3])),), False)
    hierarchy = skip_refused(joined.hierarchy) if plan.hierarchy.skipped else joined.hierarchy
    changes = changes_of(plan, hierarchy)
    unlike = {*changes.gone, *changes.other, *plan.stores.kept}
    lost: dict[str, str] = {}
    for name in plan.by_name.keys() - unlike:
        lost |= lost_from_some(plan.stores, stores, name)
    changes = replace(changes, lost=lost)
    shorter = bool(store_problems(plan.stores, stores, may_shrink=False))
    options = _options(changes, shorter)
    made = SourceNow(hierarchy, (), True, tuple(changes.shrunk), options)
    return replace(made, findings=_of_stores(plan, joined, store_options, made.remedy))


def _options(changes: Changes, shorter: bool = False) -> str:
    """Return what an update is to be given; stores may be ``shorter`` of which all is kept."""
    asked = [how for how, some in changes.losses().items() if some]
    if shorter and "--allow-shrink" not in asked:
        asked.append("--allow-shrink")
    return "".join(f" {option}" for option in asked)


def _stores_now(before: StoreSet, joined: Dataset) -> StoreSet:
    named = tuple((before.stores[at].url, before.stores[at].below) for at in joined.joined.order)
    return StoreSet.of(joined.joined, joined.kept, before.joining, before.given, named)


def _of_stores(
    plan: Plan, joined: Dataset, store_options: Mapping[str, str] | None, remedy: str
) -> tuple[Finding, ...]:
    """Return what is other in some of many stores that still fit, which ``remedy`` takes in."""
    names = changed_coordinates(plan, joined)
    came = stores_that_came(plan, store_options)
    return (
        *(
            finding(
                "source-metadata",
                f"{name}: its values are kept inline, and the stores have others now",
                remedy,
                array=name,
            )
            for name in names
        ),
        *(
            finding(
                "new-array",
                f"{name} came to stores that lacked it: {some_stores(urls)}",
                remedy,
                array=name,
                count=len(urls),
            )
            for name, urls in stores_that_got(plan, joined).items()
        ),
        *(
            finding(
                "source-metadata",
                f"{counted(len(urls), 'store')} came that the references have not, by the pattern "
                f"that they were built of: {some_stores(urls)}",
                remedy,
                count=len(urls),
            )
            for urls in [came]
            if urls
        ),
    )


def _misfit(source: Source, why: str) -> Finding:
    """Return that stores are no more what they were together, and why."""
    return finding(
        "source-metadata",
        f"the stores of {source.url} are no longer one dataset, as they were when it was built: "
        f"{why}",
        "restore what they were, before any update; else leave out what does not fit, and build "
        "with --overwrite, or into another OUT",
    )
