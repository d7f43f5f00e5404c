"""Listings in the JSON of Google Cloud Storage: as obstore lists, or one line that says why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.rules import HashFraction
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import GCSStore
from tests.made import FAULTS, QUICK, check_exact, timeout_with

import parchunk
from parchunk.listing.choosing import choose
from parchunk.listing.wire.gcs import read_json
from parchunk.listing.wire.page import UnreadablePage
from parchunk.planning.inventory import Inventory


@contextmanager
def bucket(
    store: FormulaStore, *faults: Fault, listing: str = "wire", **who: Any
) -> Iterator[tuple[Server, parchunk.Source]]:
    with serve(store, faults=faults, process=False) as server:
        gcs = GCSStore(
            server.bucket,
            base_url=server.endpoint,
            **who or {"skip_signature": True},
            client_options={"allow_http": True, "timeout": timeout_with(faults)},
            retry_config={"max_retries": 0},
        )
        yield server, parchunk.Source(gcs, "", "gs://formula", listing=listing)


def test_builds_are_the_same_to_the_byte(tmp_path: Path, published: Any) -> None:
    store = zarr_store([("v", (70, 90), (1, 1), ("time", "x"))], present=HashFraction(0.9))
    found = {}
    for way in ("obstore", "wire"):
        with bucket(store, listing=way) as (_, source):
            result = parchunk.build(parchunk.plan(source, region=20), str(tmp_path / way))
            assert result.listing.startswith(way)
        found[way] = published(tmp_path / way), result.requests
    assert found["obstore"] == found["wire"]


def provided() -> dict[str, Any]:
    """Return a token that ends so soon that each request takes another one."""
    return {"token": "ya29.one", "expires_at": datetime.now(UTC) + timedelta(seconds=60)}


@pytest.mark.parametrize("name", [n for n in FAULTS if n not in ("no-token", "expired-token")])
def test_a_fault_in_passing_costs_nothing(tmp_path: Path, name: str) -> None:
    store = zarr_store([("v403", (58, 200), (1, 1), ("time", "x"))])
    with bucket(store, FAULTS[name], credential_provider=provided) as (server, source):
        plan = parchunk.plan(source, region=20)
        parchunk.build(plan, str(tmp_path / "r"), patience=QUICK, concurrency=2)
        assert sum(server.counts()["faults"].values()) >= 1
    check_exact(tmp_path / "r", plan, store)


def test_a_token_that_is_refused_in_passing_costs_nothing(tmp_path: Path) -> None:
    """The listing goes on with another token, after the last key that came."""
    store = zarr_store([("v403", (58, 200), (1, 1), ("time", "x"))])
    fault = Fault("401", first=4, times=1, within="v403/")
    with bucket(store, fault, credential_provider=provided) as (server, source):
        plan = parchunk.plan(source, region=58)
        server.reset()
        result = parchunk.build(plan, str(tmp_path / "r"), patience=QUICK, concurrency=1)
        assert server.counts()["faults"] == {"401": 1}
        assert result.retries == 1
        assert len([entry for entry in server.lists() if entry["prefix"] == "v403/"]) == 13
    check_exact(tmp_path / "r", plan, store)


def test_it_is_not_chosen_by_itself() -> None:
    gcs = GCSStore("b", skip_signature=True)
    source = parchunk.Source(gcs, "", "gs://b")
    assert str(choose(source)) == "obstore (GCS with credentials of kind 'anonymous' is not proven)"


def test_what_objects_are_known_by_is_left_to_obstore() -> None:
    """Entity tags of Google's JSON are not those that its objects are read by; times may differ."""
    gcs = GCSStore("b", skip_signature=True)
    timed = parchunk.Source(gcs, "", "gs://b", identity="time")
    assert str(choose(timed)).startswith("obstore (times on the wire of Google may not be those")
    source = parchunk.Source(gcs, "", "gs://b", identity="etag")
    assert str(choose(source)).startswith("obstore (entity tags on the wire of Google")
    with pytest.raises(parchunk.InputError, match="left to obstore: give --listing auto"):
        choose(replace(source, listing="wire"))
    with pytest.raises(parchunk.InputError, match="of Google have other entity tags"):
        Inventory(("a.csv",)).of(source)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "cannot be read"),
        (b"[]", "no listing"),
        (b'{"items": {}}', "no listing"),
        (b'{"error": {"code": 503}}', "no listing"),
        (b'{"items": [1]}', "no name"),
        (b'{"items": [{"name": 1, "size": "1", "updated": "x"}]}', "no name"),
        (b'{"items": [{"name": "a", "name": "b"}]}', "a name comes twice"),
        (b'{"items": [{"name": "a", "name" : "b"}]}', "a name comes twice"),
        (b'{"items": [{"name": "a", "n\\u0061me": "b"}]}', "a name comes twice"),
        (b'{"items": [{"name": "a", "x": {"y" :1, "y":2}}]}', "a name comes twice"),
        (b'{"items": [], "items": []}', "a name comes twice"),
        (b'{"items": [{"name": "a", "size": "", "updated": "x"}]}', "no size"),
        (b'{"items": [{"name": "a", "size": "1234567890123456789", "updated": "x"}]}', "no size"),
        (b'{"items": [{"name": "a", "size": "-1", "updated": "x"}]}', "no size"),
        (b'{"items": [{"name": "a", "size": "1", "updated": "x"}]}', "no time"),
        (b'{"items": [{"name": "a//b", "size": "1", "updated": "x"}]}', "segment"),
        (b'{"items": [{"name": "\\ud800", "size": "1", "updated": "x"}]}', "no text"),
        (b'{"items": [], "nextPageToken": 1}', "no listing"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
def test_what_is_no_page_is_refused(said: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePage, match=reason):
        read_json(said, None)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/.")),
            st.integers(0, 10**18 - 1),
            st.sampled_from([0, 3, 6]),
        )
    ),
    st.sampled_from(["", "t"]),
)
def test_any_page_is_read_as_it_was_written(
    objects: list[tuple[str, int, int]], token: str
) -> None:
    items = [
        {
            "name": f"a/{name}x",
            "size": str(size),
            "updated": "2024-02-29T23:59:58" + (".678901"[: digits + 1] if digits else "") + "Z",
        }
        for name, size, digits in objects
    ]
    page = read_json(json.dumps({"items": items, "nextPageToken": token}).encode(), None)
    assert page.token == (token or None)
    assert page.listed.paths.to_pylist() == [f"a/{name}x" for name, _, _ in objects]
    assert page.listed.sizes.tolist() == [size for _, size, _ in objects]
    assert page.listed.modified.tolist() == [
        1_709_251_198_000_000 + {0: 0, 3: 678_000, 6: 678_901}[digits] for _, _, digits in objects
    ]
