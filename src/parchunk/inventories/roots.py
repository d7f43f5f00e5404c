"""Roots: what the keys of an inventory are relative to, told by where a store's documents are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from parchunk.errors import InputError

#: One of these lies at the root of every Zarr hierarchy.
DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


@dataclass(frozen=True)
class Root:
    """The folder whose objects are wanted: its ``url``, and its ``prefix`` in its store.

    ``given`` is what the inventory's keys are relative to, a URL, where the user says so.
    """

    url: str
    prefix: str = ""
    given: str | None = None
    #: A folder below it where documents lie, as they do not at the root of a group or of stores.
    example: str = ""

    @property
    def example_folder(self) -> str:
        """The folder below it where documents lie, with its slash; "" for the root itself."""
        return f"{self.example}/" if self.example else ""

    @property
    def segments(self) -> list[str]:
        """The names of the folders above and of the root itself, a bucket first."""
        return [*filter(None, [self.bucket]), *filter(None, self.prefix.split("/"))]

    @property
    def bucket(self) -> str | None:
        """The bucket or container, where the URL names one."""
        scheme, separator, rest = self.url.partition("://")
        if not separator or scheme.lower() in ("http", "https", "memory"):
            return None
        return rest.partition("/")[0]


def in_bucket(root: Root, bucket: str, where: str) -> str:
    """Return how the wanted keys begin in an inventory whose keys are those of a bucket.

    Raises
    ------
    InputError
        When the root is in another one.
    """
    if root.bucket is not None and root.bucket != bucket:
        raise InputError(
            f"{where} is the inventory of {bucket}, and {root.url} is in {root.bucket}: give the "
            f"inventory of {root.bucket}, or, where both hold the same keys, --inventory-root "
            f"{root.url.partition('://')[0]}://{root.bucket}"
        )
    return f"{root.prefix}/" if root.prefix else ""


def as_given(root: Root) -> str | None:
    """Return how the wanted keys begin where the user says what they are relative to.

    Raises
    ------
    InputError
        When the root is not below that.
    """
    if root.given is None:
        return None
    given, url = root.given.rstrip("/"), root.url
    if url.startswith(("http://", "https://")):
        given, url = unquote(given), unquote(url)
    if given == url:
        return ""
    if not url.startswith(f"{given}/"):
        raise InputError(
            f"--inventory-root {given}: {root.url} is not below it: give the URL of the folder "
            "that the inventory's keys are relative to"
        )
    return url[len(given) + 1 :] + "/"


def found_root(root: Root, present: Callable[[Sequence[str]], Collection[str]], where: str) -> str:
    """Return how the wanted keys begin, by which of the documents at a root are in the inventory.

    ``present`` returns those of some keys that are there.

    Raises
    ------
    InputError
        When none is, or keys can be read in several ways.
    """
    beginnings = _beginnings(root)
    example = root.example_folder
    asked = {begin + example + name: begin for begin in beginnings for name in DOCUMENTS}
    found = list(dict.fromkeys(asked[key] for key in present(list(asked))))
    if not found:
        whose = f"{root.url}/{example}".rstrip("/")
        raise InputError(
            f"{where} has no {', '.join(DOCUMENTS)} of {whose}: it is of another place or of "
            "other times, or was cut off; or say what its keys are relative to with "
            "--inventory-root URL"
        )
    if len(found) > 1:
        shown = " and ".join(repr(f"{begin}...") for begin in found[:3])
        raise InputError(
            f"{where} has documents at {shown}, and each may be {root.url}: say what its keys are "
            "relative to with --inventory-root URL"
        )
    return found[0]


def _beginnings(root: Root) -> list[str]:
    """Return how keys may begin: relative to the root, or to any folder above it, or as URLs."""
    segments = root.segments
    plain = ["/".join([*segments[at:], ""]) for at in range(len(segments) + 1)]
    spelled = [begin + path for path in plain for begin in ("", "/", "./")]
    whole = (
        [f"{root.url}/", f"file://{root.url}/"] if root.url.startswith("/") else [f"{root.url}/"]
    )
    return list(dict.fromkeys([*spelled, *whole]))
