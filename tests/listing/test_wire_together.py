"""Pages of objects that are alike, one or several together, are read as a parser reads each."""

from __future__ import annotations

import re
from functools import partial
from http.server import BaseHTTPRequestHandler
from itertools import count as counted
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from instruments.synthetic.faults import Fault
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store
from tests.listing.s3_xml import (
    MICROSECONDS,
    entry,
    page,
    read_by_example,
    read_by_stretches,
    read_page,
    rows,
    said,
)
from tests.listing.ways import NEVER
from tests.loopback import serving

import parchunk
from parchunk.listing.choosing import pages_of
from parchunk.listing.pages import Enough, PageError, Spent
from parchunk.listing.wire.anchor import anchor_in
from parchunk.listing.wire.page import UnreadablePage
from parchunk.listing.wire.page_reader import PageReader
from parchunk.listing.wire.strict_reader import read_strictly

LIKES = {
    "plain": "",
    "class": "<StorageClass>STANDARD</StorageClass>",
    "owner": "<Owner><ID>a</ID><DisplayName>b</DisplayName></Owner><Type>Normal</Type>",
    "empty owner": "<Owner><ID></ID></Owner><StorageClass>GLACIER</StorageClass>",
    "restored": "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus>",
    "checksum": "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>",
}


@pytest.mark.parametrize("more", LIKES.values(), ids=LIKES)
@pytest.mark.parametrize("count", [2, 3, 200])
def test_objects_that_are_alike_need_no_brackets(more: str, count: int) -> None:
    sizes = [10 ** (n % 16) - n % 2 for n in range(count)]
    days = [f"20{n % 90 + 10}-0{n % 9 + 1}-{n % 28 + 1:02}T0{n % 10}" for n in range(count)]
    body = page(
        *(
            entry(f"a/{n * n}", size, f"{day}:59:58.678Z", more=more)
            for n, (size, day) in enumerate(zip(sizes, days, strict=True))
        ),
        token="t",
    )
    assert said(body, read_by_stretches) == said(body, read_strictly) is not None
    first = body.replace(b"<LastModified>", more.encode() + b"<LastModified>")
    assert said(first) == said(first, read_strictly)


