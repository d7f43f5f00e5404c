"""Pages of S3 read by an XML parser: any page, slowly, and nothing that is not one."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import unquote
from xml.parsers import expat

import numpy as np
import pyarrow as pa

from parchunk.listing.listed_rows import Listed
from parchunk.listing.wire.page import UnreadablePage, WirePage
from parchunk.stores.identity import tags_of

#: What obstore does not look at, and lists nevertheless.
_REMEDY = "if that is how this store answers, give --listing obstore"
#: What stands between a namespace and a name; no URL has one.
_BETWEEN = "\n"
_ROOT = "ListBucketResult"
#: Elements below the root whose text is needed, and those of an object.
_OF_PAGE = frozenset({"IsTruncated", "NextContinuationToken", "KeyCount", "EncodingType"})
_OF_OBJECT = ("Key", "LastModified", "Size")
_TAG = "ETag"
_OF_ERROR = frozenset({"Code", "Message"})
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 2**64 - 1


class Document:
    """An XML document of S3, as one walks through it: its root, and the texts that count.

    Documents that declare types or entities are refused: answers of S3 have none, and they are how
    a few bytes become gigabytes.
    """

    def __init__(self, body: bytes, tagged: bool = False) -> None:
        """Read all of it; with ``tagged``, objects have their entity tags.

        Raises
        ------
        UnreadablePage
            When it is no such document.
        """
        self.root = ""
        #: Texts by name, of the page and of its error; each comes once.
        self.said: dict[str, str] = {}
        self._needed = (*_OF_OBJECT, _TAG) if tagged else _OF_OBJECT
        #: Key, time and size of each object, and its entity tag.
        self.objects: list[tuple[str, ...]] = []
        self.prefixes = 0
        self._space = ""
        self._path: list[str] = []
        self._object: dict[str, str] = {}
        self._text: list[str] | None = None
        if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UnreadablePage("it is not in UTF-8")  # the parser believes these over its maker
        parser = expat.ParserCreate("utf-8", _BETWEEN)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = _refuse
        parser.XmlDeclHandler = _declared
        try:
            parser.Parse(body, True)
        except expat.ExpatError as error:
            raise UnreadablePage(f"its XML cannot be read: {error}") from None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(_BETWEEN)
        if not self._path:
            self.root, self._space = local, space
        elif self._text is not None:
            raise UnreadablePage(f"{self._path[-1]} has elements in it")
        if space != self._space:
            local = f"{{{space}}}{local}"  # another vocabulary's word
        self._path.append(local)
        if len(self._path) == 2:
            if local == "Contents":
                self._object = {}
            elif local == "CommonPrefixes":
                self.prefixes += 1
            elif local in (_OF_PAGE if self.root == _ROOT else _OF_ERROR):
                self._text = []
        elif self._path[1:2] == ["Contents"] and len(self._path) == 3 and local in self._needed:
            self._text = []

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _end(self, name: str) -> None:
        local = self._path.pop()
        if self._text is not None:
            place = self.said if len(self._path) == 1 else self._object
            if local in place:
                raise UnreadablePage(f"it says {local} twice")
            place[local] = "".join(self._text)
            self._text = None
        elif len(self._path) == 1 and local == "Contents":
            for needed in self._needed:
                if needed not in self._object:
                    raise UnreadablePage(f"an object has no {needed}")
            self.objects.append(tuple(self._object[needed] for needed in self._needed))

    def page(self, listed: Listed) -> WirePage:
        """Return the page that has these objects.

        Raises
        ------
        UnreadablePage
            When it is an error, or contradicts itself.
        """
        self.check_root()
        self.check_count(len(listed.paths))
        return WirePage(listed, *self.following())

    def check_count(self, keys: int) -> None:
        """Look whether so many keys are as many as it says.

        Raises
        ------
        UnreadablePage
            When they are not.
        """
        said = self.said.get("KeyCount", "").strip()
        count = keys + self.prefixes
        if said and (not said.isdecimal() or int(said[:20]) != count):
            raise UnreadablePage(f"it says {said[:20]} keys, and has {count}: {_REMEDY}")

    def following(self) -> tuple[str | None, str]:
        """Return the token of the next page, and why there is none where one should be.

        Raises
        ------
        UnreadablePage
            When it does not say whether there is one.
        """
        token = self.said.get("NextContinuationToken", "")
        # Some servers leave it out where nothing follows.
        truncated = self.said.get("IsTruncated", "true" if token else "false").strip()
        if truncated not in ("true", "false"):
            raise UnreadablePage(f"it does not say whether there are more objects: {_REMEDY}")
        if truncated == "false" and not token:
            return None, ""
        # One who says that this is all, and where the rest begins, is asked for it, as by obstore.
        return token or None, "" if token else "it says that there are more objects, and not where"

    def check_root(self) -> None:
        """Look whether this is a listing.

        Raises
        ------
        UnreadablePage
            When it is an error, or anything else.
        """
        if self.root == "Error":
            code = re.sub(r"[^A-Za-z0-9]", "", self.said.get("Code", ""))[:60]
            raise UnreadablePage(f"it is an error ({code or 'without a code'})")
        if self.root != _ROOT:
            raise UnreadablePage("it is no listing of objects")


def read_strictly(body: bytes, tagged: bool = False) -> WirePage:
    """Return the page that an answer is, with ``tagged`` with entity tags.

    Raises
    ------
    UnreadablePage
        When it is none.
    """
    document = Document(body, tagged)
    document.check_root()
    encoded = document.said.get("EncodingType", "").strip()
    if encoded not in ("", "url"):
        raise UnreadablePage(f"its keys are in an encoding that is not known: {encoded[:20]!r}")
    keys = [key for key, *_ in document.objects]
    if encoded:
        keys = [_decoded(key) for key in keys]
    rows = listed(
        map(path_of, keys),
        (_size(size) for _, _, size, *_ in document.objects),
        (microseconds(time) for _, time, *_ in document.objects),
    )
    if tagged:
        tags = pa.array([one[-1] for one in document.objects], pa.string())
        rows = replace(rows, tags=tags_of(tags, rows.paths))
    return document.page(rows)


def listed(paths: Iterable[str], sizes: Iterable[int], times: Iterable[int]) -> Listed:
    """Return rows of objects."""
    return Listed(
        pa.array(list(paths), pa.string()),
        np.array(list(sizes), np.uint64),
        np.array(list(times), np.int64),
    )


def path_of(key: str) -> str:
    """Return a key as obstore spells it, which reads objects by it: without slashes at its ends.

    Raises
    ------
    UnreadablePage
        For a key that obstore has no spelling for.
    """
    path = key.removeprefix("/").removesuffix("/")
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise UnreadablePage(
            f"the key {key[:200]!r} has an empty, '.' or '..' segment, which no reader can ask "
            "for: rename that object"
        )
    if any(character < " " or character == "\x7f" for character in path):
        raise UnreadablePage(
            f"the key {key[:200]!r} has a control character, which no reader can ask for: rename "
            "that object"
        )
    return path


def microseconds(text: str) -> int:
    """Return a time in microseconds since the epoch; whatever is finer is cut off.

    Raises
    ------
    UnreadablePage
        When it is no time as RFC 3339 has it.
    """
    found = _TIME.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        day, time, fraction, zone = found.groups()
        passed = datetime.fromisoformat(f"{day}T{time}{zone.replace('Z', '+00:00')}") - _EPOCH
    except (ValueError, OverflowError):
        raise UnreadablePage(f"{text[:40]!r} is no time") from None
    whole = passed.days * 86_400 + passed.seconds
    return whole * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6])


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 40 or int(text) > _LARGEST:
        raise UnreadablePage(f"{text[:40]!r} is no size of an object")
    return int(text)


def _decoded(key: str) -> str:
    try:
        # A plus is a space: a plus of the key itself is always encoded.
        return unquote(key.replace("+", " "), errors="strict")
    except UnicodeDecodeError:
        raise UnreadablePage(f"the key {key[:200]!r} is no text") from None


def _refuse(*_: object) -> None:
    raise UnreadablePage("it declares a document type, which no listing has")


def _declared(version: str, encoding: str | None, standalone: int) -> None:
    if (encoding or "utf-8").lower() != "utf-8":
        raise UnreadablePage("it is not in UTF-8")
