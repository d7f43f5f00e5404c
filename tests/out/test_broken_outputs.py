"""Disk full, OUT read-only or removed, a store that refuses: a clear end, and it resumes."""

import http.server
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from tests.loopback import serving

import parchunk
from parchunk.cli.main import run
from parchunk.errors import OutputError
from parchunk.stores import opening

STORE = zarr_store([("t", (40_000,), (1,), ("time",))])


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(STORE, process=False) as running:
        yield running


def arguments(server: Server, out: object) -> list[str]:
    options = (f"endpoint={server.endpoint}", "region=us-east-1", "skip_signature=true")
    return [
        *("build", f"s3://{server.bucket}", str(out), "--region", "10000"),
        *(f"--store-option={option}" for option in options),
    ]


def check_one_line(text: str, *words: str) -> None:
    assert text.startswith("parchunk: ")
    assert text.count("\n") == 1
    for word in words:
        assert word in text


def check_resumes(server: Server, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run([*arguments(server, out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["present"] == 40_000
    assert not (out / ".parchunk/tmp").exists()
    assert not (out / ".parchunk/lease.json").exists()


def test_a_file_system_that_is_full(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files ends a write in the middle, as a full disk does."""
    plan = tmp_path / "out/.parchunk/plan.json"
    check = subprocess.run(
        [sys.executable, "-m", "parchunk", *arguments(server, tmp_path / "out")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000)),
        # Bytecode would be cut off, too, and stay so for whoever imports it next.
        env=os.environ
        | {"PYTHONPATH": str(Path(parchunk.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert check.returncode == 2
    check_one_line(check.stderr, "cannot write", "File too large", "resume")
    assert plan.exists()
    assert not (tmp_path / "out/.zmetadata").exists()
    # Nothing half-written is left under a final name.
    assert not list((tmp_path / "out/t").glob("*"))
    check_resumes(server, tmp_path / "out", capsys)


def test_a_full_tmpfs(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs to mount a tmpfs")
    try:
        assert run(arguments(server, disk / "out")) == 2
        check_one_line(capsys.readouterr().err, "cannot write", "No space left")
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        check_resumes(server, disk / "out", capsys)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


AS_NOBODY = """
import os, sys
from parchunk.cli.main import run
arguments, first, second = sys.argv[1:-2], *sys.argv[-2:]
place = arguments.index("OUT")
# Once as ourselves, so that everything is imported: the other user may not read this Python.
assert run([*arguments[:place], first, *arguments[place + 1 :]]) == 0
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(run([*arguments[:place], second, *arguments[place + 1 :]]))
"""


def test_an_output_that_may_not_be_written(server: Server) -> None:
    """As a user who is not root: permissions do not bind that one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        out = folder / "out"
        out.mkdir()
        out.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *arguments(server, "OUT"), folder / "first", out],
            # Bytecode would be cut off, too, and stay so for whoever imports it next.
            env=os.environ
            | {
                "PYTHONPATH": str(Path(parchunk.__file__).parents[1]),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        check_one_line(done.stderr, "cannot write", "Permission denied")
        assert not list(out.iterdir())
        out.chmod(0o755)


@pytest.mark.parametrize("place", [".parchunk", ".parchunk/receipts", "t"])
def test_a_file_in_the_place_of_a_folder(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    out = tmp_path / "out"
    assert run(arguments(server, out)) == 0
    shutil.rmtree(out / place)
    (out / place).write_text("in the way")
    (out / ".parchunk/receipts/t/0.json").unlink(missing_ok=True) if place == "t" else None
    capsys.readouterr()
    assert run(arguments(server, out)) == 2
    check_one_line(capsys.readouterr().err)
    assert (out / place).read_text() == "in the way"


def test_an_output_that_is_removed_in_the_middle(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    plan = parchunk.plan(
        parchunk.Source.open(
            f"s3://{server.bucket}",
            {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": "true"},
        ),
        region=10_000,
    )
    with pytest.raises(OutputError, match=r"cannot write|lease") as error:
        parchunk.build(plan, str(out), progress=lambda now: shutil.rmtree(out, ignore_errors=True))
    assert "\n" not in str(error.value)
    shutil.rmtree(out, ignore_errors=True)
    check_resumes(server, out, capsys)


class RefusingS3(http.server.BaseHTTPRequestHandler):
    """Keeps objects in memory; while `refused` says so, two record files and no more."""

    objects: dict[str, bytes]
    refused: str | None
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes = b"", **head: str) -> None:
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.path.partition("?")[0]
        if self.refused and "refs." in key and sum("refs." in kept for kept in self.objects) >= 2:
            status, code = self.refused.split()
            self.answer(int(status), f"<Error><Code>{code}</Code></Error>".encode())
        elif self.headers.get("If-None-Match") and key in self.objects:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self.objects[key] = body
            self.answer(200, ETag=f'"{hash(body)}"')

    def do_GET(self) -> None:
        key, _, query = self.path.partition("?")
        if "list-type" in query:
            bucket = key.strip("/")
            rows = "".join(
                f"<Contents><Key>{name[len(bucket) + 2 :]}</Key><Size>{len(data)}</Size>"
                "<LastModified>2024-01-02T03:04:05.000Z</LastModified></Contents>"
                for name, data in sorted(self.objects.items())
            )
            self.answer(200, f"<ListBucketResult>{rows}</ListBucketResult>".encode())
        elif key in self.objects:
            data = self.objects[key]
            when = "Tue, 02 Jan 2024 03:04:05 GMT"
            self.answer(200, data, ETag=f'"{hash(data)}"', Last_Modified=when)
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_DELETE(self) -> None:
        self.objects.pop(self.path.partition("?")[0], None)
        self.answer(204)

    def do_POST(self) -> None:
        # DeleteObjects, which obstore sends for one object too.
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        keys = re.findall(r"<Key>([^<]*)</Key>", asked)
        for key in keys:
            self.objects.pop(f"{self.path.partition('?')[0].rstrip('/')}/{key}", None)
        done = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self.answer(200, f"<DeleteResult>{done}</DeleteResult>".encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("refused", ["403 QuotaExceeded", "507 InsufficientStorage"])
def test_a_store_that_refuses_to_keep_more(
    server: Server, capsys: pytest.CaptureFixture[str], refused: str, monkeypatch: Any
) -> None:
    monkeypatch.setitem(opening.RETRY, "max_retries", 1)
    handler = type("Handler", (RefusingS3,), {"objects": {}, "refused": refused})
    with serving(handler) as endpoint:
        options = (f"endpoint={endpoint}", "region=us-east-1", "skip_signature=true")
        more = [f"--output-option={option}" for option in options]
        build = [*arguments(server, "s3://quota/refs"), *more]
        assert run(build) == 2
        check_one_line(capsys.readouterr().err, "cannot write", "refs/t/refs.", "resume")
        kept = handler.objects  # type: ignore[attr-defined]
        assert sum("refs." in key for key in kept) == 2
        assert not [key for key in kept if key.endswith((".zmetadata", "lease.json"))]
        done = sum("/receipts/" in key for key in kept)
        handler.refused = None  # type: ignore[attr-defined]
        assert run([*build, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["present"] == 40_000
        assert result["partitions_built"] == 4 - done
        assert "/quota/refs/.zmetadata" in kept


@pytest.mark.parametrize("where", ["plan.json", "lease.json"])
def test_a_pipe_in_out_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    source, out = tmp_path / "s", tmp_path / "out"
    for key, body in zarr_store([("v", (3,), (1,), ("x",))]).documents().items():
        (source / key).parent.mkdir(parents=True, exist_ok=True)
        (source / key).write_bytes(body)
    assert run(["build", str(source), str(out)]) == 0
    (out / ".parchunk" / where).unlink(missing_ok=True)
    os.mkfifo(out / ".parchunk" / where)
    capsys.readouterr()
    assert run(["build", str(source), str(out)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no regular file" in said
