"""Bundles: neighbouring small arrays that one walk lists, and what all listings cost. No I/O.

An array of a hundred chunks is a tenth of a page, and a store may hold thousands of them side by
side. What `parchunk.groups` does for the regions of one array, a bundle does for small arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from parchunk import cover
from parchunk.groups import (
    LEAST_PAGES,
    MOST_PAGES,
    Forecast,
    Group,
    Unit,
    Width,
    documents_of,
    forecast_groups,
    make_groups,
    order_of,
    walks_over,
)
from parchunk.key_ranges import KeyRange, common_directory, key_range
from parchunk.metadata.spec import ArraySpec
from parchunk.plan import Partition, Plan
from parchunk.rows import RowSet

#: Chunks of a small array, at most: beyond, to begin a request of its own costs little.
SMALL = 5_000
#: What an array of a bundle takes beside its sizes, in sizes of chunks.
MEMBER_CELLS = 1_000
#: Arrays of a bundle, at most.
MOST_MEMBERS = 1_000


@dataclass(frozen=True)
class Bundle:
    """Groups of two or more small arrays, in the order of their keys, that are listed together."""

    groups: tuple[Group, ...]

    @property
    def array(self) -> str:
        """The first array's name."""
        return self.groups[0].array

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions of all groups."""
        return tuple(partition for group in self.groups for partition in group.partitions)

    @property
    def cells(self) -> int:
        """The chunks that are held at the same time, at most."""
        return sum(group.cells + MEMBER_CELLS for group in self.groups)


#: What is listed and built as one task.
Work = Group | Bundle


def make_work(
    plan: Plan, pending: Iterable[Partition], cells: int, width: Width, workers: int = 1
) -> list[Work]:
    """Return the bundles and groups for the pending partitions, by region, then by array.

    All pending partitions of a small array are in one bundle, which holds at most ``cells``
    chunks. Arrays that have no small neighbours, and all where ``width`` allows no bundles, are
    groups on their own, as `make_groups` makes them.
    """
    rest = list(pending)
    work: list[Work] = []
    if width.bundles:
        by_array: dict[str, list[Partition]] = {}
        for partition in rest:
            if _is_small(plan.by_name[partition.array].spec, cells):
                by_array.setdefault(partition.array, []).append(partition)
        bundled: set[str] = set()
        for names in _runs(plan, by_array, cells, width, workers):
            groups = tuple(_group(by_array[name]) for name in names)
            work.append(Bundle(groups))
            bundled.update(names)
        rest = [partition for partition in rest if partition.array not in bundled]
    work += make_groups(plan, rest, cells, width, workers)
    work.sort(key=lambda item: (order_of(item.partitions), item.array))
    return work


def _is_small(spec: ArraySpec, cells: int) -> bool:
    return spec.inner_chunks is None and 0 < spec.total <= min(SMALL, cells)


def _group(partitions: list[Partition]) -> Group:
    partitions.sort(key=lambda partition: partition.region or 0)
    units = tuple(Unit(position, part.rows) for position, part in enumerate(partitions))
    cells = sum(partition.rows.cells for partition in partitions)
    return Group(partitions[0].array, tuple(partitions), (units,), cells)


def _runs(
    plan: Plan, pending: dict[str, list[Partition]], cells: int, width: Width, workers: int
) -> Iterator[list[str]]:
    """Yield names of small arrays that are listed together, two or more.

    A run ends where the known keys up to the next one are more than a page, which would cost a
    request anyway, and when it is long: several are listed side by side.
    """
    total = sum(partition.rows.cells for parts in pending.values() for partition in parts)
    pages = -(-total // (width.pieces * workers * width.page))
    most = min(max(pages, LEAST_PAGES), MOST_PAGES) * width.page
    run: list[str] = []
    keys = held = foreign = 0
    for item in _contents(plan):
        if item.array not in pending:
            foreign += item.keys
            continue
        size = MEMBER_CELLS + sum(partition.rows.cells for partition in pending[item.array])
        if run and (
            foreign > width.page
            or keys + foreign + item.keys > most
            or held + size > cells
            or len(run) == MOST_MEMBERS
        ):
            if len(run) > 1:
                yield run
            run, keys, held = [], 0, 0
        run.append(item.array)
        keys += item.keys + (foreign if len(run) > 1 else 0)
        held += size
        foreign = 0
    if len(run) > 1:
        yield run


@dataclass(frozen=True, slots=True)
class _Content:
    """``keys`` neighbouring keys of the source from ``first`` on; ``array``: the chunks of one."""

    first: str
    keys: int
    array: str | None = None


def _contents(plan: Plan) -> list[_Content]:
    """Return what the source holds, in the order of its keys, as far as the plan knows it.

    Every chunk is taken to be there, and every document that writers of Zarr write. What the plan
    leaves out (``--exclude``) is not known.
    """
    found: list[_Content] = []
    for group in plan.hierarchy.groups:
        below = f"{group.name}/" if group.name else ""
        found += [_Content(below + name, 1) for name in documents_of(group)]
    if plan.hierarchy.groups and plan.hierarchy.groups[0].zarr_format == 2:
        found.append(_Content(".zmetadata", 1))
    for array in plan.arrays:
        spec = array.spec
        documents = documents_of(spec)
        directory = _directory(spec)
        if directory == spec.name:  # they lie among its chunks
            found.append(_Content(f"{directory}/", spec.total + len(documents), spec.name))
        else:
            found.append(_Content(f"{directory}/", spec.total, spec.name))
            found += [_Content(f"{spec.name}/{name}", 1) for name in documents]
    found.sort(key=lambda content: content.first)
    return found


def _directory(spec: ArraySpec) -> str:
    below = cover.chunk_directory(spec.keys)
    return f"{spec.name}/{below}" if below else spec.name


def ranges_over(
    spec: ArraySpec, row_sets: Sequence[RowSet], page: int, owner: int
) -> list[KeyRange]:
    """Return the ranges that together hold every chunk of a small array's ``row_sets``."""
    if sum(rows.cells for rows in row_sets) == spec.total:
        walks = [cover.walk(spec.grid, spec.keys, 0, spec.total)]
    else:
        walks = walks_over(spec, row_sets, Width(1, 1, page))
    return [key_range(owner, spec.name, walk) for walk in walks]


