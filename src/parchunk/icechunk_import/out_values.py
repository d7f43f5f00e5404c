"""The values of a small array in OUT, from inlined bytes or from where its references point."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import InputError, SourceError
from parchunk.keys.numbers import unravel
from parchunk.metadata.spec import ArraySpec
from parchunk.out.inlined import original
from parchunk.out.output import Output
from parchunk.planning.joining.values import MOST_OBJECTS, values_of
from parchunk.planning.many_sources import source_of_path
from parchunk.planning.plan import Plan
from parchunk.planning.source_again import open_source
from parchunk.reading.rows import Receipts, Rows, read_rows
from parchunk.stores.source import Source


class ValuesInOut:
    """Reads arrays of a finished build; its source is asked for what is not inlined."""

    def __init__(self, output: Output, plan: Plan, receipts: Receipts) -> None:
        self.url = output.url
        self._output, self._plan, self._receipts = output, plan, receipts

    @cached_property
    def _source(self) -> Source:
        return open_source(self._plan)

    def values(self, name: str, document: ArraySpec) -> NDArray[Any]:
        """Return an array's values as its Zarr v3 ``document`` says they are stored.

        Raises
        ------
        InputError, SourceError
            When there are too many chunks, or they cannot be read.
        """
        plan = self._plan
        array = plan.by_name[name]
        if array.spec.reference_total > MOST_OBJECTS:
            raise InputError(
                f"{name}: its values are wanted, and it has {array.spec.reference_total:,} chunks, "
                f"more than the {MOST_OBJECTS:,} that are read: leave it out with --exclude"
            )
        objects: dict[str, bytes] = {}
        for partition in array.partitions(plan.record_size):
            files = self._receipts[partition.key].record_files
            for rows in read_rows(self._output, partition, files, plan.record_size):
                numbers = np.arange(rows.begin, rows.begin + len(rows))
                for row, index in enumerate(unravel(numbers, array.spec.reference_grid).tolist()):
                    data = self._chunk(rows, row)
                    if data is not None:
                        objects[document.keys.tail(tuple(index))] = data
        return values_of(f"{self.url}/{name}", document, objects)

    def _chunk(self, rows: Rows, row: int) -> bytes | None:
        if rows.inlined[row]:
            return original(rows.raw[row].as_py())
        if not rows.referenced[row]:
            return None
        path, start = rows.path[row].as_py(), int(rows.offset[row])
        source, key = source_of_path(path, self._source)
        try:
            return source.get_part(key, start, start + int(rows.size[row]))[0]
        except FileNotFoundError:
            raise SourceError(
                f"{source.describe(key)} is gone since the build: run parchunk update"
            ) from None
