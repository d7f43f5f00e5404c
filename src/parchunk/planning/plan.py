"""The Plan: what will be listed and written, as plain values. No I/O, and no choices either.

`parchunk.planning.choice` makes plans; `plan.json` is `Plan.to_json()`, and
`parchunk.planning.plan_document` reads it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

from parchunk.keys.row_sets import RowSet
from parchunk.metadata.spec import ArraySpec, Hierarchy, canonical_digest
from parchunk.metadata.spreading import Each, listed
from parchunk.planning.coordinates import coordinate_threshold
from parchunk.planning.inventory import InventoryMark
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.region_rows import run, span, whole
from parchunk.showing.values import Shown
from parchunk.stores.opening import Location
from parchunk.wording import counted

if TYPE_CHECKING:
    from parchunk.stores.source import Source

#: Bytes of inlined chunks in one row group, about: what is held several times while it is encoded.
INLINED_BYTES = 4 << 20

#: Written into plan.json; a reader refuses what it does not know.
PLAN_VERSION = 1
#: Partitions of a plan, at most: each has a receipt, and costs some hundred bytes of memory.
MOST_PARTITIONS = 5_000_000
#: Chunks of an array, at most: their numbers, and sums of them, must fit 64 bits.
MOST_CHUNKS = 1 << 53


@dataclass(frozen=True)
class Split:
    """The split dimension: by ``dimension`` name, or by ``axis`` where arrays name none."""

    dimension: str | None
    axis: int | None = None

    def __str__(self) -> str:
        """Return what a message calls it."""
        return self.dimension if self.dimension is not None else f"axis {self.axis}"

    def axis_in(self, spec: ArraySpec) -> int | None:
        """Return which axis of an array this dimension is, or None when it has no such axis."""
        if self.dimension is not None:
            names = spec.dimension_names
            return names.index(self.dimension) if self.dimension in names else None
        if self.axis is None or self.axis >= spec.rank or spec.dimension_names[self.axis]:
            return None
        return self.axis


@dataclass(frozen=True)
class Region:
    """A half-open range of the split dimension, in elements, aligned to chunks."""

    index: int
    start: int
    stop: int


#: An array's name and a region's number, None for a whole array: which partition is meant.
PartitionKey = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Partition:
    """One array's references in one region; ``region`` is None for a whole array.

    ``rows`` are the chunk numbers of its record files, which begin at multiples of the record
    size: on axis 0 without a common divisor, a record file belongs to its first row's region.
    ``objects`` are the object numbers that are listed for them: the same, except where an
    array's shards are expanded, so that rows count inner chunks.
    """

    array: str
    region: int | None
    rows: RowSet
    objects: RowSet

    @property
    def key(self) -> PartitionKey:
        """Array and region, by which its receipt is found."""
        return self.array, self.region

    @property
    def name(self) -> str:
        """The receipt's name within the array: the region's number, or ``whole``."""
        return "whole" if self.region is None else str(self.region)

    def __str__(self) -> str:
        """Return what a message calls it."""
        return self.array if self.region is None else f"{self.array}, region {self.region}"


# Slots: there may be a hundred thousand.
@dataclass(frozen=True, slots=True)
class ArrayPlan:
    """One array: split along ``axis`` into regions of ``region_chunks`` chunks, or whole.

    The chunks are those that references point at: of an expanded array the inner ones, a whole
    number of shards in each region.
    """

    spec: ArraySpec
    axis: int | None = None
    region_chunks: int = 0
    #: Chunks along the axis at which regions begin, and the end, where they are not equally long.
    cuts: tuple[int, ...] = ()

    @property
    def regions(self) -> int:
        """Number of partitions."""
        if self.axis is None:
            return 1
        if self.cuts:
            return len(self.cuts) - 1
        return -(-self.spec.reference_grid[self.axis] // self.region_chunks)

    @property
    def by_first_row(self) -> bool:
        """Whether its record files may lie in several regions: each belongs to its first row's.

        They are runs of rows, as regions are. Not of expanded arrays: a shard is looked into once.
        """
        if self.axis is None or self.spec.inner_chunks is not None:
            return False
        return prod(self.spec.reference_grid[: self.axis]) == 1

    def region_at(self, index: int) -> int:
        """Return the region that a chunk index along the axis is in."""
        if self.cuts:
            return bisect_right(self.cuts, index) - 1
        return index // self.region_chunks

    def region_of_file(self, row: int) -> int | None:
        """Return the region of the record file that begins with a row; None for a whole array."""
        if self.axis is None:
            return None
        grid = self.spec.reference_grid
        return self.region_at(row // prod(grid[self.axis + 1 :]) % grid[self.axis])

    def is_aligned(self, record_size: int) -> bool:
        """Whether every record file lies in one partition, so that each can be written alone.

        So a partition's rows, cut into pieces of ``record_size``, are whole record files: a piece
        begins at a multiple of it and has no hole, and only the array's last one may be shorter.
        """
        spec = self.spec
        if self.axis is None or self.regions <= 1 or not spec.reference_total:
            return True
        if self.by_first_row:
            return True
        grid = spec.reference_grid
        inner, outer = prod(grid[self.axis + 1 :]), prod(grid[: self.axis])
        if self.cuts:
            ends = self.cuts[:-1] if outer == 1 else self.cuts
            return not any(cut * inner % record_size for cut in ends)
        if self.region_chunks * inner % record_size:
            return False
        return outer == 1 or grid[self.axis] * inner % record_size == 0

    def partition(self, region: int | None, record_size: int) -> Partition:
        """Return the partition of one region (None for a whole array)."""
        spec = self.spec
        if self.axis is None or region is None or (self.cuts and self.regions == 1):
            rows = whole(spec.reference_total)
            objects = rows if spec.inner_chunks is None else whole(spec.total)
            return Partition(spec.name, None if self.axis is None else region, rows, objects)
        if self.cuts:
            low, high = self.cuts[region], self.cuts[region + 1]
        else:
            low = region * self.region_chunks
            high = min(low + self.region_chunks, spec.reference_grid[self.axis])
        if spec.inner_chunks is None:
            rows = objects = run(spec.grid, self.axis, low, high, record_size)
        else:
            shard = spec.chunks[self.axis] // spec.reference_chunks[self.axis]
            # A record file of an expanded array lies in one region: a shard is looked into once.
            rows = run(spec.reference_grid, self.axis, low, high, 1)
            objects = run(spec.grid, self.axis, low // shard, -(-high // shard), 1)
        return Partition(spec.name, region, rows, objects)

    def partitions(self, record_size: int) -> Iterator[Partition]:
        """Yield all partitions in the order of their regions."""
        if self.axis is None:
            yield self.partition(None, record_size)
        else:
            for region in range(self.regions):
                yield self.partition(region, record_size)


def span_partition(spec: ArraySpec, axis: int, low: int, high: int) -> Partition:
    """Return the chunks from index ``low`` to ``high`` along an axis, as one partition.

    They are chunks that references point at; of an expanded array both ends are shards' ends, or
    the array's. Its rows need not be whole record files.
    """
    rows = objects = span(spec.reference_grid, axis, low, high)
    if spec.inner_chunks is not None:
        shard = spec.chunks[axis] // spec.reference_chunks[axis]
        objects = span(spec.grid, axis, low // shard, -(-high // shard))
    return Partition(spec.name, None, rows, objects)


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """Everything that determines the output's bytes: two equal plans write equal references."""

    location: Location
    group: str
    hierarchy: Hierarchy
    split: Split | None
    region_length: int
    record_size: int
    inline_threshold: int
    arrays: tuple[ArrayPlan, ...]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    #: The source was given as one array: its parent, group or not, is the root of names.
    lone_array: bool = False
    #: What sharded arrays become: ``expand`` or ``whole``.
    shards: str = "expand"
    #: What consolidated metadata counts for: ``auto``, ``only`` or ``ignore``.
    consolidated: str = "auto"
    #: Elements at which regions begin, and the end, where they are not equally long.
    cuts: tuple[int, ...] = ()
    #: The stores, where there are many.
    stores: StoreSet | None = None
    #: What stood for the listing, where it was no listing.
    inventory: InventoryMark | None = None
    #: What each region is of the calendar, such as ``month`` or ``31D``; None: they are lengths.
    period: str | None = None
    #: Coordinates of dimensions are kept inline; not so in plans of before there was a choice.
    inline_coordinates: bool = False
    #: What is kept of each object beside the references: ``none``, ``time`` or ``etag``.
    identity: str = "none"
    #: Where the plan was made from, opened; not part of what the plan says.
    source: Source | None = field(default=None, compare=False, repr=False)
    #: What to say of periods that share a region; not part of what the plan says either.
    period_notes: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def in_short(self) -> str:
        """The plan in one line."""
        sizes = [counted(len(self.arrays), "array"), counted(self.chunks, "chunk")]
        if self.regions:
            sizes.append(f"{counted(len(self.regions), 'region')} along {self.split}")
        return f"{self.location.url}: {', '.join(sizes)}"

    @cached_property
    def by_name(self) -> dict[str, ArrayPlan]:
        """The arrays by name."""
        return {array.spec.name: array for array in self.arrays}

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The regions of the split dimension, as long as its longest array."""
        if self.cuts:
            return tuple(Region(i, *ends) for i, ends in enumerate(pairwise(self.cuts)))
        split = [array for array in self.arrays if array.axis is not None]
        if not split:
            return ()
        extent = max(array.spec.shape[array.axis] for array in split if array.axis is not None)
        count = max(array.regions for array in split)
        length = self.region_length
        return tuple(Region(i, i * length, min((i + 1) * length, extent)) for i in range(count))

    def partitions(self) -> Iterator[Partition]:
        """Yield every partition: whole arrays first, then region by region, arrays side by side."""
        for array in self.arrays:
            if array.axis is None:
                yield from array.partitions(self.record_size)
        for region in self.regions:
            for array in self.arrays:
                if array.axis is not None and region.index < array.regions:
                    yield array.partition(region.index, self.record_size)

    def elements(self, partition: Partition) -> tuple[int, int] | None:
        """Return the range of the split dimension that a partition is of; None: a whole array."""
        array = self.by_name[partition.array]
        if partition.region is None or array.axis is None:
            return None
        region = self.regions[partition.region]
        return region.start, min(region.stop, array.spec.shape[array.axis])

    def store_of(self, partition: Partition) -> int | None:
        """Return the number of the store that holds a partition's chunks; None: no store does."""
        if self.stores is None:
            return 0
        elements = self.elements(partition)
        return self.stores.store_of(partition.array, None if elements is None else elements[0])

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noticed as many stores were joined, or regions made periods, a line each."""
        of_stores = () if self.stores is None else self.stores.notes
        return (*of_stores, *self.period_notes)

    def inline_threshold_of(self, array: str) -> int:
        """Return up to how many bytes an array's chunks are inlined: kept ones all are."""
        chunk = None if self.stores is None else self.stores.kept.get(array)
        size = 0 if chunk is None else len(chunk)
        return max(size, self.inline_threshold, self.coordinate_threshold_of(array))

    def coordinate_threshold_of(self, array: str) -> int:
        """Return up to how many bytes an array's chunks are inlined for being a coordinate's."""
        return coordinate_threshold(self.by_name[array].spec) if self.inline_coordinates else 0

    @property
    def inlined_coordinates(self) -> tuple[str, ...]:
        """The arrays that are inlined for being coordinates of dimensions."""
        return tuple(name for name in self.by_name if self.coordinate_threshold_of(name))

    @property
    def chunks(self) -> int:
        """Chunks expected in all arrays; of expanded ones, inner chunks."""
        return sum(array.spec.reference_total for array in self.arrays)

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 over everything in the plan: names which plan a receipt belongs to."""
        return canonical_digest(self.content(Each))

    def to_json(self, each: Callable[..., Iterable[Any]] = listed) -> dict[str, Any]:
        """Return the document that plan.json holds; ``each`` as for `content`."""
        return {
            "parchunk_plan": PLAN_VERSION,
            "fingerprint": self.fingerprint,
            **self.content(each),
            # For readers, and derivable, so not part of the fingerprint:
            "regions": each(lambda r: [r.index, r.start, r.stop], self.regions),
            "chunks": self.chunks,
            # How the source can be reached again; another endpoint is no other plan.
            "source_options": dict(self.location.options),
            **({} if self.inventory is None else {"inventory": self.inventory.to_json()}),
        }

    def content(self, each: Callable[..., Iterable[Any]] = listed) -> dict[str, Any]:
        """Return what determines the output, as JSON: what the fingerprint is over.

        With `Each` in place of ``each``, what there is very much of is made when it is asked for.
        """
        return {
            "source": self.location.url,
            "group": self.group,
            "split": (
                None
                if self.split is None
                else {"dimension": self.split.dimension, "axis": self.split.axis}
            ),
            "region_length": self.region_length,
            "record_size": self.record_size,
            "inline_threshold": self.inline_threshold,
            "include": list(self.include),
            "exclude": list(self.exclude),
            "lone_array": self.lone_array,
            "shards": self.shards,
            # only where it is not the default: a plan of before keeps its fingerprint
            **({} if self.consolidated == "auto" else {"consolidated": self.consolidated}),
            "arrays": each(
                lambda a: {"array": a.spec.name, "axis": a.axis, "region_chunks": a.region_chunks},
                self.arrays,
            ),
            "hierarchy": self.hierarchy.to_json(each),
            **({"cuts": list(self.cuts)} if self.cuts else {}),
            **({} if self.period is None else {"period": self.period}),
            **({} if self.stores is None else {"stores": self.stores.to_json()}),
            **({} if self.inventory is None else {"inventory_digest": self.inventory.digest}),
            **({"inline_coordinates": True} if self.inline_coordinates else {}),
            **({} if self.identity == "none" else {"identity": self.identity}),
        }
