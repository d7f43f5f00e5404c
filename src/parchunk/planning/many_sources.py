"""From many sources to one plan: found, opened, their metadata read side by side, and joined."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import PathLike, fspath

from parchunk.errors import InputError
from parchunk.metadata import (
    Hierarchy,
    NoMetadataError,
    RootIsArrayError,
    read_hierarchy,
)
from parchunk.planning.inventory import Inventory, refuse_encoded
from parchunk.planning.joining.dataset import join_stores
from parchunk.planning.joining.given import GivenStore, parse_given, refuse_duplicates
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.members import Dataset, Member
from parchunk.planning.joining.merging import below
from parchunk.planning.joining.patterns import is_there, matches, split_pattern
from parchunk.planning.joining.store_set import PlannedStore, StoreSet
from parchunk.planning.no_store import explained
from parchunk.stores.local_paths import local_path
from parchunk.stores.redaction import holds_credentials
from parchunk.stores.source import Source
from parchunk.stores.urls import key_below

#: Stores whose metadata is read side by side; each reads documents side by side itself.
CONCURRENCY = 8

#: A store as a caller may give it.
StoreLike = str | PathLike[str] | Source
#: One store, several, or those of each group.
Stores = StoreLike | Sequence[StoreLike] | Mapping[str, StoreLike | Sequence[StoreLike]]


@dataclass(frozen=True)
class FoundStores:
    """The stores that are meant, opened: ``below`` are the groups that they are put below.

    ``given`` are their names as they were given, ``by_pattern`` says that all came from patterns.
    """

    sources: tuple[Source, ...]
    below: tuple[str, ...]
    given: tuple[str, ...]
    by_pattern: bool

    def asked(self, identity: str, listing: str | None = None) -> FoundStores:
        """Return them with what their listings are to say of each object, and who lists them."""
        sources = (replace(one, identity=identity) for one in self.sources)
        if listing is not None:
            sources = (replace(one, listing=listing) for one in sources)
        return replace(self, sources=tuple(sources))

    def behind(self, known: Sequence[tuple[str, str]], group: str) -> FoundStores:
        """Return them with those that are not ``known``, ``(URL of the group, below)``, at the end.

        The known ones come in that order.
        """
        places = {pair: at for at, pair in enumerate(known)}

        def place(at: int) -> int:
            url = self.sources[at].describe(group)
            return places.get((url, self.below[at]), len(known) + at)

        order = sorted(range(len(self.sources)), key=place)
        return replace(
            self,
            sources=tuple(self.sources[at] for at in order),
            below=tuple(self.below[at] for at in order),
        )


def is_many(source: object, joining: Joining) -> bool:
    """Whether what is given as a source is several stores, or one to be joined like several."""
    if joining.dimension is not None or joining.merge:
        return True
    if isinstance(source, str):
        given = parse_given(source)
        return bool(given.below) or (given.is_pattern and not is_there(given.url))
    return isinstance(source, (list, tuple, Mapping))


def find_stores(
    source: Stores,
    store_options: Mapping[str, str] | None = None,
) -> FoundStores:
    """Return the stores that paths, URLs, patterns, ``NAME=SRC`` or sources mean.

    Raises
    ------
    InputError
        When there is none, one comes twice, or they are not all in one place.
    SourceError
        When a pattern's folder cannot be listed.
    """
    sources: list[Source] = []
    groups: list[str] = []
    given: list[str] = []
    patterns = 0
    wanted = list(_wanted(source))
    for one in wanted:
        if isinstance(one[1], Source):
            opened = [one[1]]
            given.append(one[1].url)
        else:
            stands = GivenStore(one[1], one[0]) if one[0] else parse_given(one[1])
            one = stands.below, stands.url
            found, is_pattern = _opened(stands, store_options)
            patterns += is_pattern
            opened = found
            given.append(str(_as_kept(stands)))
        sources += opened
        groups += [one[0]] * len(opened)
    if not sources:
        raise InputError("no store is given: give a path or a URL, or several")
    refuse_duplicates([(g, s.url) for g, s in zip(groups, sources, strict=True)])
    _refuse_places(sources)
    if all(not isinstance(one[1], Source) for one in wanted):
        # One client for all of a bucket: each has connections of its own.
        shared = {place_of(one.url): one.store for one in sources}
        sources = [replace(one, store=shared[place_of(one.url)]) for one in sources]
    return FoundStores(tuple(sources), tuple(groups), tuple(given), 0 < patterns == len(wanted))


def listed_stores(
    found: FoundStores,
    inventory: Inventory,
    group: str = "",
    store_options: Mapping[str, str] | None = None,
) -> FoundStores:
    """Return the stores with one inventory, of the folder that they are in, for their listings.

    Raises
    ------
    InputError, SourceError
        As `Inventory.of`.
    """
    root = sources_above(found.sources)
    if inventory.files:
        refuse_buckets(root)
    first = found.sources[0].url
    example = "/".join(filter(None, [key_below(first, root.url), group.strip("/")]))
    listed = inventory.of(root, store_options, example)
    if listed.objects is None:
        return found
    refuse_buckets(root)
    return replace(found, sources=tuple(s.listed_by(listed.objects) for s in found.sources))


def refuse_buckets(root: Source) -> None:
    """Refuse an inventory of one bucket for stores of several."""
    if root.beside:
        raise InputError(
            f"--inventory: it lists one bucket, and {root.beside[0].url} is in another than "
            f"{root.url}: list these stores without one"
        )


def join_found(
    found: FoundStores,
    joining: Joining,
    read: Callable[[Source], Hierarchy],
) -> Dataset:
    """Return the stores joined; ``read`` reads one's hierarchy.

    Raises
    ------
    MisfitError, InputError, SourceError, MetadataError
        As `parchunk.planning.joining.dataset.join_stores`.
    """
    named = any(found.below)
    joining.check(len(found.sources), named)
    sources = [
        _Below(source, group) if group else source
        for source, group in zip(found.sources, found.below, strict=True)
    ]
    return join_stores(_members(found, read), sources, joining)


def read_one(
    source: Source,
    group: str,
    include: Sequence[str],
    exclude: Sequence[str],
    consolidated: str,
    matched: set[str],
) -> Hierarchy:
    """Return the hierarchy of one of many stores; globs that match are put into ``matched``.

    Raises
    ------
    InputError, SourceError, MetadataError
        Naming the store.
    """
    try:
        found = read_hierarchy(source, group, include, exclude, consolidated, matched)
        refuse_encoded(source.child(group) if group else source, found)
        return found
    except RootIsArrayError as error:
        raise InputError(
            f"{error.url} is an array, and stores that are joined are groups: give the group above "
            "it, with --include"
        ) from None
    except NoMetadataError as error:
        raise explained(source, error) from None


def place_of(url: str) -> str:
    """Return the bucket that a URL is in, with its scheme; of a path it is nothing."""
    return "/".join(url.split("/")[:3]) if "://" in url else ""


def folders_above(urls: Sequence[str]) -> list[str]:
    """Return the URL of the folder that all stores are in, one for each bucket as they come."""
    found: dict[str, list[str]] = {}
    for url in urls:
        segments = url.split("/")
        least = 3 if "://" in url else 0  # of a bucket there is nothing above
        known = found.setdefault(place_of(url), segments[: max(len(segments) - 1, least)])
        same = 0
        while same < min(len(known), len(segments)) and known[same] == segments[same]:
            same += 1
        del known[same:]
    return ["/".join(known) for known in found.values()]


def sources_above(sources: Sequence[Source]) -> Source:
    """Return the source of the folder that sources are in; those of other buckets lie beside it."""
    first: dict[str, Source] = {}
    for one in sources:
        first.setdefault(place_of(one.url), one)
    found = []
    for one, url in zip(first.values(), folders_above([one.url for one in sources]), strict=True):
        depth = len(one.url.split("/")) - len(url.split("/"))
        prefix = "/".join(one.prefix.split("/")[: -depth or None])
        found.append(replace(one, prefix=prefix, url=url))
    return replace(found[0], beside=tuple(found[1:]))


def with_places(source: Source, stores: StoreSet, store_options: Mapping[str, str]) -> Source:
    """Return the source of a plan's first folder with the others beside it, opened in its way."""
    first, *others = folders_above([one.url for one in stores.stores])
    if first != source.url:
        raise InputError(f"the store {stores.stores[0].url} is not below {source.url}: plan again")
    beside = [
        replace(Source.open(url, store_options), options=source.options, unsigned=source.unsigned)
        for url in others
    ]
    return replace(source, beside=tuple(beside))


