"""Import from Azure Blob Storage, and into it, by Azurite on loopback; compare every value.

    npm install azurite
    python -m benchmarks.icechunk_azure [path of azurite-blob]

Not among the tests, as Azurite comes from npm. The source has names that locations must encode,
in Zarr v2 and v3, and is named by each scheme that parchunk takes. A changed object must be
refused, and no commit or container may hold the account's key.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import zarr
from obstore.store import AzureStore

import parchunk

ACCOUNT = "devstoreaccount1"
# The emulator's own, the same everywhere, as its documentation says.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
OPTIONS = {"account_name": ACCOUNT, "use_emulator": "true"}


@contextlib.contextmanager
def emulator(program: str) -> Iterator[None]:
    """Run Azurite with a container ``box``; the Azure clients of this process find it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["AZURITE_BLOB_STORAGE_URL"] = url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [
                *(program, "--blobHost", "127.0.0.1", "--blobPort", str(port)),
                *("--inMemoryPersistence", "--silent", "--disableTelemetry"),
                "--skipApiVersionCheck",
            ],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        try:
            for _ in range(300):
                try:
                    make_container(url, "box")
                except urllib.error.HTTPError as error:
                    raise RuntimeError(error.read().decode()) from None
                except urllib.error.URLError:
                    time.sleep(0.1)
                else:
                    break
            yield
        finally:
            server.terminate()
            server.wait(10)


def make_container(url: str, name: str) -> None:
    """Create a container, which obstore cannot; signed with the emulator's key."""
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    version = "2021-12-02"
    signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n"
    signed += f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    request = urllib.request.Request(
        f"{url}/{ACCOUNT}/{name}?restype=container",
        method="PUT",
        headers={
            "x-ms-date": date,
            "x-ms-version": version,
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
        },
    )
    urllib.request.urlopen(request, timeout=10).close()


def write_source(zarr_format: int) -> tuple[str, zarr.Array]:
    """Write an array; return its store's path in the container, and the array."""
    path = f"data of x/store #1% v{zarr_format}.zarr"
    store = AzureStore("box", prefix=path, account_name=ACCOUNT, use_emulator=True)
    root = zarr.open_group(zarr.storage.ObjectStore(store), mode="w", zarr_format=zarr_format)
    names = ("time", "x")
    array = root.create_array(
        "a",
        shape=(12, 4),
        chunks=(1, 2),
        dtype="f4",
        **(
            {"dimension_names": names}
            if zarr_format == 3
            else {"attributes": {"_ARRAY_DIMENSIONS": list(names)}}
        ),
    )
    array[...] = np.arange(1, 49).reshape(12, 4)
    return path, array


def read(repo: str, options: dict[str, str] | None) -> zarr.Array:
    """Open what was imported."""
    opened = parchunk.open_icechunk(repo, repo_options=options)
    return zarr.open_group(opened.readonly_session("main").store, mode="r")["a"]


def check(url: str, array: zarr.Array, folder: str, repo: str, remote: bool) -> None:
    """Build, import and compare."""
    out, options = f"{folder}/out", OPTIONS if remote else None
    parchunk.build(parchunk.plan(url, split="time", region=4, store_options=OPTIONS), out)
    result = parchunk.to_icechunk(out, repo, repo_options=options)
    assert len(result.commits) == 4
    assert not parchunk.to_icechunk(out, repo, repo_options=options).commits
    assert np.array_equal(read(repo, options)[...], array[...])
    opened = parchunk.open_icechunk(repo, repo_options=options)
    containers = opened.config.virtual_chunk_containers.values()
    texts = [repr(container.store._0) for container in containers]
    texts += [f"{commit.message} {commit.metadata}" for commit in opened.ancestry(branch="main")]
    assert not any(KEY in text for text in texts), "a credential was stored"
    print(f"{url} -> {repo if remote else 'a folder'}: equal")


def main(program: str = "azurite-blob") -> None:
    """Run every check; an exception is a failure."""
    import icechunk

    icechunk.set_logs_filter("error")
    print(f"icechunk {icechunk.__version__}")
    with emulator(program):
        for zarr_format in (2, 3):
            path, array = write_source(zarr_format)
            for scheme in ("az", "azure", "abfs"):
                url = f"{scheme}://box/{path}"
                with tempfile.TemporaryDirectory() as folder:
                    check(url, array, folder, f"{folder}/repo", remote=False)
                with tempfile.TemporaryDirectory() as folder:
                    check(url, array, folder, f"az://box/repo {zarr_format} {scheme}", remote=True)
        time.sleep(2.1)  # whole seconds are compared
        array[0] = -1
        try:
            read("az://box/repo 3 az", OPTIONS)[0]
        except icechunk.IcechunkError:
            print("a changed object is refused")
        else:
            raise AssertionError("a changed object was read")


if __name__ == "__main__":
    main(*sys.argv[1:2])