@pytest.mark.parametrize(
    "other",
    [
        entry("b", tag="0" * 32 + "-2"),
        entry("b", more="<StorageClass>GLACIER</StorageClass>"),
        entry("b", 10**16),
        entry("b", when="2024-02-29T23:59:58Z"),
        entry("b").replace("ETag", "Etag"),
        entry("b", tag="]" * 32),
        entry("b\u00e9"),
        entry("b&amp;"),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_that_is_unlike_is_read_another_way(other: str, at: int) -> None:
    likes = [entry("a"), entry("c")]
    body = page(*likes[:at], other, *likes[at:])
    assert said(body, read_by_stretches) is None
    assert said(body) == said(body, read_strictly) != "refused"


def test_one_object_alone_needs_brackets_and_no_parser() -> None:
    body = page(entry("a"))
    assert said(body, read_by_stretches) is None
    assert said(body, read_by_example) == said(body, read_strictly)


JOINT = "</Size></Contents><Contents><Key>"
ESCAPED = JOINT.replace("<", "&lt;")


@pytest.mark.parametrize(
    "key", ["5/Size>/Contents>Contents>Key>", "Contents>", "ontents>x", ESCAPED, f"x{ESCAPED}y"]
)
@pytest.mark.parametrize("at", range(16))
def test_what_looks_like_an_end_of_objects_in_a_key_is_none(key: str, at: int) -> None:
    body = page(*(entry(f"{'z' * (at + n)}{key}{n}", n) for n in range(9)))
    read = said(body)
    assert read == said(body, read_strictly) != "refused"
    assert len(read[0]) == 9
    assert key.replace("&lt;", "<") in read[0][0][0]


@given(st.integers(0, 8), st.integers(0, len(JOINT)), st.sampled_from([*JOINT, "", "<x>", "  "]))
def test_a_joint_with_something_wrong_is_read_as_a_parser_reads_it(
    which: int, at: int, fragment: str
) -> None:
    parts = page(*(entry(f"a/{n}", n) for n in range(10))).decode().split(JOINT)
    assert len(parts) == 10
    joints = [JOINT] * 9
    for removed in (0, 1):
        joints[which] = JOINT[:at] + fragment + JOINT[at + removed :]
        body = "".join(a + b for a, b in zip(parts, [*joints, ""], strict=True)).encode()
        assert said(body) == said(body, read_strictly)


def test_an_anchor_is_met_wherever_its_text_stands() -> None:
    text = b"</Size></Contents><Contents><Key>"
    anchor = anchor_in(text, (b"</Key><Size>",))
    assert anchor is not None
    assert anchor.step == len(text) - 7
    for shift in range(60):
        body = b"x" * shift + text + b"y" * (shift % 7) + text + b"z" * 9
        found = anchor.find(body, 0, len(body)).tolist()
        assert found == [shift, shift + len(text) + shift % 7]
    assert anchor.find(text[:7], 0, 7).tolist() == []
    assert anchor_in(text, (text,)) is None


def in_turn(bodies: list[bytes]) -> list[Any]:
    """Return what a parser makes of pages that follow each other, up to one that is none."""
    found = []
    for body in bodies:
        found.append(said(body, read_strictly))
        if found[-1] == "refused":
            break
    return found


PIECES = st.sampled_from(
    [
        b"",
        b"<",
        b"&amp;",
        b"]",
        b"<Size>",
        b"\xff",
        b"0",
        b"</Contents>",
        b"<Contents>",
        JOINT.encode(),
    ]
)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from([*LIKES.values(), ""])), max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1), st.integers(0, 3), PIECES), max_size=2),
)
def test_several_pages_together_are_what_they_are_in_turn(
    likes: list[tuple[int, str]], edits: list[tuple[int, float, int, bytes]]
) -> None:
    bodies = [
        page(
            *(entry(f"{at}/{n}", n, more=more) for n in range(count)),
            head=f"<KeyCount>{count}</KeyCount>",
            token=f"t{at}",
        )
        for at, (count, more) in enumerate(likes)
    ]
    for which, place, removed, piece in edits:
        if which < len(bodies):
            at = int(place * len(bodies[which]))
            bodies[which] = bodies[which][:at] + piece + bodies[which][at + removed :]
    expected, reader = in_turn(bodies), PageReader()
    found: list[Any] = []
    last = None
    try:
        for body in bodies:
            reader.add(body)
        for last in reader.read():
            found += rows(last)
    except UnreadablePage:
        assert "refused" in expected
        return
    whole = [one for one in expected if one != "refused"]
    assert found == [row for rows_of, _, _ in whole for row in rows_of]
    assert (last and (last.token, last.fault)) == (whole[-1][1:] if whole else None)


AROUND = page(entry("a"), entry("b"), head="<ContinuationToken>s</ContinuationToken>", token="t")
HIDING = ["", "<!--", "-->", "<?x ", "?>", "<![CDATA[", "]]>", "<x>", "</x>", "&amp;", "--", "\x7f"]


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(AROUND)),
            st.integers(0, 3),
            st.sampled_from([*HIDING, "<NextContinuationToken>u</NextContinuationToken>"]),
        ),
        max_size=2,
    ),
    st.text("ab&;<]! \u00e9", max_size=3),
    st.lists(st.tuples(st.integers(0, len(AROUND)), st.integers(0, 1), st.sampled_from(HIDING))),
)
@settings(max_examples=60)
@example([(AROUND.find(b"<Cont"), 0, "<!--"), (AROUND.find(b"<IsT"), 0, "-->")], "--", [])
def test_what_stands_around_objects_is_known_again_only_where_it_is_the_same(
    edits: list[tuple[int, int, str]], token: str, others: list[tuple[int, int, str]]
) -> None:
    first = edited(AROUND, edits)
    second = re.sub(rb">[st]<", f">{token}<".encode(), first)
    for body in (second, edited(second, others[:1])):
        reader = PageReader()
        for before in (AROUND, first):
            said(before, partial(read_page, reader=reader))
        assert said(body, partial(read_page, reader=reader)) == said(body, read_strictly)


def edited(body: bytes, edits: list[tuple[int, int, str]]) -> bytes:
    for at, removed, fragment in sorted(edits, reverse=True):
        body = body[:at] + fragment.encode() + body[at + removed :]
    return body


