"""Containers and locations of every scheme, as icechunk takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

import icechunk
import parchunk
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.locations import Container, settings
from parchunk.icechunk_import.storage import storage_at
from parchunk.stores.opening import Location


@pytest.mark.parametrize(
    ("url", "base", "prefix"),
    [
        ("/data/store", "file:///data/store/", "file:///data/store/"),
        ("/data/a b/store", "file:///data/a%20b/store/", "file:///data/"),
        ("s3://bkt/a/b.zarr", "s3://bkt/a/b.zarr/", "s3://bkt/a/b.zarr/"),
        ("s3a://bkt/a", "s3://bkt/a/", "s3://bkt/a/"),
        ("s3://bkt", "s3://bkt/", "s3://bkt/"),
        ("s3://bkt/x#1/y", "s3://bkt/x%231/y/", "s3://bkt/"),
        ("gcs://bkt/a", "gs://bkt/a/", "gs://bkt/a/"),
        ("abfs://box/a", "az://box/a/", "az://box/a/"),
    ],
)
def test_containers(url, base, prefix):
    container = Container.of(Location(url, (("account_name", "acc"),)))
    assert (container.base, container.prefix) == (base, prefix)
    made = container.virtual_chunk_container()
    assert made.url_prefix == prefix
    # the code in messages makes an equal one, and it suffices
    config = icechunk.RepositoryConfig.default()
    assert not container.is_declared(config)

    class Repo:
        def __init__(self) -> None:
            self.config = config

        def reopen(self, config: Any) -> Repo:
            return self

        def save_config(self) -> None: ...

    exec(container.code(), {"ic": icechunk, "repo": Repo()})
    assert container.is_declared(config)
    assert prefix in container.access()


def test_a_container_of_a_neighbour_does_not_count():
    config = icechunk.RepositoryConfig.default()
    other = Container.of(Location("/data/air"))
    config.set_virtual_chunk_container(other.virtual_chunk_container())
    assert not Container.of(Location("/data/air_temp")).is_declared(config)
    assert Container.of(Location("/data/air/temp")).is_declared(config)


@pytest.mark.parametrize(
    ("url", "given", "theirs", "said"),
    [
        ("s3://b/a", {"endpoint": "http://here:1/"}, icechunk.s3_store(), "the provider, and"),
        ("s3://b/a", {}, icechunk.s3_store(endpoint_url="http://there"), "chunks at the provider"),
        ("s3://b/a", {}, icechunk.s3_store(endpoint_url="https://s3.eu-1.amazonaws.com"), None),
        (
            "s3://b/a",
            {"endpoint": "http://here:1/"},
            icechunk.s3_store(endpoint_url="http://here:1", allow_http=True, region="any"),
            None,
        ),
        (
            "az://b/a",
            {"account_name": "one"},
            icechunk.storage.azure_store(account="other"),
            "from other, and these references are of chunks at one",
        ),
        ("az://b/a", {}, icechunk.storage.azure_store(account="other"), None),
        ("gs://b/a", {"base_url": "http://here"}, icechunk.gcs_store(), "chunks at http://here"),
        ("gs://b/a", {}, icechunk.gcs_store(), None),
    ],
)
def test_a_container_that_reads_from_another_server_does_not_do(url, given, theirs, said):
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(f"{url[:5]}b/", theirs))
    container = Container.of(Location(url, tuple(given.items())))
    assert container.is_declared(config)
    found = container.misdirected(config)
    assert (found is None) if said is None else said in str(found)
    if said is not None:
        scope = {"ic": icechunk, "config": config}
        code = container.code().replace("config = repo.config; ", "").partition("repo =")[0]
        exec(code, scope)
        assert container.misdirected(config) is None


def test_paths_of_many_stores_are_told_apart_wherever_they_change():
    stores = {f"/data/{name}": "" for name in "ab"}
    container = replace(Container.of(Location("/data")), stores=stores)
    runs = [("a", 1500), (None, 3), ("b", 5000), (None, 1), ("a", 1), ("b", 1024)]
    paths = [name and f"/data/{name}/v/{at}" for name, count in runs for at in range(count)]
    found = container.locations("v", pa.array(paths, pa.string()))
    assert found.to_pylist() == [path and f"file://{path}" for path in paths]
    assert container.locations("v", pa.array([], pa.string())).to_pylist() == []
    for at in (0, 1023, 1024, 7000):
        wrong = [*paths[:at], "/data/c/v/0", *paths[at:]]
        with pytest.raises(parchunk.InputError, match="a reference lies outside of"):
            container.locations("v", pa.array(wrong, pa.string()))


@pytest.mark.parametrize("yes", ["true", "on", "Y"])
def test_options_of_the_source_reach_the_container(yes):
    """In all spellings in which the source's own client takes them."""
    options = {"endpoint": "http://127.0.0.1:9", "region": "eu-west-1", "skip_signature": yes}
    container = Container.of(Location("s3://bkt/a", tuple(options.items())))
    assert container.anonymous
    assert adapter.is_anonymous(container.virtual_chunk_container().store)
    assert "endpoint_url='http://127.0.0.1:9'" in container.code()
    assert "allow_http=True" in container.code()


