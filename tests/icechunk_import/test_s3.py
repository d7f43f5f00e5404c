"""A source and a repository in S3, on a real server on loopback."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from instruments.s3_server import new_bucket
from obstore.store import S3Store

import parchunk
from parchunk.cli.main import run
from parchunk.icechunk_import.forks import Setter

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def endpoint(s3_endpoint) -> str:
    new_bucket(s3_endpoint, "bkt")
    return s3_endpoint


@pytest.fixture
def options(endpoint) -> dict[str, str]:
    return {"endpoint": endpoint, "region": "us-east-1", "skip_signature": "true"}


@pytest.fixture
def source(endpoint, request) -> tuple[zarr.Group, str]:
    prefix = f"data of {request.node.name}/store #1.zarr"
    store = S3Store(
        "bkt",
        prefix=prefix,
        endpoint=endpoint,
        region="us-east-1",
        skip_signature=True,
        client_options={"allow_http": True},
    )
    root = zarr.open_group(zarr.storage.ObjectStore(store), mode="w", zarr_format=3)
    array = root.create_array(
        "a", shape=(12, 4), chunks=(1, 2), dtype="f4", dimension_names=("time", "x")
    )
    array[...] = np.arange(1, 49).reshape(12, 4)
    return root, f"s3://bkt/{prefix}"


def test_source_and_repository_in_s3(source, options, tmp_path, request):
    root, url = source
    out = str(tmp_path / "out")
    parchunk.build(parchunk.plan(url, split="time", region=4, store_options=options), out)
    repo = f"s3://bkt/repo {request.node.name}"
    result = parchunk.to_icechunk(out, repo, repo_options=options)
    assert result.created
    assert len(result.commits) == 4
    assert parchunk.to_icechunk(out, repo, repo_options=options).commits == ()
    opened = parchunk.open_icechunk(repo, repo_options=options)
    group = zarr.open_group(opened.readonly_session("main").store, mode="r")
    np.testing.assert_array_equal(group["a"][...], root["a"][...])
    # the listing has fractions of a second, reading has not: one changed later is refused
    time.sleep(2.1)
    root["a"][0] = 7
    import icechunk

    opened = parchunk.open_icechunk(repo, repo_options=options)
    group = zarr.open_group(opened.readonly_session("main").store, mode="r")
    with pytest.raises(icechunk.IcechunkError, match="has changed"):
        group["a"][0]
    np.testing.assert_array_equal(group["a"][1:], root["a"][1:])


def test_a_repository_that_reads_the_bucket_from_another_server_is_refused(
    source, options, tmp_path
):
    import icechunk

    root, url = source
    out = str(tmp_path / "out")
    parchunk.build(parchunk.plan(url, store_options=options), out)
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer("s3://bkt/", icechunk.s3_store(region="us-east-1"))
    )
    storage = icechunk.local_filesystem_storage(str(tmp_path / "repo"))
    repo = icechunk.Repository.create(storage, config=config)
    with pytest.raises(parchunk.InputError, match=r"reads s3://bkt/ from the provider") as error:
        parchunk.to_icechunk(out, repo)
    exec(str(error.value).partition("and run: ")[2], {"repo": repo})
    assert parchunk.to_icechunk(out, str(tmp_path / "repo")).finished
    opened = parchunk.open_icechunk(tmp_path / "repo")
    assert parchunk.audit(out, icechunk=opened).repository.equal
    # Somebody declares another one since: every reference is what it was, and leads elsewhere.
    elsewhere = opened.reopen(config=config)
    report = parchunk.audit(out, icechunk=elsewhere)
    (found,) = [one for one in report.findings if one.kind == "repository"]
    assert found.message == (
        "the repository reads s3://bkt/ from the provider, and these references are of chunks at "
        + options["endpoint"]
    )
    assert not report.repository.equal
    config.clear_virtual_chunk_containers()
    (none,) = parchunk.audit(out, icechunk=opened.reopen(config=config)).findings
    assert none.message.startswith("the repository has no virtual chunk container for s3://bkt/")
    exec(found.remedy.partition("and run: ")[2], {"repo": elsewhere})
    assert parchunk.audit(out, icechunk=str(tmp_path / "repo")).repository.equal
    group = zarr.open_group(opened.readonly_session("main").store, mode="r")
    np.testing.assert_array_equal(group["a"][...], root["a"][...])


def test_no_secret_is_written(source, options, tmp_path, request, capsys):
    _, url = source
    secret = {"access_key_id": "AKIAHUSH", "secret_access_key": "HUSHHUSH"}
    given = {k: v for k, v in options.items() if k != "skip_signature"} | secret
    out = str(tmp_path / "out")
    parchunk.build(parchunk.plan(url, split="time", region=6, store_options=given), out)
    repo = f"s3://bkt/repo-{request.node.name}"
    words = [w for k, v in given.items() for w in ("--repo-option", f"{k}={v}")]
    assert run(["to-icechunk", out, repo, "--json", *words]) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert told["regions_in"] == 2
    opened = parchunk.open_icechunk(repo, anonymous=True, repo_options=given)
    metadata = [str(c.metadata) + c.message for c in opened.ancestry(branch="main")]
    config = repr(opened.config) + "".join(
        repr(c) + repr(c.store) for c in opened.config.virtual_chunk_containers.values()
    )
    for text in (shown.out, shown.err, config, *metadata):
        assert "HUSH" not in text
    group = zarr.open_group(opened.readonly_session("main").store, mode="r")
    assert group["a"][11, 3] == 48


def test_what_workers_are_sent_holds_no_credential(source, options, tmp_path, request, monkeypatch):
    """Forks are opened with the credentials of the environment that they are opened in."""
    _, url = source
    out = str(tmp_path / "out")
    parchunk.build(parchunk.plan(url, split="time", region=6, store_options=options), out)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAHUSH")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "HUSHHUSH")
    sent: list[bytes] = []
    real = Setter.ahead

    def noted(self):
        found = real(self)
        assert found is not None
        sent.append(found.data)
        return found

    monkeypatch.setattr(Setter, "ahead", noted)
    given = {name: value for name, value in options.items() if name != "skip_signature"}
    with ThreadPoolExecutor(1) as pool:
        result = parchunk.to_icechunk(
            out, f"s3://bkt/repo-{request.node.name}", executor=pool, repo_options=given
        )
    assert result.finished
    assert len(sent) == 2
    assert not any(b"HUSH" in data for data in sent)
