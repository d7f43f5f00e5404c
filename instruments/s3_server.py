"""A real S3 server, ministack, on loopback, for as long as it is needed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from obstore.store import S3Store

from instruments.loopback import free_ports, wait_for


@dataclass(frozen=True)
class S3Bucket:
    """A bucket of the loopback server, and how each library reaches it."""

    name: str
    endpoint: str

    @property
    def options(self) -> dict[str, str]:
        """Store options as parchunk takes them."""
        return {"endpoint": self.endpoint, "region": "us-east-1", "skip_signature": "true"}

    @property
    def fsspec(self) -> dict[str, Any]:
        """Keywords of s3fs."""
        return {"anon": True, "endpoint_url": self.endpoint}

    def store(self, prefix: str | None = None) -> S3Store:
        """Return obstore's store of the bucket."""
        return S3Store(
            self.name,
            prefix=prefix,
            endpoint=self.endpoint,
            region="us-east-1",
            skip_signature=True,
            client_options={"allow_http": True},
        )

    def put(self, key: str, data: bytes) -> None:
        """Put an object under exactly this key; obstore would strip a marker's slash."""
        request = urllib.request.Request(
            f"{self.endpoint}/{self.name}/{urllib.parse.quote(key)}", data=data, method="PUT"
        )
        with urllib.request.urlopen(request, timeout=200):
            pass

    def upload(self, folder: Path, prefix: str) -> None:
        """Put every file below a folder under a prefix."""
        store = self.store()
        for path in folder.rglob("*"):
            if path.is_file():
                store.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def new_bucket(endpoint: str, name: str = "") -> S3Bucket:
    """Return a new, empty bucket, of a name of its own unless one is given."""
    made = S3Bucket(name or f"b{uuid.uuid4().hex}", endpoint)
    request = urllib.request.Request(f"{endpoint}/{made.name}", method="PUT")
    with urllib.request.urlopen(request, timeout=200):
        pass
    return made


@dataclass(frozen=True)
class S3Server:
    """A server that runs: where, and as which process."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def endpoint(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}"


def ministack() -> str | None:
    """Return the program, or None where it is not installed."""
    beside = Path(sys.executable).with_name("ministack")
    return str(beside) if beside.exists() else shutil.which("ministack")


@contextlib.contextmanager
def s3_server(folder: Path, port: int = 0) -> Iterator[S3Server]:
    """Run ministack on a port of 127.0.0.1 (0: any that is free); its log goes into ``folder``.

    It is stopped by its own process. Its objects are gone with it.
    """
    program = ministack()
    if program is None:
        raise RuntimeError("ministack is not installed: pip install --group test")
    port = port or free_ports(1)[0]
    settings = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": "s3",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }
    log = folder / "ministack.log"
    with log.open("a") as output:
        process = subprocess.Popen(
            [program], env=os.environ | settings, stdout=output, stderr=output, cwd=folder
        )
    server = S3Server(port, process)
    try:
        wait_for(server.endpoint, [process], lambda: log.read_text()[-2000:])
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
