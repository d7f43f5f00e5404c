"""Stores are reached with what the environment says, in every spelling that obstore takes."""

import os
from pathlib import Path

import numpy as np
import pytest
import xarray
from instruments.s3_server import S3Bucket

import parchunk
from parchunk.cli.main import run
from parchunk.errors import InputError
from parchunk.stores.opening import open_store
from parchunk.stores.options import canonical_options, from_environment

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
ENVIRONMENTS = {
    "as documented": {**KEYS, "AWS_ENDPOINT_URL": "@", "AWS_ALLOW_HTTP": "true"},
    "plain http is meant": {**KEYS, "AWS_ENDPOINT_URL": "@"},
    "short": {**KEYS, "AWS_ENDPOINT": "@", "AWS_ALLOW_HTTP": "1"},
    "for S3": {**KEYS, "AWS_ENDPOINT_URL_S3": "@", "AWS_DEFAULT_REGION": "us-east-1"},
    "public": {"AWS_ENDPOINT_URL": "@", "AWS_SKIP_SIGNATURE": "true", "AWS_REGION": "us-east-1"},
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def source(bucket: S3Bucket, tmp_path: Path) -> str:
    dataset = xarray.Dataset({"a": ("time", np.arange(1.0, 7))}, coords={"time": np.arange(6)})
    dataset.to_zarr(tmp_path / "store", zarr_format=2, encoding={"a": {"chunks": (1,)}})
    bucket.upload(tmp_path / "store", "store")
    return f"s3://{bucket.name}/store"


@pytest.mark.s3
@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_source_and_out(
    kind: str, source: str, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs", reason="the extra 's3' is not installed")
    for name, value in ENVIRONMENTS[kind].items():
        monkeypatch.setenv(name, bucket.endpoint if value == "@" else value)
    out = f"s3://{bucket.name}/refs"
    assert run(["plan", source]) == 0
    assert run(["build", source, out]) == 0
    # An option more drops nothing of what the environment says.
    assert run(["build", source, out, "--store-option=timeout=20s", "--workers", "2"]) == 0
    for command in ("status", "audit", "update"):
        assert run([command, out]) == 0
    assert run(["audit", out, "--against-source"]) == 0
    assert run(["sql", out, "FROM refs"]) == 0
    with parchunk.open_dataset(out) as dataset:
        assert dataset.a.values.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.s3
@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_repositories(
    kind: str, source: str, bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    icechunk = pytest.importorskip("icechunk", reason="the extra 'icechunk' is not installed")
    icechunk.set_logs_filter("error")
    for name, value in ENVIRONMENTS[kind].items():
        monkeypatch.setenv(name, bucket.endpoint if value == "@" else value)
    out, repo = str(tmp_path / "refs"), f"s3://{bucket.name}/repo"
    assert run(["build", source, out]) == 0
    assert run(["to-icechunk", out, repo]) == 0
    assert run(["audit", out, "--icechunk", repo]) == 0
    session = parchunk.open_icechunk(repo).readonly_session("main")
    with xarray.open_zarr(session.store, consolidated=False, zarr_format=3) as dataset:
        assert dataset.a.values.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("scheme", "given", "wanted"),
    [
        ("s3", {"aws_endpoint_url": "u", "AWS_REGION": "r"}, {"endpoint": "u", "region": "r"}),
        (
            "s3",
            {"aws_access_key_id": "k", "token": "t"},
            {"access_key_id": "k", "session_token": "t"},
        ),
        ("s3", {"default_region": "a", "region": "b"}, {"region": "b"}),
        ("gs", {"google_base_url": "u"}, {"base_url": "u"}),
        ("az", {"azure_storage_account_name": "a"}, {"account_name": "a"}),
        ("abfss", {"azure_endpoint": "u", "sas_key": "s"}, {"endpoint": "u", "sas_token": "s"}),
        ("az", {"azure_client_id": "c"}, {"azure_client_id": "c"}),
        ("file", {"aws_region": "r"}, {"aws_region": "r"}),
    ],
)
def test_names(scheme: str, given: dict[str, str], wanted: dict[str, str]) -> None:
    assert canonical_options(scheme, given) == wanted


def test_two_spellings_must_agree() -> None:
    assert canonical_options("s3", {"endpoint": "u", "aws_endpoint": "u"}) == {"endpoint": "u"}
    with pytest.raises(InputError, match="'endpoint' is given twice"):
        canonical_options("s3", {"endpoint": "u", "aws_endpoint": "v"})


def test_variables() -> None:
    said = {"AWS_ENDPOINT": "2", "AWS_ENDPOINT_URL_S3": "1", "AWS_SESSION_TOKEN": "x", "PATH": "/"}
    assert from_environment("s3", said) == {"endpoint": ("1", "2")}
    assert from_environment("az", {"AZURE_STORAGE_ACCOUNT_NAME": "me", "AZURE_ENDPOINT": ""}) == {
        "account_name": ("me",)
    }


def test_a_variable_that_comes_before_options_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(InputError, match="would come before it: unset it"):
        open_store("s3://bucket/store", {"endpoint": "http://127.0.0.1:2"})


@pytest.mark.parametrize("scheme", ["abfs", "abfss", "az"])
@pytest.mark.parametrize("host", ["dfs.core.windows.net", "blob.core.windows.net"])
def test_azure_s_own_urls(scheme: str, host: str) -> None:
    opened = open_store(f"{scheme}://container@account.{host}/a/store.zarr")
    assert opened.prefix == "a/store.zarr"
    assert opened.location.url == f"{scheme.replace('abfss', 'abfs')}://container/a/store.zarr"
    assert opened.location.options == (("account_name", "account"),)
    assert 'container_name="container"' in repr(opened.store)
    assert 'account_name="account"' in repr(opened.store)


@pytest.mark.parametrize(
    "url",
    [
        "abfs://container@account.evil.example/store",
        "abfs://container@account.dfs.core.windows.net.evil.example/store",
        "abfs://container@account.dfs.core.windows.net:81/store",
        "abfs://container@account.dfs.core.windows.net/store?sig=x",
        "s3://container@account.dfs.core.windows.net/store",
    ],
)
def test_what_only_looks_like_them(url: str) -> None:
    with pytest.raises(InputError):
        open_store(url)


def test_an_account_is_named_once() -> None:
    url = "abfs://container@account.dfs.core.windows.net/store"
    assert open_store(url, {"account_name": "account"})
    with pytest.raises(InputError, match="another: give one of them"):
        open_store(url, {"account_name": "other"})