def forecast(plan: Plan, work: Sequence[Work], width: Width) -> Forecast:
    """Return what listing ``work`` costs on a store in which every chunk exists.

    And every document beside them, where bundles are listed: see `_contents`.
    """
    groups = [item for item in work if isinstance(item, Group)]
    bundles = [item for item in work if isinstance(item, Bundle)]
    alone = forecast_groups(plan, groups, width)
    if not bundles:
        return alone
    contents = _contents(plan)
    places = {content.array: at for at, content in enumerate(contents) if content.array}
    requests = least = 0
    for bundle in bundles:
        requests += _requests(plan, bundle, contents, places, width.page)
        chunks = sum(partition.rows.cells for partition in bundle.partitions)
        least += cover.least_requests(chunks, width.page)
    return Forecast(
        alone.groups + len(bundles),
        alone.walks + len(bundles),
        alone.requests + requests,
        alone.least + least,
        alone.shards,
        alone.gets,
    )


def _requests(
    plan: Plan, bundle: Bundle, contents: list[_Content], places: dict[str, int], page: int
) -> int:
    """Forecast the requests of a bundle's walk, as `parchunk.key_ranges.follow_ranges` makes them.

    ``left`` keys of the page at hand have yet to be looked at.
    """
    directories = [_directory(plan.by_name[group.array].spec) for group in bundle.groups]
    wanted = {group.array: at for at, group in enumerate(bundle.groups)}
    first, last = places[bundle.groups[0].array], places[bundle.groups[-1].array]
    requests = left = 0
    below: str | None = None
    for at in range(first, last + 1):
        keys, array = contents[at].keys, contents[at].array
        if array not in wanted:
            if keys >= left:  # a page that ends here is the listing's last
                left, below = 0, None
            else:
                left -= keys
            continue
        if below is None:
            below = common_directory(directories[wanted[array]], directories[-1])
        pages = -(-max(keys - left, 0) // page)
        requests += pages
        left += pages * page - keys
        head = f"{below}/" if below else ""
        if not left and at + 1 < len(contents) and contents[at + 1].first.startswith(head):
            requests, left = requests + 1, page  # what follows shows that this range has ended
    return requests
