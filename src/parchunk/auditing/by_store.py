"""Coverage by store: what the record files hold of each of the stores that are one dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from parchunk.auditing.all_arrays import Along
from parchunk.auditing.audit_counts import AuditCounts
from parchunk.planning.joining.lacking import within
from parchunk.planning.labels import Labels
from parchunk.planning.plan import Plan

#: What tables say of each store in words, and the counts that are known of it, in this order.
WORDS = ("store", "elements")
COUNTED = ("expected", "present", "missing", "excused", "lacking", "unread")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAudit(AuditCounts):
    """One store, over all arrays whose chunks are in it; only the chunks are counted.

    ``start`` and ``stop`` are its elements of the joined dimension, None where there is none, and
    ``label`` is what they are in the coordinate, empty where that is not known. A chunk index of
    which not all rows could be read counts as ``unread``.
    """

    store: int
    url: str
    start: int | None
    stop: int | None
    label: str = ""

    @property
    def whole(self) -> bool:
        """Whether every chunk that should be there is."""
        return not (self.missing or self.unread)

    @property
    def elements_text(self) -> str:
        """Its elements in words: by the coordinate where that is known."""
        if self.label or self.start is None or self.stop is None:
            return self.label
        return f"{self.start:,} to {self.stop:,}"

    @property
    def row(self) -> tuple[object, ...]:
        """What tables have of it."""
        return (self.url, self.elements_text, *(getattr(self, name) for name in COUNTED))

    def to_json(self) -> dict[str, Any]:
        """Return the store as JSON values."""
        place = {name: getattr(self, name) for name in ("store", "url", "start", "stop")}
        counts = {name: getattr(self, name) for name in COUNTED}
        return {**place, "labels": self.label or None, **counts}


def coverage_by_store(
    plan: Plan, arrays: Sequence[Along], counts: Sequence[AuditCounts], labels: Labels
) -> tuple[StoreAudit, ...]:
    """Return what each store holds; none where the plan is of one. ``counts`` are the arrays'."""
    stores = plan.stores
    if stores is None:
        return ()
    along = stores.joining.dimension is not None
    found = []
    for at, one in enumerate(stores.stores):
        ends = (one.start, one.stop) if along else (None, None)
        label = labels.between(one.start, one.stop) if one.start < one.stop else None
        found.append(
            StoreAudit(store=at, url=one.url, start=ends[0], stop=ends[1], label=label or "")
        )
    for state, counted in zip(arrays, counts, strict=True):
        spec = state.steps.spec
        name = spec.name
        place = stores.place(name)
        if name in stores.kept:
            continue
        if place.axis is None:
            for at in (place.stores or ())[:1]:
                found[at] = _more(found[at], counted)
            continue
        length = spec.reference_chunks[place.axis]
        for at in stores.ranges[place.series]:
            low, high = stores.stores[at].start // length, -(-stores.stores[at].stop // length)
            if stores.stores[at].start < stores.stores[at].stop:
                lacking = within(state.lacking, low, high) * state.steps.expected
                found[at] = _more(found[at], state.steps.counts(low, high, lacking))
    return tuple(found)


def most_telling(stores: Sequence[StoreAudit], most: int) -> list[StoreAudit]:
    """Return at most so many stores, in their order: those that are not whole before others."""
    shown = sorted(stores, key=lambda store: (store.whole, store.store))[:most]
    return sorted(shown, key=lambda store: store.store)


def _more(store: StoreAudit, counts: AuditCounts) -> StoreAudit:
    return replace(
        store, **{name: getattr(store, name) + getattr(counts, name) for name in COUNTED}
    )
