"""Ceph's S3 gateway on loopback, its objects in memory: a second S3 server, of another making.

    python -m instruments.ceph_server    # says how it is reached, and runs until Ctrl-C

Needs Ceph's daemons: on Debian ``apt-get install --no-install-recommends ceph-common ceph-mon
ceph-osd radosgw``.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from instruments.loopback import free_ports, wait_for

#: Whom the gateway knows, in the variables of S3's clients.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ceph",
    "AWS_SECRET_ACCESS_KEY": "loopback",
    "AWS_REGION": "us-east-1",
}
_SETTINGS = """\
[global]
fsid = {cluster}
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
auth cluster required = none
auth service required = none
auth client required = none
mon allow pool size one = true
mon max pg per osd = 1000
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd crush chooseleaf type = 0
osd objectstore = memstore
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
mon data = {folder}/mon
osd data = {folder}/osd
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
"""


def ceph_is_here() -> bool:
    """Whether all programs that it takes are installed."""
    programs = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
    return all(map(shutil.which, programs))


@contextlib.contextmanager
def ceph_server(folder: Path) -> Iterator[str]:
    """Run a monitor, a store in memory and a gateway below ``folder``; yield the endpoint.

    All are ended in the end, and what they held is gone with them.
    """
    v1, v2, port = free_ports(3)
    endpoint = f"http://127.0.0.1:{port}"
    settings = folder / "ceph.conf"
    cluster = str(uuid.uuid4())
    settings.write_text(_SETTINGS.format(cluster=cluster, v1=v1, v2=v2, folder=folder))
    (folder / "keyring").touch()
    for name in ("mon", "osd", "gateway"):
        (folder / name).mkdir()

    def run(program: str, *words: object) -> None:
        command = [program, "-c", settings, *words]
        subprocess.run(
            list(map(str, command)), check=True, capture_output=True, timeout=60, cwd=folder
        )

    monitor = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
    run("monmaptool", "--create", "--fsid", cluster, "--addv", "a", monitor, "monmap")
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", "monmap", "--keyring", "keyring")
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str, *words: object) -> None:
        command = list(map(str, [program, "-f", "-c", settings, *words]))
        with (folder / f"{program}.out").open("wb") as output:
            started.append(subprocess.Popen(command, stdout=output, stderr=output, cwd=folder))

    try:
        start("ceph-mon", "-i", "a")
        store = str(uuid.uuid4())
        run("ceph", "osd", "new", store)
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        start("ceph-osd", "-i", "0")
        key, secret = CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
        user = ("--uid", "loopback", "--display-name", "loopback")
        run("radosgw-admin", "user", "create", *user, "--access-key", key, "--secret-key", secret)
        start(
            "radosgw",
            *("-n", "client.gateway", "--rgw-data", folder / "gateway"),
            *("--rgw-frontends", f"beast endpoint=127.0.0.1:{port}"),
            # the gateway would have keys and secrecy, which a cluster without keys has not
            *("--auth-client-required", "none", "--ms-mon-client-mode", "crc"),
        )
        wait_for(endpoint, started, lambda: f"see {folder}")
        yield endpoint
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
            process.wait()


def main() -> None:
    """Run one until Ctrl-C."""
    with tempfile.TemporaryDirectory() as folder, ceph_server(Path(folder)) as endpoint:
        for name, value in {"AWS_ENDPOINT_URL": endpoint, **CREDENTIALS}.items():
            print(f"export {name}={value}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(60)


if __name__ == "__main__":
    main()
