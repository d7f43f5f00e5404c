"""Pages as they come over the wire: read in a hurry, the same as an XML parser reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.listing.s3_xml import (
    MICROSECONDS,
    S3,
    entry,
    page,
    read_by_example,
    read_page,
    rows,
    said,
)

from parchunk.listing.wire.page import UnreadablePage
from parchunk.listing.wire.page_reader import PageReader
from parchunk.listing.wire.strict_reader import read_strictly


def test_an_ordinary_page_is_read_by_vectors() -> None:
    keys = [f"s.zarr/t2m/c/{number}/0" for number in range(1_000)]
    body = page(*(entry(key, 10**n % 10**13) for n, key in enumerate(keys)), token="a/b+c=")
    read = read_by_example(body)
    assert read is not None
    assert rows(read) == [(key, 10**n % 10**13, MICROSECONDS) for n, key in enumerate(keys)]
    assert read.token == "a/b+c="
    assert said(body, read_strictly) == said(body)


@pytest.mark.parametrize(
    ("tag", "by_vectors"),
    [("&quot;{}&quot;", True), ("{}", True), ('"{}"', True), ("&#34;{}&#34;", True)],
)
def test_entity_tags_come_where_they_are_wanted(tag: str, by_vectors: bool) -> None:
    plain = [f"{n:032x}" + f"-{n}" * (n % 3) for n in range(50)]
    body = page(
        *(
            entry(f"a/{n}").replace(f"&quot;{'0' * 32}&quot;", tag.format(p))
            for n, p in enumerate(plain)
        )
    )
    reader = PageReader(tagged=True)
    listed = read_page(body, reader).listed
    assert listed.tags is not None
    assert [one.decode() for one in listed.tags] == plain
    assert (read_by_example(body) is not None) == by_vectors
    assert read_page(body).listed.tags is None


def test_objects_without_wanted_entity_tags_are_no_page() -> None:
    body = page(entry("a").replace(f"<ETag>&quot;{'0' * 32}&quot;</ETag>", ""))
    assert read_page(body).listed.paths.to_pylist() == ["a"]
    with pytest.raises(UnreadablePage, match="an object has no ETag"):
        read_page(body, PageReader(tagged=True))


@pytest.mark.parametrize(
    "more",
    [
        "<StorageClass>STANDARD</StorageClass>",
        "<Owner><ID>a</ID><DisplayName>b</DisplayName></Owner><Type>Normal</Type>",
        "<Owner><ID></ID></Owner>",
        "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>",
    ],
)
def test_what_other_stores_say_beside_is_no_reason_for_a_parser(more: str) -> None:
    body = page(*(entry(f"a/{n}", n, more=more) for n in range(20)))
    assert said(body, read_by_example) == (
        [(f"a/{n}", n, MICROSECONDS) for n in range(20)],
        None,
        "",
    )


def test_quotes_as_other_stores_spell_them_are_no_reason_for_a_parser() -> None:
    body = page(*(entry(f"a/{n}", n) for n in range(20))).replace(b"&quot;", b"&#34;")
    expected = [(f"a/{n}", n, MICROSECONDS) for n in range(20)], None, ""
    assert said(body, read_by_example) == said(body, read_strictly) == expected


@pytest.mark.parametrize(
    "keys",
    [
        ["a/.zarray", "a/.zattrs", "a/0.0", "b/.zgroup"],
        [".zgroup", "..a", "a/..b/.c."],
        ["a/.", "b"],
    ],
)
def test_names_that_begin_with_a_dot_are_no_reason_for_a_parser(keys: list[str]) -> None:
    body = page(*(entry(key) for key in keys))
    refused = "a/." in keys
    assert said(body, read_by_example) == (None if refused else said(body, read_strictly))
    assert said(body) == ("refused" if refused else said(body, read_by_example))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (page(), []),
        (page(entry("a&amp;b&lt;&#233;&#x41;")), ["a&b<éA"]),
        (page(entry("a"), entry("<![CDATA[b&c]]>")), ["a", "b&c"]),
        (page(entry("a"), "<!-- <Contents> -->", entry("b")), ["a", "b"]),
        (page(entry("a"), entry("b").replace("<Key>", "<Key >")), ["a", "b"]),
        (page(entry("a"), entry("b").replace("><", ">\n <")), ["a", "b"]),
        (page(entry("a"), entry("b", when="2024-02-29T23:59:58.678000001Z")), ["a", "b"]),
        (page(entry("a"), entry("b", when="2024-03-01T00:59:58.678+01:00")), ["a", "b"]),
        (page(entry("a"), entry("b", tag="x&amp;y")), ["a", "b"]),
        (page(entry("a"), entry("b", more="<Owner/>")), ["a", "b"]),
        (page(entry("a/", 0), entry("/b")), ["a", "b"]),
        (page(entry("a/.zarray"), entry("ä")), ["a/.zarray", "ä"]),
        (page(entry("a%20b"), entry("c+d")), ["a%20b", "c+d"]),
        (page(entry("a%20b"), entry("c+d%2B"), head="<EncodingType>url</EncodingType>"),
         ["a b", "c d+"]),
        (page(entry("a"), tail="<CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes>",
              head="<KeyCount>2</KeyCount>"), ["a"]),
        (page(entry("a")).replace(b"<IsTruncated>false</IsTruncated>", b""), ["a"]),
        (page(entry("a")).replace(f' xmlns="{S3}"'.encode(), b""), ["a"]),
        (page(entry("a")).replace(b"<", b"<s:").replace(b"<s:/", b"</s:").replace(b"xmlns=",
         b"xmlns:s=").replace(b"<s:?", b"<?"), ["a"]),
        (page(entry("a"), '<x:Contents xmlns:x="other"><x:Key>b</x:Key></x:Contents>'), ["a"]),
        (page(entry("a"), entry("b").replace("<Size>", "<Size><!-- 1 -->")), ["a", "b"]),
    ],
)  # fmt: skip
def test_odd_pages_are_read_like_any_other(body: bytes, expected: list[str]) -> None:
    assert [key for key, _, _ in rows(read_page(body))] == expected
    assert {when for _, _, when in rows(read_page(body))} <= {MICROSECONDS}
    assert said(body) == said(body, read_strictly)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no element found"),
        (page(entry("a"))[:-1], "cannot be read"),
        (page(entry("a"))[: len(page(entry("a"))) // 2], "cannot be read"),
        (b"<Error><Code>SlowDown</Code><Message>m</Message></Error>", r"an error \(SlowDown\)"),
        (b"<html></html>", "no listing of objects"),
        (page(entry("a")).replace(b">false</IsTruncated>", b">x</IsTruncated>"), "does not say"),
        (page(entry("a"), head="<KeyCount>2</KeyCount>"), "says 2 keys, and has 1"),
        (page(entry("a"), entry("b")[:-11] + "<Key>c</Key></Contents>"), "says Key twice"),
        (page(entry("a"), head="<IsTruncated>true</IsTruncated>"), "says IsTruncated twice"),
        (page("<Contents><Key>a</Key></Contents>"), "has no LastModified"),
        (page(entry("a"), entry("a//b")), "empty, '.' or '..' segment"),
        (page(entry("a/../b")), "empty, '.' or '..' segment"),
        (page(entry("a&#9;b")), "control character"),
        (page(entry("a\x7fb")), "control character"),
        (page(entry("a&#1;b")), "cannot be read"),
        (page(entry("a", "-1")), "'-1' is no size"),
        (page(entry("a", 2**64)), "no size"),
        (page(entry("a", "1_0")), "no size"),
        (page(entry("a", "")), "no size"),
        (page(entry("a", when="2023-02-29T00:00:00Z")), "no time"),
        (page(entry("a", when="2024-02-29T00:00:60Z")), "no time"),
        (page(entry("a", when="yesterday")), "no time"),
        (page(entry("<b>a</b>")), "Key has elements"),
        (page(entry("a"), head="<EncodingType>base64</EncodingType>"), "that is not known"),
        (page(entry("%ff"), head="<EncodingType>url</EncodingType>"), "is no text"),
        (page(entry("a")).decode().encode("utf-16"), "cannot be read|not in UTF-8"),
        (page(entry("a")).replace(b"UTF-8", b"latin-1"), "not in UTF-8"),
        (page(entry("a")) + page(entry("a")), "cannot be read"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]>' + page(entry("&b;"))[39:], "declares a document type"),
    ],
)  # fmt: skip
def test_what_is_no_page_is_refused_in_one_line(body: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePage, match=reason) as refused:
        read_page(body)
    assert "\n" not in str(refused.value)
    assert said(body, read_strictly) == "refused"


KEYS = st.text(
    st.one_of(
        st.sampled_from("/./0123456789abzc-_ ~*'()!@$=:,+;%"),
        st.sampled_from("&<>\"']é😀\u2028\ufffd%[\t\n\x7f"),
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
    ),
    max_size=12,
)  # fmt: skip
SIZES = st.integers(0, 2**64 - 1) | st.integers(0, 10**6)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2261, 12, 31)).map(
    lambda when: when.isoformat(timespec="milliseconds") + "Z"
)


def spelled(draw: st.DrawFn, text: str) -> str:
    """Return a text as XML, in one of the ways to write it."""
    how = draw(st.sampled_from(["escape", "escape", "numbers", "cdata"]))
    if how == "cdata" and "]]>" not in text:
        return f"<![CDATA[{text}]]>"
    if how == "numbers":
        return "".join(f"&#{ord(c)};" if ord(c) % 2 else escape(c) for c in text)
    return escape(text).replace("\n", "&#10;").replace("\t", "&#9;")


@st.composite
def pages(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, int, str]]]:
    """Draw a page that is well-formed, and the objects that it is made of."""
    objects = draw(st.lists(st.tuples(KEYS, SIZES, TIMES), max_size=5))
    plain = draw(st.booleans())
    between = "" if plain else draw(st.sampled_from(["", "", "\n  ", "<!-- x -->"]))
    made = []
    for key, size, when in objects:
        parts = [
            f"<Key>{escape(key) if plain else spelled(draw, key)}</Key>",
            f"<LastModified>{when}</LastModified>",
            "<ETag>&quot;0&quot;</ETag>",
            f"<Size>{size}</Size>",
        ]
        if not plain and draw(st.booleans()):
            parts = draw(st.permutations(parts))
        if not plain and draw(st.booleans()):
            parts.append("<Owner><ID>1</ID></Owner>")
        made.append(f"<Contents>{between}{between.join(parts)}</Contents>{between}")
    token = draw(st.none() | st.just("t"))
    head = draw(st.sampled_from(["", f"<KeyCount>{len(objects)}</KeyCount>"]))
    tail = draw(st.sampled_from(["", between]))
    return page(*made, head=head, tail=tail, token=token), objects


def refused(key: str) -> bool:
    """Whether no path is spelled like this key."""
    path = re.sub(r"\A/|/\Z", "", key)
    segments = path.split("/") if path else []
    odd = any(segment in ("", ".", "..") for segment in segments)
    return odd or any(c < " " or c == "\x7f" for c in path)


@given(pages())
def test_any_page_is_read_as_it_was_written(
    drawn: tuple[bytes, list[tuple[str, int, str]]],
) -> None:
    body, objects = drawn
    by_hand = said(body, read_strictly)
    assert said(body) == by_hand
    parsed = [
        child.findtext(f"{{{S3}}}Key")
        for child in ElementTree.fromstring(body)
        if child.tag == f"{{{S3}}}Contents"
    ]
    assert [key or "" for key in parsed] == [key for key, _, _ in objects]
    if any(refused(key) for key, _, _ in objects):
        assert by_hand == "refused"
        return
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert by_hand[0] == [
        (
            re.sub(r"\A/|/\Z", "", key),
            size,
            round((datetime.fromisoformat(when) - epoch).total_seconds() * 1000) * 1000,
        )
        for key, size, when in objects
    ]


def test_objects_of_a_page_that_does_not_say_where_more_are_are_kept() -> None:
    read = read_page(page(entry("a"), token=""))
    assert [key for key, _, _ in rows(read)] == ["a"]
    assert read.token is None
    assert read.fault == "it says that there are more objects, and not where"


def test_a_page_that_says_where_more_are_is_not_the_last() -> None:
    body = page(entry("a"), token="t").replace(b">true</IsTruncated>", b">false</IsTruncated>")
    assert read_page(body).token == "t"
    assert said(body) == said(body, read_strictly)


FRAGMENTS = st.sampled_from(
    [
        *("<", ">", "&", "]", "]]>", "/", "//", "/.", "\n", "\0", "\x7f", "\xff", " ", "0", "Z"),
        *("<!--", "-->", "<![CDATA[", "<?x ", "?>", "&quot;", "&#48;", "&x;", "<Contents>", "</"),
        *("</Contents>", "<Key>", "</Key>", "<Size>", "</Size>", "<Key/>", ' a="b"', "<x>", "</x>"),
        *(entry("z"), "</ListBucketResult>", "<IsTruncated>true</IsTruncated>"),
    ]
).map(lambda text: text.encode("latin-1"))  # fmt: skip


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), FRAGMENTS), min_size=1, max_size=3),
    st.sampled_from(["", "<StorageClass>S</StorageClass>"]),
)
@example(2, [(0.5, 0, b"&quot;")], "")
def test_a_page_with_something_wrong_is_read_as_a_parser_reads_it(
    count: int, edits: list[tuple[float, int, bytes]], more: str
) -> None:
    body = page(*(entry(f"a/{n}", n, more=more) for n in range(count)), token="t")
    for place, removed, fragment in edits:
        at = int(place * len(body))
        body = body[:at] + fragment + body[at + removed :]
    assert said(body) == said(body, read_strictly)


@given(st.lists(st.sampled_from(["", "<Owner/>", "<Type>x</Type>", "<ETag>&quot;</ETag>"])))
def test_what_the_last_page_looked_like_does_not_matter(likes: list[str]) -> None:
    reader = PageReader()
    for number, more in enumerate(likes):
        body = page(*(entry(f"a/{number}/{n}", n, more=more) for n in range(3)))
        read = read_page(body, reader)
        assert (rows(read), read.token, read.fault) == said(body, read_strictly)
