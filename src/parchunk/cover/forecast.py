"""Forecasts: LIST requests of jobs, beside the least possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parchunk.cover import intervals, walks
from parchunk.cover.contents import Content, contents_of, directory_of
from parchunk.cover.digit_tree import Ints
from parchunk.cover.jobs import Bundle, Group, Work
from parchunk.cover.key_ranges import common_directory
from parchunk.cover.walks import Width, intervals_of
from parchunk.metadata.names import documents_of
from parchunk.metadata.shard_grid import inner_slices, shards_of
from parchunk.metadata.shard_index import index_requests
from parchunk.metadata.shards import shard_layout
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import Plan


@dataclass(frozen=True)
class Forecast:
    """LIST requests for a plan, were every chunk there: ``least`` is ceil(keys / page).

    ``shards`` are the shard indexes that expanded arrays have, and ``gets`` the requests for them:
    more only where a slice of a region ends within shards.
    """

    groups: int
    walks: int
    requests: int
    least: int
    shards: int = 0
    gets: int = 0


def forecast_groups(plan: Plan, groups: Sequence[Group], width: Width) -> Forecast:
    """Return what listing ``groups`` costs where every chunk exists, and every document."""
    walks = requests = least = shards = gets = 0
    for group in groups:
        spec = plan.by_name[group.array].spec
        for units in group.passes:
            spans = intervals_of(spec, [unit.rows for unit in units], width)
            walks += len(spans)
            requests += intervals.requests(_with_documents(spec, spans), width.page)
        least += intervals.least_requests(
            sum(p.objects.cells for p in group.partitions), width.page
        )
        if spec.inner_chunks is not None:
            each = index_requests(shard_layout(spec))
            for partition in group.partitions:
                shards += partition.objects.cells
                for rows in inner_slices(spec, partition.rows, group.inner_cells, plan.record_size):
                    gets += each * len(shards_of(spec, rows))
    return Forecast(len(groups), walks, requests, least, shards, gets)


def _with_documents(spec: ArraySpec, spans: Ints) -> Ints:
    """Return spans as long as walks over them are: Zarr's documents are listed, too.

    Those of v2 (``.zarray``) sort before an array's chunks, ``zarr.json`` after them, and neither
    lies in the directory ``c``.
    """
    if not len(spans) or walks.chunk_directory(spec.keys):
        return spans
    longer, documents = spans.copy(), len(documents_of(spec))
    if spec.zarr_format == 2 and longer[0, 0] == 0:
        longer[0, 0] -= documents
    elif spec.zarr_format == 3 and longer[-1, 1] == spec.total:
        longer[-1, 1] += documents
    return longer


def forecast_work(plan: Plan, work: Sequence[Work], width: Width) -> Forecast:
    """Return what listing ``work`` costs on a store in which every chunk exists.

    And every document beside them, where bundles are listed: see `contents_of`.
    """
    groups = [item for item in work if isinstance(item, Group)]
    bundles = [item for item in work if isinstance(item, Bundle)]
    alone = forecast_groups(plan, groups, width)
    if not bundles:
        return alone
    contents = contents_of(plan)
    places = {content.array: at for at, content in enumerate(contents) if content.array}
    requests = least = 0
    for bundle in bundles:
        requests += _requests(plan, bundle, contents, places, width.page)
        chunks = sum(partition.rows.cells for partition in bundle.partitions)
        least += intervals.least_requests(chunks, width.page)
    return Forecast(
        alone.groups + len(bundles),
        alone.walks + len(bundles),
        alone.requests + requests,
        alone.least + least,
        alone.shards,
        alone.gets,
    )


def _requests(
    plan: Plan, bundle: Bundle, contents: list[Content], places: dict[str, int], page: int
) -> int:
    """Forecast the requests of a bundle's walk.

    They are those that `parchunk.listing.many_arrays.follow_ranges` makes.

    ``left`` keys of the page at hand have yet to be looked at.
    """
    directories = [directory_of(plan.by_name[group.array].spec) for group in bundle.groups]
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
