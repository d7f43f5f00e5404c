"""Who lists a source: by itself what is proven, and what cannot be read off the wire says why."""

from __future__ import annotations

import json
import os
import pickle
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import AzureStore, LocalStore, S3Store
from tests.listing.ways import rows
from tests.made import grow

import parchunk
from parchunk.cli.main import run
from parchunk.errors import InputError, MissingExtraError
from parchunk.listing.choosing import choose, pages_of
from parchunk.listing.pages import PageError, Spent

HTTP = {"client_options": {"allow_http": True}}
ENDPOINT: dict[str, Any] = {"endpoint": "http://127.0.0.1:1", "skip_signature": True, **HTTP}
NO_RETRIES: Any = {"max_retries": 0}
KEYS = {"access_key_id": "a", "secret_access_key": "b"}


def chosen(store: Any, listing: str = "auto") -> str:
    return str(choose(parchunk.Source(store, "", "s3://b", listing=listing)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ENDPOINT, "wire (S3 endpoint, anonymous)"),
        (ENDPOINT | {"skip_signature": False} | KEYS, "wire (S3 endpoint, static)"),
        (
            ENDPOINT | {"skip_signature": False, "session_token": "c"} | KEYS,
            "wire (S3 endpoint, session token)",
        ),
        (ENDPOINT | {"skip_signature": False}, "obstore (S3 endpoint with credentials of kind"),
        (ENDPOINT | {"endpoint": "https://127.0.0.1:1"}, "wire (S3 endpoint with TLS, anonymous)"),
        ({"skip_signature": True}, "obstore (AWS with credentials of kind 'anonymous'"),
        ({"skip_signature": False}, "obstore (AWS with credentials of kind 'chain'"),
        (ENDPOINT | {"prefix": "p"}, "obstore (the store has a prefix of its own)"),
        (ENDPOINT | {"client_options": {}}, "obstore (http is not allowed"),
        (
            ENDPOINT | {"client_options": {"proxy_url": "http://p"}},
            "obstore (only obstore knows the client option proxy_url)",
        ),
        (ENDPOINT | {"role_arn": "r"}, "obstore (only obstore knows the store option role_arn)"),
    ],
)
def test_what_is_proven_is_chosen_by_itself(
    options: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert chosen(S3Store("b", **options)).startswith(expected)


def test_what_is_no_s3_is_obstores() -> None:
    assert chosen(LocalStore()) == "obstore (it is not listed over a network)"
    azure = AzureStore("c", account_name="a", skip_signature=True)
    assert chosen(azure) == "obstore (only S3 and GCS are read off the wire)"
    assert chosen(S3Store("b", **ENDPOINT), "obstore") == "obstore (as told)"


@pytest.mark.parametrize(
    ("host", "variables", "expected"),
    [
        ("127.0.0.1", {}, "wire"),
        ("127.0.0.1", {"HTTP_PROXY": "http://127.0.0.1:1"}, "obstore"),
        ("127.0.0.1", {"HTTPS_PROXY": "http://127.0.0.1:1"}, "wire"),
        ("127.0.0.1", {"all_proxy": "http://127.0.0.1:1", "NO_PROXY": "elsewhere"}, "obstore"),
        ("127.0.0.1", {"http_proxy": "http://127.0.0.1:1", "NO_PROXY": "x, 127.0.0.1"}, "wire"),
        # Neither stands for addresses.
        ("127.0.0.1", {"http_proxy": "http://127.0.0.1:1", "NO_PROXY": "*"}, "obstore"),
        ("127.0.0.1", {"http_proxy": "http://127.0.0.1:1", "NO_PROXY": ".0.0.1"}, "obstore"),
        ("localhost", {"http_proxy": "http://127.0.0.1:1", "NO_PROXY": "*"}, "wire"),
        ("localhost", {"http_proxy": "http://127.0.0.1:1", "no_proxy": "localhost"}, "wire"),
        # Of two spellings, Python and obstore take another one.
        ("localhost", {"http_proxy": "", "HTTP_PROXY": "http://127.0.0.1:1"}, "obstore"),
        (
            "localhost",
            {"http_proxy": "http://127.0.0.1:1", "no_proxy": "localhost", "NO_PROXY": "x"},
            "obstore",
        ),
    ],
)
def test_a_proxy_of_the_environment_is_obstores(
    host: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pages are read off the wire, obstore asks the server itself, too."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    store = zarr_store([("v", (3,), (1,), ("time",))])
    with serve(store, process=False) as server, refusing_proxy() as (proxy, asked):
        for name, value in variables.items():
            monkeypatch.setenv(name, value.replace("http://127.0.0.1:1", proxy))
        endpoint = server.endpoint.replace("127.0.0.1", host)
        s3 = S3Store("formula", **ENDPOINT | {"endpoint": endpoint}, retry_config=NO_RETRIES)
        source = parchunk.Source(s3, "", "s3://formula")
        choice = str(choose(source))
        assert choice.startswith(expected)
        assert choice.endswith(
            "(S3 endpoint, anonymous)" if expected == "wire" else "(the environment names a proxy)"
        )
        listed = _lists(replace(source, listing="obstore"))
        assert bool(asked) is (expected == "obstore")
        assert listed is (expected == "wire") or host == "localhost"  # which a machine may not know


@contextmanager
def refusing_proxy() -> Iterator[tuple[str, list[Any]]]:
    """Serve a proxy that hangs up; yield its URL, and who asked it."""
    asked: list[Any] = []
    over = threading.Event()

    def serve_it() -> None:
        while not over.is_set():
            connection, address = server.accept()
            asked.append(address)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve_it)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        finally:
            over.set()
            socket.create_connection(server.getsockname()).close()
            thread.join()


def _lists(source: parchunk.Source) -> bool:
    try:
        return bool(rows(source, "v"))
    except PageError:
        return False


@pytest.mark.parametrize(
    "endpoint",
    [
        *("http://user:pw@127.0.0.1:1", "http://127.1:1", "http://127.0.0.01:1", "http://0x7f.1:1"),
        *("http://127.0.0.1:1/a/../b", "http://127.0.0.1:1/%2E", "http://127.0.0.1:1/a\\b"),
        *("http://127.0.0.1:1/ü", "http://bücher.example", "http://[0:0::1]:1", "http://a:99999"),
    ],
)
def test_endpoints_that_obstore_spells_otherwise_are_its_own(endpoint: str) -> None:
    store = S3Store("b", **ENDPOINT | {"endpoint": endpoint})
    assert chosen(store) == "obstore (its endpoint is no plain URL)"


def test_what_the_environment_said_as_the_store_was_opened_is_obstores_to_remember(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = zarr_store([("v", (3,), (1,), ("time",))])
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with serve(store, process=False) as then, serve(store, process=False) as now:
        monkeypatch.setenv("AWS_ENDPOINT_URL", then.endpoint)
        source = parchunk.Source.open("s3://formula")
        monkeypatch.setenv("AWS_ENDPOINT_URL", now.endpoint)
        for one in (source, source.child("v"), replace(source, listing="obstore")):
            assert str(choose(one)).startswith("obstore (")
            pages = pages_of(one, 1000, 60, threading.Event()).pages("v", None, Spent())
            assert sum(len(page.paths) for page in pages) == 5
        assert (len(then.lists()), len(now.lists())) == (3, 0)
        with pytest.raises(InputError, match="the environment has changed since the store was"):
            choose(replace(source, listing="wire"))
        # In another process obstore reads the environment of that one, and so do its pages.
        again = pickle.loads(pickle.dumps(source))
        assert str(choose(again)) == "wire (S3 endpoint, anonymous)"
        list(pages_of(again, 1000, 60, threading.Event()).pages("v", None, Spent()))
        assert list(again.store.list("v"))
        assert (len(then.lists()), len(now.lists())) == (3, 2)


def test_without_botocore_what_is_signed_is_obstores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parchunk.extras.find_spec", lambda _: None)
    signed = ENDPOINT | {"skip_signature": False} | KEYS
    assert chosen(S3Store("b", **signed)).startswith("obstore (botocore is not installed: pip")
    with pytest.raises(MissingExtraError, match=r"pip install 'parchunk\[wire\]'"):
        chosen(S3Store("b", **signed), "wire")


def test_what_cannot_be_read_off_the_wire_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grow(tmp_path / "s", 4)
    out = tmp_path / "r"
    assert run(["build", str(tmp_path / "s"), str(out), "--listing", "wire"]) == 2
    assert "it is not listed over a network, so it is left to obstore" in capsys.readouterr().err
    assert not out.exists()
    both = ["--stack", "init", str(tmp_path / "s"), str(tmp_path / "t")]
    grow(tmp_path / "t", 4)
    assert run(["build", *both, str(out), "--listing", "wire"]) == 2
    assert "it is not listed over a network, so it is left to obstore" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(InputError, match="--listing fast: give one of auto, obstore, wire"):
        chosen(S3Store("b", **ENDPOINT), "fast")


def test_plans_say_who_lists(capsys: pytest.CaptureFixture[str]) -> None:
    store = zarr_store([("v", (3,), (1,), ("time",))])
    with serve(store, process=False) as server:
        options = ["--store-option", f"endpoint={server.endpoint}"]
        options += ["--store-option", "skip_signature=true"]
        for listing, expected in (
            ("auto", "wire (S3 endpoint, anonymous)"),
            ("obstore", "obstore (as told)"),
            ("wire", "wire (as told)"),
        ):
            code = run(["plan", "s3://formula", *options, "--listing", listing, "--json"])
            assert code == 0
            assert json.loads(capsys.readouterr().out)["forecast"]["listing"] == expected


def test_receipts_status_and_audits_say_who_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = zarr_store([("v", (3,), (1,), ("time",)), ("w", (2,), (1,), ("x",))])
    out = str(tmp_path / "r")
    by_itself, told = "wire (S3 endpoint, anonymous)", "obstore (as told)"
    with serve(store, process=False) as server:
        options = ["--store-option", f"endpoint={server.endpoint}"]
        options += ["--store-option", "skip_signature=true", "--json"]
        assert run(["build", "s3://formula", out, *options]) == 0
        assert json.loads(capsys.readouterr().out)["listing"] == by_itself
        # A partition that is built anew says so itself; one of an older build says nothing.
        (receipt,) = (tmp_path / "r" / ".parchunk" / "receipts" / "w").iterdir()
        assert json.loads(receipt.read_text())["listing"] == by_itself
        receipt.unlink()
        assert run(["build", "s3://formula", out, *options, "--listing", "obstore"]) == 0
        assert run(["status", out, "--json"]) == 0
        said = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert said["listings"] == {by_itself: 1, told: 1}
        (old,) = (tmp_path / "r" / ".parchunk" / "receipts" / "v").iterdir()
        document = json.loads(old.read_text())
        del document["listing"]
        old.write_text(json.dumps(document))
        assert run(["audit", out, "--against-source", "--json", *options[:-1]]) == 0
        said = json.loads(capsys.readouterr().out)
    assert said["listings"] == {told: 1}
    assert said["against_source"]["listing"] == by_itself
    assert run(["status", out]) == 0
    assert "listed by obstore (as told): 1 of the partitions done" in capsys.readouterr().out