def sources_of(stores: StoreSet, above: Source) -> list[Source]:
    """Return the sources of a plan's stores, ``above`` being the folder that they are in."""
    found = []
    places = above.places
    for one in stores.stores:
        place = place_with(one.url, places)
        key = key_in(one, place)
        found.append(place.child(key) if key else place)
    return found


def place_with(url: str, places: Sequence[Source]) -> Source:
    """Return the one of a source's places that a store is in."""
    for place in places:
        if url == place.url or url.startswith(f"{place.url}/"):
            return place
    raise InputError(f"the store {url} is not below {places[0].url}: plan again")


def key_in(store: PlannedStore, place: Source) -> str:
    """Return where one of a plan's stores lies in its place; empty: it is that folder."""
    return key_below(store.url, place.url) if store.url != place.url else ""


def source_of_path(path: str, above: Source) -> tuple[Source, str]:
    """Return the place that a reference's path is in, and its key there."""
    place = place_with(path, above.places)
    return place, key_below(path, place.url)


class _Below:
    """A store's objects under the keys that they have below a group of the dataset."""

    def __init__(self, source: Source, group: str) -> None:
        self._source, self._group = source, group

    def get(self, key: str) -> bytes | None:
        return self._source.get(key[len(self._group) + 1 :])

    def describe(self, key: str = "") -> str:
        return self._source.describe(key[len(self._group) + 1 :])


