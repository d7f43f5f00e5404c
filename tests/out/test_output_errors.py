"""What an Output says of itself where it cannot be reached, read or written."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from instruments.recorder import recorder
from obstore.store import S3Store

from parchunk.errors import InputError, OutputError
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output
from parchunk.out.output import Output
from parchunk.out.remote import RemoteOutput
from parchunk.stores.opening import Location


@pytest.fixture
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> list[Output]:
    """Outputs that cannot be reached."""
    (tmp_path / "file").touch()
    nowhere = S3Store(
        "bucket", endpoint="http://127.0.0.1:1", region="us-east-1", skip_signature=True,
        client_options={"allow_http": True}, retry_config={"max_retries": 0},
    )  # fmt: skip
    return [
        LocalOutput(Location(f"{tmp_path}/file/out")),
        RemoteOutput(Location("s3://bucket/out"), nowhere, "out"),
    ]


def test_errors_name_the_url(broken: list[Output]) -> None:
    for output in broken:
        for act in (output.put, partial(output.put_if, seen=None)):
            with pytest.raises(OutputError, match=f"cannot write {output.url}/x: ") as error:
                act("x", b"")
            assert "\n" not in str(error.value)
            assert "run the same command again" in str(error.value)
    remote = broken[1]
    for what, act in (
        ("read s3://bucket/out/x", lambda: remote.get("x")),
        ("read s3://bucket/out/x", lambda: remote.get_version("x")),
        ("read s3://bucket/out/x", lambda: remote.stat("x")),
        ("write s3://bucket/out/x", lambda: remote.try_condition("x", b"")),
        ("delete s3://bucket/out/x", lambda: remote.delete("x")),
        ("list s3://bucket/out/t", lambda: remote.paths("t")),
        ("list s3://bucket/out/t", lambda: remote.holds("t", ".parq")),
        ("list s3://bucket/out", lambda: remote.is_empty()),
    ):
        with pytest.raises(OutputError, match=f"cannot {what}: no connection") as error:
            act()
        assert "\n" not in str(error.value)


def test_who_may_not_read_is_told_of_the_option_that_is_for_out(tmp_path: Path) -> None:
    with recorder(tmp_path) as server:
        server.closed = True
        given = {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": "true"}
        with pytest.raises(OutputError, match=r"denied .*--output-option skip_signature=true"):
            open_output("s3://bucket/refs", given).get("x")


def test_errors_of_a_folder_name_its_path(tmp_path: Path) -> None:
    output = open_output(tmp_path / "out")
    output.prepare()
    (tmp_path / "out/t").mkdir()
    os.mkfifo(tmp_path / "out/pipe")
    for what, act in (
        ("read {}/t", lambda: output.get("t")),
        ("read {}/pipe", lambda: output.get_version("pipe")),
        ("write {}/t", lambda: output.put("t", b"")),
        ("delete {}/t", lambda: output.delete("t")),
    ):
        with pytest.raises(OutputError) as error:
            act()
        assert str(error.value).startswith(f"cannot {what.format(output.url)}: ")
    assert output.paths() == ["pipe"]  # and nothing half-written
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("gone")
    for out, said in (("file", "is a file"), ("file/out", "is a file"), ("link/x", "is not there")):
        with pytest.raises(InputError, match=said):
            open_output(tmp_path / out).is_empty()
    with pytest.raises(OutputError, match="cannot create"):
        open_output(tmp_path / "file/out").prepare()


def test_links_are_refused_in_a_folder(tmp_path: Path) -> None:
    """And by every verb that writes or deletes: see test_links."""
    output = open_output(tmp_path / "out")
    output.prepare()
    (tmp_path / "out/t").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="/out/t is a link"):
        output.refuse_links(["x", "t/refs.0.parq"])


def test_a_bucket_is_no_output() -> None:
    with pytest.raises(InputError, match="whole bucket"):
        open_output("s3://bucket")
