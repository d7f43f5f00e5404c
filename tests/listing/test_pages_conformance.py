"""One suite for whoever lists: obstore, and pages read off the wire, must be the same.

Whatever store and kind of credentials it has may be read off the wire without being told to:
`parchunk.listing.choosing.PROVEN` is what is tested here. Another server is tested with::

    PARCHUNK_CONFORMANCE=s3://BUCKET/A/PREFIX/TO/WRITE/BELOW python -m pytest \
        tests/listing/test_pages_conformance.py
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import uuid
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from instruments.s3_server import S3Bucket
from instruments.synthetic.faults import Fault
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from instruments.tls import Identity
from obstore.store import S3Store
from tests.listing.signed_bucket import signed_bucket
from tests.listing.ways import KINDS, NEVER, WAYS, rows
from tests.made import grow

import parchunk
from parchunk.cli.plan import describe
from parchunk.listing.choosing import PROVEN, pages_of
from parchunk.listing.pages import PageError, Spent

#: What of a receipt is no two times the same: small arrays of one walk share its requests as they
#: pass, of which only the sum is the same; and they say who listed.
_OF_THE_MOMENT = ("listing", "seconds", "built_at", "written", "finished", "requests", "retries")

#: Keys that text, XML and URLs have to be told about, and directory markers.
ODD = [
    *["a b", "a+b", "a%20b", "a%2Fb", "a&b", "a<b>", "a\"b'c", "a#b?c", "a=b;c", "a*~!()", "a]]>b"],
    *["ä/ü", "日本/😀", "x/", "x/y", "x-y", "x.z", "&amp;", "\u2028", "back\\slash", "tilde~"],
]


def source_of(bucket: S3Bucket, way: str, **options: Any) -> parchunk.Source:
    return parchunk.Source(bucket.store(), "", f"s3://{bucket.name}", listing=way, **options)


@pytest.mark.s3
def test_keys_come_as_obstore_spells_them(bucket: S3Bucket, way: str) -> None:
    for size, key in enumerate(ODD):
        bucket.put(key, b"." * size)
    listed = rows(source_of(bucket, way), "")
    expected = {key.removesuffix("/"): size for size, key in enumerate(ODD)}
    assert {key: size for key, size, _ in listed} == expected
    assert [key for key, _, _ in listed] == [
        key.removesuffix("/") for key in sorted(ODD, key=str.encode)
    ]
    assert listed == rows(source_of(bucket, "obstore"), "")


@pytest.mark.s3
def test_prefixes_are_whole_segments_and_offsets_come_first(bucket: S3Bucket, way: str) -> None:
    keys = ["t/0/0", "t/0/1", "t/0/10", "t/0.1", "t/0", "t/00", "t/1", "u &+%/1", "u &+%/2"]
    for key in keys:
        bucket.put(key, b"x")
    source = source_of(bucket, way)

    def found(prefix: str, after: str | None = None) -> list[str]:
        return [key for key, _, _ in rows(source, prefix, after)]

    assert found("t/0") == ["t/0/0", "t/0/1", "t/0/10"]
    assert found("t/0", "t/0/0") == ["t/0/1", "t/0/10"]
    assert found("t/0", "t/0/0/") == ["t/0/1", "t/0/10"]
    assert found("t/0", "t/0/10") == []
    assert found("t", "t/0/1") == ["t/0/10", "t/00", "t/1"]
    assert found("u &+%", "u &+%/1") == ["u &+%/2"]
    assert found("nothing/here") == []
    assert found("") == sorted(keys, key=str.encode)


def test_pages_follow_each_other_and_none_is_fetched_too_many(
    way: str, identity: Identity | None
) -> None:
    store = zarr_store([("v", (50, 50), (1, 1), ("time", "x"))])
    with serve(store, process=False, identity=identity) as server:
        s3 = S3Store(server.bucket, **server.store_kwargs())
        source = parchunk.Source(s3, "", "s3://formula", listing=way)
        spent = Spent()
        assert len(rows(source, "v", spent=spent)) == 2_502
        assert spent == Spent(lists=3, keys=2_502)
        assert len(server.lists()) == 3
        server.reset()
        pages = pages_of(source, 1000, 60, NEVER).pages("v", "v/1", spent := Spent())
        assert len(next(pages).paths) == 1_000
        pages.close()
        assert spent == Spent(lists=1, keys=1_000)
        assert [entry["start_after"] for entry in server.lists()] == ["v/1"]


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 2_000])
def test_requests_are_counted_alike(way: str, count: int, identity: Identity | None) -> None:
    store = zarr_store([("v", (count or 1,), (1,), ("time",))])
    with serve(store, process=False, identity=identity) as server:
        s3 = S3Store(server.bucket, **server.store_kwargs())
        source = parchunk.Source(s3, "", "s3://formula", listing=way)
        prefix = "v" if count else "w"
        spent = Spent()
        found = len(rows(source, prefix, spent=spent))
        assert found == spent.keys == (count + 2 if count else 0)
        assert spent.lists == len(server.lists()) == max(-(-found // 1000), 1)


def test_listings_end_while_the_build_ends(way: str, identity: Identity | None) -> None:
    store = zarr_store([("v", (3_000,), (1,), ("time",))])
    with serve(
        store, faults=[Fault("hang", first=1, seconds=60)], process=False, identity=identity
    ) as server:
        s3 = S3Store(server.bucket, **server.store_kwargs())
        source = parchunk.Source(s3, "", "s3://formula", listing=way)
        stop = threading.Event()
        pages = pages_of(source, 1000, 60, stop).pages("v", None, Spent())
        next(pages)
        threading.Timer(0.3, stop.set).start()
        try:
            assert list(pages) == []
        except PageError:
            assert stop.is_set()


@pytest.mark.parametrize("kind", ["hang", "stall"])
def test_silence_is_not_waited_for_without_an_end(
    way: str, kind: Any, identity: Identity | None
) -> None:
    store = zarr_store([("v", (3_000,), (1,), ("time",))])
    fault = Fault(kind, first=1, times=None, seconds=60)
    with serve(store, faults=[fault], process=False, identity=identity) as server:
        kwargs = server.store_kwargs()
        kwargs["client_options"]["timeout"] = "1s"
        s3 = S3Store(server.bucket, **kwargs, retry_config={"max_retries": 0})
        source = parchunk.Source(s3, "", "s3://formula", listing=way)
        for _ in range(20):
            server.reset()  # where the first page has come too late, it is the first again
            pages = pages_of(source, 1000, 60, NEVER).pages("v", None, spent := Spent())
            with contextlib.suppress(PageError):
                assert len(next(pages).paths) == 1_000
                break
        with pytest.raises(PageError) as broken:
            next(pages)
        assert not broken.value.final
        assert "\n" not in broken.value.reason
        assert spent.keys == 1_000


@pytest.mark.parametrize("kind", ["503", "429", "500", "reset"])
def test_what_passes_is_asked_again_without_a_word(
    way: str, kind: Any, identity: Identity | None
) -> None:
    store = zarr_store([("v", (3_000,), (1,), ("time",))])
    with serve(
        store, faults=[Fault(kind, first=1, times=2)], process=False, identity=identity
    ) as server:
        s3 = S3Store(
            server.bucket,
            **server.store_kwargs(),
            retry_config={"max_retries": 3},
        )
        source = parchunk.Source(s3, "", "s3://formula", listing=way)
        assert len(rows(source, "v")) == 3_002
        assert len(server.lists()) == 6


@pytest.mark.parametrize(
    ("kind", "reason", "final"),
    [
        ("403", "permission denied (AccessDenied): check the credentials", True),
        ("404", "", False),
        ("501", "", False),
    ],
)
def test_refusals_are_one_line(
    way: str, kind: Any, reason: str, final: bool, identity: Identity | None
) -> None:
    store = zarr_store([("v", (3,), (1,), ("time",))])
    with serve(store, faults=[Fault(kind, times=None)], process=False, identity=identity) as server:
        s3 = S3Store(server.bucket, **server.store_kwargs())
        source = parchunk.Source(s3, "", "s3://formula", listing=way)
        with pytest.raises(PageError) as refused:
            rows(source, "v")
        assert refused.value.final is final
        assert refused.value.reason.startswith(reason)
        assert "\n" not in refused.value.reason
        noted = replace(source, unsigned="only OUT names this server: name it")
        if kind == "403":
            with pytest.raises(PageError, match="only OUT names this server"):
                rows(noted, "v")


@pytest.mark.s3
def test_entity_tags_are_those_that_objects_are_read_by(bucket: S3Bucket, way: str) -> None:
    for at in range(3):
        bucket.put(f"t/{at}", b"." * at)
    source = source_of(bucket, way, identity="etag")
    (page,) = pages_of(source, 1000, 60, NEVER).pages("t", None, Spent())
    assert page.tags is not None
    for path, tag in zip(page.paths.to_pylist(), page.tags.tolist(), strict=True):
        assert f'"{tag.decode()}"' == source.store.head(path)["e_tag"]
    (page,) = pages_of(replace(source, identity="none"), 1000, 60, NEVER).pages("t", None, Spent())
    assert page.tags is None


@pytest.mark.s3
def test_no_bucket_is_final(bucket: S3Bucket, way: str) -> None:
    source = source_of(replace(bucket, name="no-such-bucket"), way)
    with pytest.raises(PageError, match="no such bucket") as refused:
        rows(source, "v")
    assert refused.value.final


def test_no_server_is_one_line(way: str) -> None:
    s3 = S3Store(
        "b",
        endpoint="http://127.0.0.1:1",
        skip_signature=True,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    source = parchunk.Source(s3, "", "s3://b", listing=way)
    with pytest.raises(PageError, match=r"no connection to the store .*: check the endpoint"):
        rows(source, "v")


def test_a_key_without_a_spelling_is_refused(way: str) -> None:
    with signed_bucket(keys=["a/b", "a//c"]) as bucket:
        source = parchunk.Source(bucket.store(skip_signature=True), "", "s3://b", listing=way)
        with pytest.raises(PageError, match="a//c"):
            rows(source, "")


@pytest.mark.s3
def test_builds_are_the_same_to_the_byte(bucket: S3Bucket, tmp_path: Path, tree: Any) -> None:
    grow(tmp_path / "store", 30)
    bucket.upload(tmp_path / "store", "s.zarr")
    bucket.store().delete("s.zarr/air/3.1")
    bucket.put("s.zarr/air/stray.tmp", b"x")
    found = {}
    for way in WAYS:
        out = tmp_path / way
        source = parchunk.Source(bucket.store(), "s.zarr", "s3://b/s.zarr", listing=way)
        plan = parchunk.plan(source, region=10)
        assert str(describe(plan)["listing"]).startswith(way)
        result = parchunk.build(plan, str(out), concurrency=1)
        assert result.listing == f"{way} (as told)"
        receipts = {
            path.relative_to(out): {
                key: value
                for key, value in json.loads(path.read_text()).items()
                if key not in _OF_THE_MOMENT
            }
            for path in (out / ".parchunk" / "receipts").rglob("*.json")
        }
        files = {path: digest for path, digest in tree(out).items() if "receipts" not in path}
        assert {receipt.listing for receipt in result.receipts} == {f"{way} (as told)"}
        found[way] = receipts, files, result.requests
    assert found["obstore"] == found["wire"]


def test_what_is_proven_is_what_is_tested() -> None:
    kinds = (*KINDS, "web identity", "provider")
    assert set(product(("S3 endpoint", "S3 endpoint with TLS"), kinds)) == PROVEN


@pytest.mark.skipif("PARCHUNK_CONFORMANCE" not in os.environ, reason="names no server to test")
def test_a_server_of_your_own(way: str) -> None:
    opened = parchunk.Source.open(os.environ["PARCHUNK_CONFORMANCE"])
    base = f"{opened.prefix}/conformance-{uuid.uuid4().hex}".strip("/")
    keys = [f"{base}/{key}" for key in (*ODD, *(f"n/{number}" for number in range(1_100)))]
    keys = [key.removesuffix("/") for key in keys]
    for key in keys:
        opened.store.put(key, b"x")
    try:
        source = replace(opened, listing=way)
        assert [key for key, _, _ in rows(source, base)] == sorted(keys, key=str.encode)
        assert rows(source, f"{base}/n", f"{base}/n/5") == rows(
            replace(opened, listing="obstore"), f"{base}/n", f"{base}/n/5"
        )
    finally:
        opened.store.delete(keys)