def test_pages_of_a_listing_need_no_parser_behind_the_first() -> None:
    def like(at: int) -> bytes:
        head = f"<ContinuationToken>t{at}</ContinuationToken>"
        return page(*(entry(f"{at}/{n}") for n in range(5)), head=head, token=f"t{at + 1}")

    reader = PageReader()
    read_page(like(0), reader)
    with patch("parchunk.listing.wire.page_reader.Document", side_effect=AssertionError):
        for at in range(1, 5):
            assert reader.add(like(at)).token == f"t{at + 1}"
        (read,) = reader.read()
    assert rows(read) == [(f"{at}/{n}", 5, MICROSECONDS) for at in range(1, 5) for n in range(5)]


def test_pages_that_are_alike_are_read_in_one_go() -> None:
    reader = PageReader()
    for at in range(4):
        glance = reader.add(page(*(entry(f"{at}/{n}") for n in range(5)), token=f"t{at}"))
        assert (glance.token, glance.last) == (f"t{at}", f"{at}/4".encode())
    (read,) = reader.read()
    assert rows(read) == [(f"{at}/{n}", 5, MICROSECONDS) for at in range(4) for n in range(5)]
    assert read.token == "t3"
    assert list(reader.read()) == []


def test_nothing_is_read_behind_a_page_that_is_followed_by_another_than_it_seemed() -> None:
    odd = "<NextContinuationToken>really</NextContinuationToken>"
    reader = PageReader()
    first = page(entry("a"), odd, entry("b")).replace(b">false<", b">true<")
    assert reader.add(first).token is None
    reader.add(page(entry("x"), entry("y"), token="wrong"))
    (read,) = reader.read()
    assert [key for key, *_ in rows(read)] == ["a", "b"]
    assert read.token == "really"


def test_no_page_is_asked_for_behind_the_last_key_that_is_wanted() -> None:
    store = zarr_store([("v", (80, 100), (1, 1), ("time", "x"))])
    with serve(store, process=False) as server:
        s3 = S3Store(server.bucket, **server.store_kwargs())
        pages = pages_of(parchunk.Source(s3, "", "s3://formula", listing="wire"), 1000, 60, NEVER)
        keys = [key for one in pages.pages("v", None, Spent()) for key in one.paths.to_pylist()]
        assert keys == sorted(keys)
        for at, lists in ((0, 1), (999, 1), (1000, 2), (3999, 4)):
            spent = Spent()
            found = pages.pages("v", None, spent, Enough(10_000, keys[at]))
            assert next(found).paths.to_pylist() == keys[: lists * 1000]
            found.close()
            assert spent == Spent(lists=lists, keys=lists * 1000)
        spent = Spent()
        found = list(pages.pages("v", None, spent, Enough(8_000)))
        assert [len(one.paths) for one in found] == [4_000, 4_000, len(keys) - 8_000]
        assert spent == Spent(lists=9, keys=len(keys))


def test_pages_without_keys_do_not_go_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these takes 3 s, as the clock says that they are timed by."""
    asked, clock = counted(), counted()
    monkeypatch.setattr(
        "parchunk.listing.wire.wire_pages.time", SimpleNamespace(monotonic=lambda: 3 * next(clock))
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at = next(asked)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page(token=f"t{at}" if at < 1_000 else None))

        def log_message(self, *_: Any) -> None: ...

    with serving(Handler) as endpoint:
        s3 = S3Store(
            "b", endpoint=endpoint, skip_signature=True, client_options={"allow_http": True}
        )
        pages = pages_of(parchunk.Source(s3, "", "s3://b", listing="wire"), 1000, 60, NEVER)
        with pytest.raises(PageError, match="no key came for 60 s, in pages without any"):
            list(pages.pages("v", None, Spent()))
    assert next(asked) == 60 // 3 + 1


def test_what_came_before_a_page_that_is_none_is_kept() -> None:
    store = zarr_store([("v", (60, 100), (1, 1), ("time", "x"))])
    fault = Fault("error-body", first=2)
    with serve(store, faults=[fault], process=False) as server:
        s3 = S3Store(server.bucket, **server.store_kwargs())
        pages = pages_of(parchunk.Source(s3, "", "s3://formula", listing="wire"), 1000, 60, NEVER)
        found = pages.pages("v", None, spent := Spent(), Enough(10_000))
        assert len(next(found).paths) == 2_000
        with pytest.raises(PageError, match="it is an error"):
            next(found)
        assert spent.keys == 2_000
