"""An OUT from elsewhere names a server: none of the reader's credentials reach it."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from instruments.recorder import Recorder, recorder

import parchunk
from parchunk.cli.main import run
from parchunk.errors import InputError, ParchunkError
from parchunk.stores import opening
from parchunk.stores.kept_options import options_to_open
from parchunk.stores.opening import Location

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
#: Every kind of credential that obstore takes from the environment without asking a server.
CREDENTIALS = {
    "s3 keys": ("s3", {"AWS_ACCESS_KEY_ID": "PlAnTeD1", "AWS_SECRET_ACCESS_KEY": "PlAnTeD2"}),
    "s3 session": (
        "s3",
        {
            "AWS_ACCESS_KEY_ID": "PlAnTeD1",
            "AWS_SECRET_ACCESS_KEY": "PlAnTeD2",
            "AWS_SESSION_TOKEN": "PlAnTeD3",
        },
    ),
    "s3 encryption": (
        "s3",
        {
            "AWS_ACCESS_KEY_ID": "PlAnTeD1",
            "AWS_SECRET_ACCESS_KEY": "PlAnTeD2",
            "AWS_SERVER_SIDE_ENCRYPTION": "sse-c",
            "AWS_SSE_CUSTOMER_KEY_BASE64": KEY,
        },
    ),
    "az key": ("az", {"AZURE_STORAGE_ACCOUNT_KEY": KEY}),
    "az token": ("az", {"AZURE_STORAGE_TOKEN": "PlAnTeD1"}),
    "az sas": ("az", {"AZURE_STORAGE_SAS_KEY": "sv=2024&sig=PlAnTeD1"}),
    "gs token": ("gs", {"GOOGLE_BEARER_TOKEN": "PlAnTeD1"}),
}
PLACES = {"s3": "endpoint", "az": "endpoint", "gs": "base_url"}
MORE = {"s3": {"region": "us-east-1"}, "az": {"account_name": "devstoreaccount1"}, "gs": {}}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take everything of stores out of the environment, and the patience out of requests."""
    for name in os.environ:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setitem(opening.RETRY, "max_retries", 1)
    monkeypatch.setitem(opening.RETRY, "retry_timeout", timedelta(seconds=2))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Recorder]:
    dataset = xarray.Dataset(
        {"a": ("time", np.arange(1.0, 7))},
        coords={"time": np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]")},
    )
    folder = tmp_path / "served/bucket/store"
    dataset.to_zarr(folder, zarr_format=2, consolidated=True, encoding={"a": {"chunks": (1,)}})
    (folder / "a/3").unlink()
    with recorder(tmp_path / "served") as serving:
        yield serving


def built(server: Recorder, scheme: str, out: Path, **options: str) -> str:
    """Build references of the served store, and forget how: as they would come from elsewhere."""
    given = {PLACES[scheme]: server.endpoint, "skip_signature": "true", **MORE[scheme]}
    plan = parchunk.plan(f"{scheme}://bucket/store", region=2, store_options=given)
    parchunk.build(plan, str(out))
    keep(out, {key: value for key, value in given.items() if key != "skip_signature"} | options)
    server.requests.clear()
    return str(out)