@pytest.mark.parametrize(
    ("url", "options", "wanted"),
    [
        ("gs://bkt/a", {}, {}),
        ("gs://bkt/a", {"skip_signature": "y"}, {"google_skip_signature": "true"}),
        (
            "gs://bkt/a",
            {"base_url": "http://127.0.0.1:9"},
            {"google_base_url": "http://127.0.0.1:9", "allow_http": "true"},
        ),
        (
            "abfs://box/a",
            {"account_name": "acc", "endpoint": "https://acc.example", "timeout": "9s"},
            {"azure_storage_endpoint": "https://acc.example"},
        ),
        (
            "az://box/a",
            {"account_name": "acc", "use_emulator": "True", "account_key": "HUSH"},
            {"azure_storage_use_emulator": "true"},
        ),
    ],
)
def test_options_of_gs_and_az_reach_the_container_but_no_credential(url, options, wanted):
    scheme = {"gs": "gs", "abfs": "az", "az": "az"}[url.partition(":")[0]]
    assert settings(scheme, options) == wanted
    container = Container.of(Location(url, tuple(options.items())))
    made = container.virtual_chunk_container()
    assert "HUSH" not in repr(made) + repr(made.store) + container.code()
    if hasattr(made.store, "_0"):
        assert made.store._0 == wanted | ({"account": "acc"} if scheme == "az" else {})
    scope: dict[str, Any] = {"ic": icechunk}
    code = container.code().partition("set_virtual_chunk_container(")[2].partition("); repo =")[0]
    assert (eval(code, scope).store._0 or {}) == made.store._0
    assert container.anonymous == adapter.is_anonymous(made.store) == bool("skip" in str(wanted))


def test_sources_that_icechunk_cannot_read_are_refused():
    with pytest.raises(parchunk.UnsupportedError, match="Icechunk cannot read chunks from there"):
        Container.of(Location("memory://store"))
    with pytest.raises(parchunk.UnsupportedError, match="top folder"):
        Container.of(Location("/a b/store"))
    with pytest.raises(parchunk.InputError, match="account_name=NAME"):
        Container.of(Location("az://box/a")).virtual_chunk_container()
    with pytest.raises(parchunk.UnsupportedError, match="no way to say which project pays"):
        Container.of(Location("gs://b/a", (("user_project", "p"),))).virtual_chunk_container()


def test_locations_are_encoded_by_array():
    container = Container.of(Location("/data/a b"))
    paths = pa.array(["/data/a b/x #/c/0/1", None, "/data/a b/x #/c/2/0"])
    assert container.locations("x #", paths).to_pylist() == [
        "file:///data/a%20b/x%20%23/c/0/1",
        None,
        "file:///data/a%20b/x%20%23/c/2/0",
    ]
    with pytest.raises(parchunk.InputError, match="a reference lies outside"):
        container.locations("x", paths)
    assert container.locations("x", pa.nulls(2, pa.string())).to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bkt/repo", {"region": "us-east-1", "endpoint": "http://127.0.0.1:9"}),
        ("s3://bkt/repo", {"access_key_id": "a", "secret_access_key": "b"}),
        ("gs://bkt/repo", {"skip_signature": "true"}),
        ("gs://bkt/repo", {"bearer_token": "t"}),
        ("gs://bkt/repo", {"base_url": "http://127.0.0.1:9", "skip_signature": "true"}),
        ("az://box/repo", {"account_name": "acc", "account_key": "a2V5"}),
        ("az://box/repo", {"account_name": "devstoreaccount1", "use_emulator": "true"}),
    ],
)
def test_storages(url, options):
    storage, location = storage_at(url, options)
    assert isinstance(storage, icechunk.Storage)
    assert location.url == url
    assert location.options == ()


def test_errors_of_icechunk_become_one_line():
    drawn = icechunk.IcechunkError(
        "  x the repository doesn't exist\n  | \n  | context:\n  |    0: icechunk::open\n"
        "  |              at icechunk/src/repository.rs:260\n  | \n"
        "  |-> the repository doesn't exist\n  `-> no such bucket\n"
    )
    assert adapter.one_line(drawn) == "the repository doesn't exist: no such bucket"
    plain = icechunk.IcechunkError("ref not found `x`\n\ncontext:\n   0: icechunk::refs\n  at x:1")
    assert adapter.one_line(plain) == "ref not found `x`"