def _wanted(source: Stores) -> Iterator[tuple[str, str | Source]]:
    if isinstance(source, Mapping):
        for name, some in source.items():
            for _, found in _wanted(some):
                yield str(name).strip("/"), found
        return
    several = [source] if isinstance(source, (str, PathLike, Source)) else source
    for one in several:
        yield "", one if isinstance(one, Source) else fspath(one)


def _as_kept(given: GivenStore) -> GivenStore:
    """Return a store as it is kept: a local path whole, as updates may be run in another folder."""
    if "://" in given.url:
        return given
    whole = replace(given, url=local_path(given.url).as_posix())
    if given.is_pattern and not is_there(given.url):
        same = split_pattern(whole.url)[1] == split_pattern(given.url)[1]
        return whole if same else given  # wildcards above it would be taken for some
    return whole


def _opened(
    given: GivenStore, store_options: Mapping[str, str] | None
) -> tuple[list[Source], bool]:
    # One with a secret behind a "?" is no pattern: it is refused without being repeated.
    secret = "://" in given.url and holds_credentials(given.url)
    if secret or not given.is_pattern or is_there(given.url):
        return [Source.open(given.url, store_options)], False
    above, segments = split_pattern(given.url)
    source = Source.open(above, store_options)
    return [source.child(key) for key in matches(given.url, segments, source)], True


def _refuse_places(sources: Sequence[Source]) -> None:
    """Refuse stores that no one reader would reach: other clouds, endpoints or accounts."""

    def way(source: Source) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        scheme = source.location.scheme
        bucket = place_of(source.url) if source.manner.in_memory else ""
        return scheme, bucket, source.options

    first = way(sources[0])
    for other in sources[1:]:
        if way(other) != first:
            raise InputError(
                f"{sources[0].url} and {other.url} are not reached in one way (scheme, endpoint, "
                "account, region): references of both have no one reader; join stores of one"
            )


def _members(found: FoundStores, read: Callable[[Source], Hierarchy]) -> Iterator[Member]:
    """Yield the stores with their hierarchies, a few of them read ahead side by side."""

    def member(at: int) -> Member:
        source = found.sources[at]
        return Member(source.url, below(read(source), found.below[at]), found.below[at])

    yield from _ahead(member, range(len(found.sources)))


def _ahead(function: Callable[[int], Member], items: Iterable[int]) -> Iterator[Member]:
    ahead: deque[Future[Member]] = deque()
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > 2 * CONCURRENCY:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for job in ahead:
                job.cancel()
