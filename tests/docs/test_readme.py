"""README's ten minutes: its commands and its snippets, letter by letter, against S3 servers."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from instruments.ceph_server import CREDENTIALS, ceph_server

from parchunk.cli.main import run

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = re.search(r"^## Ten minutes on S3\n.*?^## ", README, re.M | re.S)[0]

pytestmark = pytest.mark.s3


def blocks(language: str) -> list[str]:
    """The section's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.M | re.S)


#: What the snippets come to, one after the other.
COMPARE = "assert (dataset['t2m'].values.ravel() == range(1, 25)).all(); dataset.close()"


@pytest.fixture(params=["ministack", "ceph"])
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What the environment says of an S3 server."""
    if request.param == "ministack":
        yield {"AWS_ENDPOINT_URL": request.getfixturevalue("s3_endpoint"), **CREDENTIALS}
    elif "PARCHUNK_CEPH" not in os.environ:
        pytest.skip("PARCHUNK_CEPH is not set: a cluster takes a while to start")
    else:
        with ceph_server(tmp_path_factory.mktemp("ceph")) as endpoint:
            yield {"AWS_ENDPOINT_URL": endpoint, **CREDENTIALS}


def test_ten_minutes(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    pytest.importorskip("s3fs")
    session = pytest.importorskip("botocore.session").get_session()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    store = tmp_path / "store.zarr"
    group = zarr.open_group(store, mode="w", zarr_format=3)
    group.create_array(
        "t2m", shape=(6, 4), chunks=(1, 2), dtype="f4", dimension_names=["time", "x"]
    )[...] = np.arange(24, dtype="f4").reshape(6, 4) + 1
    client = session.create_client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"])
    client.create_bucket(Bucket="bucket")
    for path in store.rglob("*"):
        if path.is_file():
            key = path.relative_to(tmp_path).as_posix()
            client.put_object(Bucket="bucket", Key=key, Body=path.read_bytes())
    client.close()

    (commands,) = blocks("sh")
    for line in commands.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "parchunk"
        assert run(arguments) == 0, capsys.readouterr().err
    # As a script: s3fs keeps sessions open until the process ends.
    snippets = blocks("python")
    assert len(snippets) == 2
    script = "\n".join(f"{snippet}\n{COMPARE}" for snippet in snippets)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
