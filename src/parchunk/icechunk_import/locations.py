"""What chunks are called in Icechunk: locations, and the virtual chunk container that holds them.

Locations are URLs and so percent-encoded. A container's prefix must not be: icechunk (1.1.21 and
2.3.0) takes a reference below `file:///a%20b/` and cannot read it back. So the container of a
source is cut before the first segment that would have to be encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from parchunk.errors import InputError, UnsupportedError
from parchunk.icechunk_import import adapter
from parchunk.planning.many_sources import folders_above
from parchunk.planning.plan import Plan
from parchunk.stores.opening import Location
from parchunk.stores.options import PROVIDERS, is_true
from parchunk.stores.urls import below as below_url
from parchunk.stores.urls import is_http, key_below

#: Icechunk's scheme for each of ours.
_SCHEMES = {"file": "file", "http": "http", "https": "https", **PROVIDERS}
_SAFE = "/-_.~"
#: Paths that are looked at together first.
_WINDOW = 1_024


#: Options of gs and az stores that are no credentials, as the library below icechunk spells them.
_SETTINGS = {
    "gs": {"base_url": "google_base_url", "skip_signature": "google_skip_signature"},
    "az": {
        "endpoint": "azure_storage_endpoint",
        "use_emulator": "azure_storage_use_emulator",
        "skip_signature": "azure_skip_signature",
    },
}


def settings(scheme: str, options: Mapping[str, str]) -> dict[str, str]:
    """Return what icechunk hands on to a gs or az store, besides account and credentials."""
    named = _SETTINGS[scheme]
    found = {named[key]: value for key, value in options.items() if key in named}
    found |= {named[key]: "true" for key in named.keys() & options.keys() if is_true(options[key])}
    plain = any(value.startswith("http://") for value in found.values())
    return {**found, "allow_http": "true"} if plain else found


@dataclass(frozen=True)
class Container:
    """Where Icechunk finds the chunks of a source.

    ``base`` is the source's root as locations spell it, ``prefix`` the URL prefix of its virtual
    chunk container: both end in ``/``, and the one begins with the other.
    """

    source: Location
    base: str
    prefix: str
    #: Of many stores: the URL of each, and the group that it is put below.
    stores: Mapping[str, str] = field(default_factory=dict, hash=False)
    #: Those of stores in other buckets.
    beside: tuple[Container, ...] = ()

    @classmethod
    def of_plan(cls, plan: Plan) -> Container:
        """Return the container of a plan's source; of many stores, of the folder they are in.

        Where they are in several buckets, those of the others lie beside it.

        Raises
        ------
        UnsupportedError
            When Icechunk has no way to read chunks from there.
        """
        found = cls.of(plan.location)
        if plan.stores is None:
            return found
        folders = folders_above([one.url for one in plan.stores.stores])[1:]
        options = plan.location.options
        return replace(
            found,
            stores={one.url: one.below for one in plan.stores.stores},
            beside=tuple(cls.of(Location(folder, options)) for folder in folders),
        )

    @property
    def every(self) -> tuple[Container, ...]:
        """This container and those beside it."""
        return self, *self.beside

    @property
    def words(self) -> str:
        """What names the places of chunks; of one it is the place."""
        return " ".join(one.base for one in self.every)

    @property
    def longest(self) -> int:
        """The most bytes of what stands in a location before an array's name in its store."""
        inside = max((len(quote(url)) for url in self.stores), default=0)
        return max(len(one.base) for one in self.every) + inside

    @classmethod
    def of(cls, source: Location) -> Container:
        """Return the container of a source.

        Raises
        ------
        UnsupportedError
            When Icechunk has no way to read chunks from there.
        """
        scheme = _SCHEMES.get(source.scheme)
        if scheme is None:
            raise UnsupportedError(
                f"{source.url}: Icechunk cannot read chunks from there; build the references from "
                "a path or an s3://, gs:// or az:// URL"
            )
        bucket, segments = "", source.url.lstrip("/").split("/")
        if scheme != "file":
            bucket, segments = segments[2], segments[3:]
        if is_http(source.url):
            segments = [unquote(segment) for segment in segments]
        plain = 0
        while plain < len(segments) and quote(segments[plain], _SAFE) == segments[plain]:
            plain += 1
        if scheme == "file" and not plain:
            raise UnsupportedError(
                f"{source.url}: Icechunk cannot read chunks below a top folder whose name has "
                "spaces or special characters; build from a path without them"
            )
        root = f"{scheme}://{bucket}/"
        return cls(
            source,
            base=root + "".join(f"{quote(segment, _SAFE)}/" for segment in segments),
            prefix=root + "".join(f"{segment}/" for segment in segments[:plain]),
        )

    def locations(self, array: str, paths: pa.StringArray) -> pa.StringArray:
        """Return the locations of one array's reference paths, null where those are.

        Raises
        ------
        InputError
            When a path is not the array's: the references are not parchunk's.
        """
        found: list[pa.StringArray] = []
        while True:
            old, new = self._beginnings(array, paths)
            elsewhere = _first_elsewhere(paths, old)
            mine = paths if elsewhere < 0 else paths.slice(0, elsewhere)
            if elsewhere == 0 or (
                elsewhere > 0 and (not self.stores or mine.null_count == elsewhere)
            ):
                raise InputError(
                    f"{array}: a reference lies outside of {old}: the record files were changed; "
                    "build again"
                )
            moved = mine if old == new else pc.binary_replace_slice(mine, 0, len(old.encode()), new)
            if elsewhere < 0 and not found:
                return moved
            found.append(moved)
            if elsewhere < 0:
                return pa.concat_arrays(found)
            paths = paths.slice(elsewhere)  # those of another store

    def _beginnings(self, array: str, paths: pa.StringArray) -> tuple[str, str]:
        """Return how paths begin, and their locations; of many stores, those of the first path."""
        own = array
        first = paths.drop_null().slice(0, 1).to_pylist() if self.stores else []
        if first:
            inside = self._store_of(first[0], array)
            if inside is not None:
                below = self.stores[inside]
                own = array[len(below) + 1 :] if below else array
                place = next(c for c in self.every if f"{inside}/".startswith(c.root))
                rest = (
                    key_below(inside, place.source.url).split("/")
                    if f"{inside}/" != place.root
                    else []
                )
                head = "".join(f"{quote(segment, _SAFE)}/" for segment in rest)
                return f"{below_url(inside, own)}/", f"{place.base}{head}{quote(own, _SAFE)}/"
        return f"{below_url(self.root.rstrip('/'), own)}/", f"{self.base}{quote(own, _SAFE)}/"

    @property
    def root(self) -> str:
        """The source's URL with a slash at its end."""
        return self.source.url.rstrip("/") + "/"

    def _store_of(self, path: str, array: str) -> str | None:
        """Return the URL of the store in which a path is one of an array's."""
        at = path.find("/")
        while at >= 0:
            below = self.stores.get(path[:at])
            if below is not None and (not below or array.startswith(f"{below}/")):
                own = array[len(below) + 1 :] if below else array
                if path.startswith(f"{path[:at]}/{own}/"):
                    return path[:at]
            at = path.find("/", at + 1)
        return None

    @property
    def _options(self) -> dict[str, str]:
        return dict(self.source.options)

    @property
    def _settings(self) -> dict[str, str]:
        return settings(self.prefix.partition(":")[0], self._options)

    @property
    def anonymous(self) -> bool:
        """Whether the source was listed without credentials."""
        return is_true(self._options.get("skip_signature", ""))

    def virtual_chunk_container(self) -> Any:
        """Return icechunk's own value; it holds no secret, as the plan holds none."""
        ic = adapter.load()
        return ic.VirtualChunkContainer(self.prefix, self._store(ic))

    def _store(self, ic: Any) -> Any:
        scheme = self.prefix.partition(":")[0]
        options = self._options
        if scheme == "file":
            return ic.local_filesystem_store(self.prefix.removeprefix("file://"))
        if is_http(self.prefix):
            if urlsplit(self.prefix).port is not None and not adapter.takes_arrays():
                raise UnsupportedError(
                    f"{self.source.url}: Icechunk 1 forgets the port of an HTTP URL, so that no "
                    "chunk would be found: use Icechunk 2.3"
                )
            return ic.http_store(self._http_options)
        if scheme == "gs":
            if "user_project" in options:
                raise UnsupportedError(
                    f"{self.source.url}: Icechunk has no way to say which project pays for chunks "
                    "on Google, so that none could be read: leave the references in Parquet"
                )
            return ic.gcs_store(self._settings)
        if scheme == "az":
            if "account_name" not in options:
                raise InputError(
                    f"{self.source.url}: Icechunk needs the account of an Azure source: give "
                    "--store-option account_name=NAME when planning and building"
                )
            return ic.storage.azure_store(account=options["account_name"], config=self._settings)
        return ic.s3_store(**self._s3_arguments())

    @property
    def _http_options(self) -> dict[str, str]:
        return {"allow_http": "true"} if self.prefix.startswith("http:") else {}

    def _s3_arguments(self) -> dict[str, Any]:
        options = self._options
        found: dict[str, Any] = {"region": options.get("region", "us-east-1")}
        if "endpoint" in options:
            endpoint = options["endpoint"]
            virtual = is_true(options.get("virtual_hosted_style_request", ""))
            found |= {
                "endpoint_url": endpoint,
                "allow_http": endpoint.startswith("http://"),
                "s3_compatible": True,
                "force_path_style": not virtual,
            }
        if self.anonymous:
            found["anonymous"] = True
        if options.get("request_payer"):
            found["requester_pays"] = True
        return found

    def access(self) -> dict[str, Any]:
        """Return what ``authorize_virtual_chunk_access`` takes, to read the chunks."""
        ic = adapter.load()
        held = {one.prefix: one._credential() for one in self.every}
        found: dict[str, Any] = ic.containers_credentials(held)
        return found

    def _credential(self) -> Any:
        ic = adapter.load()
        scheme = self.prefix.partition(":")[0]
        anonymous = self.anonymous
        credential: Any
        if scheme == "file":
            credential = adapter.local_access()
        elif is_http(self.prefix):
            credential = adapter.http_access()
        elif scheme == "gs":
            credential = ic.gcs_credentials(
                anonymous=anonymous or None, from_env=None if anonymous else True
            )
        elif scheme == "az":
            credential = ic.azure_credentials(from_env=True)
        else:
            credential = ic.s3_credentials(
                anonymous=anonymous or None, from_env=None if anonymous else True
            )
        return credential

    def code(self) -> str:
        """Return the Python that adds the containers to a repository ``repo``, in one line."""
        added = "".join(
            f"config.set_virtual_chunk_container({one._code()}); " for one in self.every
        )
        return f"config = repo.config; {added}repo = repo.reopen(config=config); repo.save_config()"

    def _code(self) -> str:
        scheme = self.prefix.partition(":")[0]
        if scheme == "file":
            store = f"ic.local_filesystem_store({self.prefix.removeprefix('file://')!r})"
        elif is_http(self.prefix):
            store = f"ic.http_store({self._http_options or ''})"
        elif scheme == "gs":
            store = f"ic.gcs_store({self._settings or ''})"
        elif scheme == "az":
            account = self._options.get("account_name", "ACCOUNT")
            given = f", config={self._settings}" if self._settings else ""
            store = f"ic.storage.azure_store(account={account!r}{given})"
        else:
            arguments = ", ".join(f"{key}={value!r}" for key, value in self._s3_arguments().items())
            store = f"ic.s3_store({arguments})"
        return f"ic.VirtualChunkContainer({self.prefix!r}, {store})"

    def is_declared(self, config: Any) -> bool:
        """Whether a repository's configuration has containers for all of this source's chunks."""
        return all(one._declared(config) is not None for one in self.every)

    def _declared(self, config: Any) -> Any:
        """Return the container of a repository that Icechunk takes for chunks here, or None."""
        declared = (config.virtual_chunk_containers or {}).values()
        mine = [one for one in declared if self.base.startswith(one.url_prefix)]
        return max(mine, key=lambda one: len(one.url_prefix), default=None)

    def misdirected(self, config: Any) -> str | None:
        """Return what is said of a repository that reads chunks from another server, else None.

        It is one in which all of them are declared.
        """
        ic = adapter.load()
        for one in self.every:
            container = one._declared(config)
            if one.prefix.startswith("az:") and "account_name" not in one._options:
                continue
            theirs, ours = (adapter.server_of(s) for s in (container.store, one._store(ic)))
            if theirs != ours:
                there, here = (" ".join(server) or "the provider" for server in (theirs, ours))
                return (
                    f"reads {container.url_prefix} from {there}, and these references are of "
                    f"chunks at {here}"
                )
        return None


def chunk_key(array: str, index: Sequence[int]) -> str:
    """Return the key of a chunk in a repository, where all arrays have the default keys."""
    return "/".join([array, "c", *map(str, index)])


def _first_elsewhere(paths: pa.StringArray, beginning: str) -> int:
    """Return the row of the first path that begins otherwise, -1 where all that are begin so.

    It looks little further than that row: of many stores, each has a run of them.
    """
    at, window = 0, _WINDOW
    while at < len(paths):
        begun = pc.starts_with(paths.slice(at, window), beginning)
        if not pc.all(begun, min_count=0).as_py():
            return at + int(begun.to_pylist().index(False))  # not by pc.index: it imports pandas
        at, window = at + window, 2 * window
    return -1
