"""The labels of the split dimension as a plan's source says them now, before anything is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.joining.store_view import own_array
from parchunk.planning.joining.values import read_objects, values_of
from parchunk.planning.labels import Labels, coordinates_of, label_values, labels_of_all
from parchunk.planning.many_sources import sources_of
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source


def labels_of(plan: Plan, source: Source) -> Labels:
    """Return the labels of the split dimension as its coordinate says now; none without one.

    There are none, either, where a chunk of the coordinate or a store of it is missing, and where
    groups have coordinates that do not say the same.

    Raises
    ------
    SourceError
        When the coordinate is there and cannot be read.
    """
    return labels_of_all(_labels(plan, spec, source) for spec in coordinates_of(plan))


def _labels(plan: Plan, spec: ArraySpec, source: Source) -> Iterator[pa.StringArray]:
    if plan.stores is None:
        values = _values(source, spec)
    else:
        values = _joined_values(plan.stores, spec, source)
    if values is not None and len(values) == spec.shape[0]:
        yield from label_values(values, spec, np.zeros(spec.shape[0], bool))


def _values(source: Source, spec: ArraySpec) -> NDArray[Any] | None:
    objects = read_objects(source, spec)
    if len(objects) < spec.total:
        return None
    return values_of(source.describe(spec.name), spec, objects)


def _joined_values(stores: StoreSet, spec: ArraySpec, source: Source) -> NDArray[Any] | None:
    """Return a coordinate's values in all stores that have it: as they are kept, where they are."""
    if spec.name in stores.kept:
        chunk = stores.kept[spec.name]
        tail = spec.keys.tail((0,) * spec.rank)
        return values_of(spec.name, spec, {} if chunk is None else {tail: chunk})
    parts = []
    for at, store in enumerate(sources_of(stores, source)):
        own = own_array(stores, at, spec)
        values = None if own is None else _values(store, own)
        if own is not None and values is None:
            return None
        parts += [] if values is None else [np.atleast_1d(values)]
    return np.concatenate(parts) if parts else None
