"""Answers of S3 as tests write them, and what readers make of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from parchunk.listing.wire.page import UnreadablePage, WirePage
from parchunk.listing.wire.page_reader import PageReader

S3 = "http://s3.amazonaws.com/doc/2006-03-01/"
WHEN = "2024-02-29T23:59:58.678Z"
MICROSECONDS = 1_709_251_198_678_000


def read_page(body: bytes, reader: PageReader | None = None) -> WirePage:
    reader = reader or PageReader()
    reader.add(body)
    (read,) = reader.read()
    return read


def read_without(*ways: str) -> Callable[[bytes], WirePage | None]:
    """Return what reads pages without some ways to, and makes None of those that need one."""

    class Needed(Exception):
        pass

    def read(body: bytes) -> WirePage | None:
        with ExitStack() as without:
            for way in ways:
                at = f"parchunk.listing.wire.page_reader.{way}"
                without.enter_context(patch(at, side_effect=Needed))
            try:
                return read_page(body)
            except Needed:
                return None

    return read


def entry(key: str, size: object = 5, when: str = WHEN, tag: str = "0" * 32, more: str = "") -> str:
    """Return an object as AWS writes it; ``key`` is XML."""
    return (
        f"<Contents><Key>{key}</Key><LastModified>{when}</LastModified>"
        f"<ETag>&quot;{tag}&quot;</ETag><Size>{size}</Size>{more}</Contents>"
    )


def page(*entries: str, head: str = "", tail: str = "", token: str | None = None) -> bytes:
    """Return a page of objects."""
    more = "false" if token is None else "true"
    following = "" if token is None else f"<NextContinuationToken>{token}</NextContinuationToken>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{S3}"><Name>b</Name>'
        f"<Prefix/>{head}<IsTruncated>{more}</IsTruncated>{following}{''.join(entries)}{tail}"
        "</ListBucketResult>"
    ).encode()


def rows(read: WirePage) -> list[tuple[str, int, int]]:
    listed = read.listed
    return list(
        zip(listed.paths.to_pylist(), listed.sizes.tolist(), listed.modified.tolist(), strict=True)
    )


def said(body: bytes, reader: Any = read_page) -> Any:
    """Return what a reader makes of a page, or that it refuses it."""
    try:
        read = reader(body)
    except UnreadablePage:
        return "refused"
    return None if read is None else (rows(read), read.token, read.fault)


read_by_example = read_without("read_strictly")
read_by_stretches = read_without("read_strictly", "read_by_brackets")