def keep(out: Path, options: dict[str, str]) -> None:
    plan = out / ".parchunk/plan.json"
    document = json.loads(plan.read_text())
    document["source_options"] = options
    plan.write_text(json.dumps(document))


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_a_kept_endpoint_gets_no_credentials(
    kind: str, server: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme, secrets = CREDENTIALS[kind]
    out = built(server, scheme, tmp_path / "out")
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    for command in (
        ["status", out],
        ["audit", out],
        ["sql", out, "FROM refs"],
        ["audit", out, "--against-source"],
        ["update", out],
        ["audit", out, "--json"],
    ):
        assert run(command) in (0, 1), command
    assert len(server.requests) > 5
    assert server.signed() == []
    text = "\n".join(server.requests)
    assert not [value for value in secrets.values() if value.lower() in text]
    assert "planted" not in text
    if kind == "gs token" and version("obstore").startswith("0.10."):
        return  # which knows none of Google's: what follows would show nothing
    # The same requests, were the server named: the test sees what it looks for.
    server.requests.clear()
    named = f"--store-option={PLACES[scheme]}={server.endpoint}"
    assert run(["audit", out, "--against-source", named]) == 1
    assert server.signed() == server.requests != []


@pytest.mark.parametrize("kind", ["s3 session"])
def test_readers_send_no_credentials(
    kind: str, server: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs", reason="the extra 's3' is not installed")
    scheme, secrets = CREDENTIALS[kind]
    out = built(server, scheme, tmp_path / "out")
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    with parchunk.open_dataset(out) as dataset:
        assert dataset.a.values[0] == 1
    parchunk.connect(out).sql("FROM refs").fetchall()
    assert server.requests
    assert server.signed() == []


def test_an_import_sends_no_credentials(
    server: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    icechunk = pytest.importorskip("icechunk", reason="the extra 'icechunk' is not installed")
    icechunk.set_logs_filter("error")
    scheme, secrets = CREDENTIALS["s3 session"]
    out = built(server, scheme, tmp_path / "out")
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    assert run(["to-icechunk", out, str(tmp_path / "repo")]) == 0
    assert run(["audit", out, "--icechunk", str(tmp_path / "repo")]) == 1
    assert server.signed() == []


@pytest.mark.parametrize("spelling", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3"])
def test_the_environment_names_an_endpoint(
    spelling: str, server: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme, secrets = CREDENTIALS["s3 keys"]
    out = built(server, scheme, tmp_path / "out")
    for name, value in {**secrets, spelling: server.endpoint + "/"}.items():
        monkeypatch.setenv(name, value)
    assert run(["audit", out, "--against-source"]) == 1
    assert server.signed() == server.requests != []


def test_another_endpoint_in_the_environment_is_no_leave(
    server: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme, secrets = CREDENTIALS["s3 keys"]
    out = built(server, scheme, tmp_path / "out")
    for name, value in {**secrets, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    assert run(["audit", out, "--against-source"]) == 1
    assert server.requests
    assert server.signed() == []


@pytest.mark.parametrize("command", [["update"], ["audit", "--against-source"]])
def test_the_remedy_for_one_s_own_endpoint(
    command: list[str],
    server: Recorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scheme, secrets = CREDENTIALS["s3 session"]
    out = built(server, scheme, tmp_path / "out")
    server.closed = True
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    assert run([*command, out]) == 2
    said = capsys.readouterr().err
    named = f"--store-option endpoint={server.endpoint}"
    assert "only OUT names this server, so it was sent no credentials: if you trust it" in said
    assert said.rstrip().endswith(named)
    assert said.count("\n") == 1
    assert server.signed() == []
    assert run([*command, out, *named.split(" ")]) in (0, 1)


@pytest.mark.parametrize("alias", ["endpoint", "endpoint_url", "aws_endpoint_url", "AWS_ENDPOINT"])
def test_every_spelling_names_it(
    alias: str, server: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme, secrets = CREDENTIALS["s3 keys"]
    out = built(server, scheme, tmp_path / "out")
    server.closed = True
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    assert run(["update", out, f"--store-option={alias}={server.endpoint}"]) == 0


def test_credentials_as_options_are_refused_for_it(server: Recorder, tmp_path: Path) -> None:
    out = built(server, "s3", tmp_path / "out")
    given = ["--store-option=access_key_id=a", "--store-option=secret_access_key=PlAnTeD"]
    assert run(["audit", out, "--against-source", *given]) == 2
    assert server.requests == []
    given.append(f"--store-option=endpoint={server.endpoint}")
    assert run(["audit", out, "--against-source", *given]) == 1
    assert server.signed() == server.requests != []


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("az://bucket/store", {"account_name": "127.0.0.1:1/x#"}),
        ("az://bucket/store", {"account_name": "host/"}),
        ("s3://bucket/store", {"region": "x@127.0.0.1:1/"}),
        ("s3://bucket/store", {"region": "evil.example/"}),
    ],
)
def test_hosts_in_disguise_are_refused(url: str, kept: dict[str, str]) -> None:
    location = Location(url, tuple(kept.items()))
    with pytest.raises(InputError, match="that OUT keeps is none"):
        options_to_open(location)


@pytest.mark.parametrize("bucket", ["host%2Fx", "host%3Fx", "host%23", "host:80", "a%40b", "a%5Cb"])
@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_buckets_that_are_hosts_are_refused(scheme: str, bucket: str) -> None:
    given = {"account_name": "me"} if scheme == "az" else {}
    with pytest.raises(ParchunkError, match=r"no name of a bucket|no credentials in URLs"):
        opening.open_store(f"{scheme}://{bucket}/store", given)


def test_the_emulator_is_a_server_too(monkeypatch: pytest.MonkeyPatch) -> None:
    location = Location("az://c/store", (("account_name", "me"), ("use_emulator", "true")))
    assert options_to_open(location)["skip_signature"] == "true"
    monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "1")
    assert "skip_signature" not in options_to_open(location)


def test_a_key_that_cannot_be_held_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    location = Location("az://c/store", (("account_name", "me"), ("endpoint", "http://h:1")))
    monkeypatch.setenv("AZURE_STORAGE_ENCRYPTION_KEY", KEY)
    with pytest.raises(InputError, match="AZURE_STORAGE_ENCRYPTION_KEY would be sent"):
        options_to_open(location)
    assert "skip_signature" not in options_to_open(location, {"endpoint": "http://h:1"})


def test_sources_of_no_kept_endpoint_are_opened_as_ever() -> None:
    kept: Any = (("region", "eu-west-1"), ("request_payer", "true"))
    assert options_to_open(Location("s3://b/s", kept)) == dict(kept)
    assert options_to_open(Location("az://c/s", (("account_name", "me"),))) == {
        "account_name": "me"
    }
