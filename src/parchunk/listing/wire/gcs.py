"""The dialect of Google Cloud Storage: its JSON, of which only what is needed is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from obstore.store import GCSStore

from parchunk.listing.listed_rows import Listed
from parchunk.listing.pages import PageError
from parchunk.listing.wire.columns import times
from parchunk.listing.wire.connection import Answer
from parchunk.listing.wire.google_identity import GoogleIdentity, google_identity
from parchunk.listing.wire.page import Glance, UnreadablePage, WirePage
from parchunk.listing.wire.paths import are_paths, text_of
from parchunk.listing.wire.reaching import (
    NotHere,
    client_options,
    has_proxy,
    limits_of,
    origin_of,
)
from parchunk.listing.wire.server import Limits, Origin
from parchunk.listing.wire.stretches import is_plain
from parchunk.listing.wire.strict_reader import microseconds, path_of
from parchunk.listing.wire.tokens import Tokens
from parchunk.listing.wire.wire_pages import refusal
from parchunk.stores.google_files import OPTIONS
from parchunk.stores.options import PAYER, from_environment, is_true

_FIELDS = "items(name,size,updated),nextPageToken"
_UNDERSTOOD = frozenset({"bucket", "base_url", "skip_signature"}) | OPTIONS
_PROJECT = re.compile(r"[a-z0-9.:-]{1,100}")
_SIZE_LENGTHS = frozenset(range(1, 19))
#: A name that does not stand right before its colon.
_APART = re.compile(rb'"[ \t\r\n]+:')
_REASON = re.compile(r"[A-Za-z]{1,60}")


@dataclass(frozen=True)
class GCS:
    """The dialect of a bucket; ``endpoint`` says whether the server was named.

    ``payer`` is the project that pays for requests, if that is not the bucket's.
    """

    origin: Origin
    path: str
    limits: Limits
    endpoint: bool
    identity: GoogleIdentity
    payer: str = ""
    tokens: Tokens | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """Of which kind its credentials are."""
        return self.identity.kind

    @classmethod
    def of(cls, store: GCSStore) -> GCS:
        """Return the dialect of a store's bucket.

        Raises
        ------
        NotHere
            When it is reached in a way that only obstore knows.
        """
        if store.prefix:
            raise NotHere("the store has a prefix of its own")
        config = {key: str(value) for key, value in dict(store.config).items()}
        said = {key: values[0] for key, values in from_environment("gs").items()} | config
        for key in config:
            if key not in _UNDERSTOOD:
                raise NotHere(f"only obstore knows the store option {key}")
        client = client_options("gs", store, {"default_headers"})
        origin, path = origin_of(said.get("base_url") or "https://storage.googleapis.com")
        if not origin.encrypted and not is_true(client.get("allow_http", "")):
            raise NotHere("http is not allowed: give --store-option allow_http=true")
        if has_proxy(origin):
            raise NotHere("the environment names a proxy")
        bucket = quote(config["bucket"], safe="")
        return cls(
            origin,
            f"{path}/storage/v1/b/{bucket}/o",
            limits_of(client, store.retry_config),
            "base_url" in said,
            google_identity(store, said),
            _payer(store),
        )

    def ready(self) -> GCS:
        """Return the dialect with the tokens of who asks.

        Raises
        ------
        MissingExtraError
            When google-auth is needed, and not there.
        """
        return replace(self, tokens=self.identity.tokens(self.limits))

    def target(self, prefix: str, after: str | None, token: str | None) -> str:
        """Return the path and query that ask for a page."""
        query = {
            "fields": _FIELDS,
            "maxResults": "1000",
            "pageToken": token,
            "prefix": prefix,
            "startOffset": after,
            "userProject": self.payer,
        }
        text = "&".join(f"{key}={quote(value, safe='~')}" for key, value in query.items() if value)
        return f"{self.path}?{text}"

    def headers(self, target: str) -> dict[str, str]:
        """Return what is sent with a request, the token included."""
        headers = {PAYER: self.payer} if self.payer else {}
        token = self.tokens.current() if self.tokens else ""
        return headers | ({"Authorization": f"Bearer {token}"} if token else {})

    def reader(self, after: str | None) -> JsonReader:
        """Return what reads the pages of one listing, which begins with ``after`` itself."""
        return JsonReader(after)

    def refused(self, answer: Answer, unsigned: str) -> PageError:
        """Return the error that an answer is."""
        reason = ""
        try:
            said = json.loads(answer.body)["error"]["errors"][0]["reason"]
            reason = said if isinstance(said, str) and _REASON.fullmatch(said) else ""
        except (ValueError, LookupError, TypeError, RecursionError):
            pass
        if answer.status == 401 and self.tokens and self.tokens.refused():
            return PageError("the token was refused, and another is asked for")
        return refusal(answer, reason, unsigned)


def _payer(store: GCSStore) -> str:
    """Return the project that pays for requests, which only a header says to obstore.

    Raises
    ------
    NotHere
        When there are other headers.
    """
    headers: Any = dict(store.client_options or {}).get("default_headers") or {}
    said = {key.lower(): value for key, value in headers.items()}
    payer = said.pop(PAYER, b"")
    text = payer.decode("latin-1") if isinstance(payer, bytes) else str(payer)
    if said or not (_PROJECT.fullmatch(text) or not text):
        raise NotHere("only obstore knows the client option default_headers")
    return text


class JsonReader:
    """Reads pages as they come; see `parchunk.listing.wire.page.Reader`."""

    def __init__(self, after: str | None) -> None:
        """Begin; the object ``after`` is left out."""
        self._after = after
        self._bodies: list[bytes] = []

    def add(self, body: bytes) -> Glance:
        """Take a page, of which nothing is known before it is read."""
        self._bodies.append(body)
        return Glance()

    def read(self) -> Iterator[WirePage]:
        """Yield what was taken."""
        bodies, self._bodies = self._bodies, []
        return (read_json(body, self._after) for body in bodies)


def read_json(body: bytes, after: str | None) -> WirePage:
    """Return the page that an answer is, without the object ``after``.

    Raises
    ------
    UnreadablePage
        When it is none.
    """
    try:
        said = _document(body)
    except (ValueError, RecursionError) as error:
        raise UnreadablePage(f"its JSON cannot be read: {str(error)[:200]}") from None
    if not isinstance(said, dict) or "error" in said:
        raise UnreadablePage("it is no listing of objects")
    items, token = said.get("items", []), said.get("nextPageToken", "")
    if not isinstance(items, list) or not isinstance(token, str):
        raise UnreadablePage("it is no listing of objects")
    if after and _texts(items[:1], "name") == [after]:
        items = items[1:]
    names, sizes, updated = (_texts(items, name) for name in ("name", "size", "updated"))
    digits = "".join(sizes)
    if sizes and not (
        digits.isascii() and digits.isdigit() and {*map(len, sizes)} <= _SIZE_LENGTHS
    ):
        raise UnreadablePage("an object has no size that is one")
    return WirePage(
        Listed(_paths(names), np.array([int(size) for size in sizes], np.uint64), _times(updated)),
        token or None,
    )


def _document(body: bytes) -> Any:
    """Return the JSON of an answer, in which no name comes twice in an object.

    Raises
    ------
    ValueError, RecursionError
        When it cannot be read, or one does.
    """
    said = json.loads(body)
    items = said.get("items", []) if isinstance(said, dict) else None
    if isinstance(items, list) and {*map(type, items)} <= {dict}:
        # Each name stands before a colon, and no other text does: as many as were kept.
        kept = len(said) + sum(map(len, items))
        if body.count(b'":') == kept and b"\\" not in body and not _APART.search(body):
            return said
    return json.loads(body, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _texts(items: list[Any], name: str) -> list[str]:
    try:
        found = [item[name] for item in items]
    except (KeyError, TypeError, IndexError):
        raise UnreadablePage(f"an object has no {name}") from None
    if not {*map(type, found)} <= {str}:
        raise UnreadablePage(f"an object has no {name}")
    return found


def _paths(names: list[str]) -> pa.StringArray:
    """Return names as paths, most of which they are as they stand."""
    try:
        keys = pa.array(names, pa.string())
        if all(names) and is_plain(text_of(keys).tobytes()) and are_paths(keys):
            return keys
        return pa.array([path_of(name) for name in names], pa.string())
    except UnicodeEncodeError:
        raise UnreadablePage("a name is no text") from None


def _times(texts: list[str]) -> NDArray[np.int64]:
    page = "".join(texts)
    if page.isascii() and len(set(map(len, texts))) == 1:
        length = len(texts[0])
        starts = np.arange(len(texts)) * length
        found = times(page.encode() + bytes(8), starts, starts + length)
        if found is not None:
            return found
    return np.array([microseconds(text) for text in texts], np.int64)
