"""A Dask cluster of two processes does what one process does, also when workers are killed."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.crashes import REGION, store
from instruments.synthetic.server import Server, serve

import parchunk
from parchunk.cli.main import run
from parchunk.out.claims import Claimed

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
Published = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(store(), latency=0.02, process=False) as server:
        yield server


def plan_of(server: Server) -> parchunk.Plan:
    options = {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": "true"}
    return parchunk.plan(f"s3://{server.bucket}", region=REGION, store_options=options)


@pytest.fixture(scope="module")
def wanted(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wanted") / "refs"
    parchunk.build(plan_of(server), out)
    return out


def test_workers_killed_in_the_middle(
    client: Any, server: Server, wanted: Path, tmp_path: Path, published: Published
) -> None:
    out, killed = tmp_path / "refs", tmp_path / "killed"
    killed.mkdir()

    def die_in_a_task() -> int:
        """Have this worker die as soon as it has said what it works on."""
        put = Claimed._put

        def put_and_die(self: Claimed) -> None:
            put(self)
            (killed / f"{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)

        Claimed._put = put_and_die  # type: ignore[method-assign]
        return os.getpid()

    pids = client.run(die_in_a_task).values()
    seen = []
    result = parchunk.build(plan_of(server), out, executor=client, workers=4, progress=seen.append)
    assert sorted(int(file.name) for file in killed.iterdir()) == sorted(pids)
    assert os.getpid() not in pids
    assert (result.present, len(result.receipts)) == (
        sum(array.count for array in store().arrays),
        9,
    )
    assert published(out) == published(wanted)
    assert seen[-1].partitions == seen[-1].partitions_total == 9
    assert not (out / ".parchunk" / "claims").exists()


@contextlib.contextmanager
def one_killed(client: Any, task: str, killed: Path) -> Iterator[None]:
    """Have the first worker die that begins a task whose name begins so; it makes a file."""
    from distributed import WorkerPlugin

    class Dying(WorkerPlugin):  # type: ignore[misc]
        name = f"dies at {task}"

        def transition(self, key: str, start: str, finish: str, **_: Any) -> None:
            if finish == "executing" and key.startswith(task):
                with contextlib.suppress(FileExistsError):
                    killed.touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)

    client.register_plugin(Dying())
    try:
        yield
    finally:
        client.unregister_worker_plugin(Dying.name)


def test_an_audit_whose_worker_is_killed(client: Any, wanted: Path, tmp_path: Path) -> None:
    costs = ("audited", "seconds", "peak_memory_bytes")
    of_listing = ("list_requests", "list_requests_least")

    def told(report: parchunk.AuditReport) -> dict[str, Any]:
        found = report.to_json()
        for name in costs:
            del found[name]
        for name in of_listing:
            del found["against_source"][name]
        return found

    alone = told(parchunk.audit(wanted, against_source=True))
    assert alone["missing"] > 0
    with one_killed(client, "compare t", tmp_path / "killed"):
        report = parchunk.audit(
            wanted, against_source=True, executor=client, workers=6, concurrency=1
        )
    assert (tmp_path / "killed").exists()
    assert told(report) == alone


def test_an_import_whose_worker_is_killed(client: Any, wanted: Path, tmp_path: Path) -> None:
    pytest.importorskip("icechunk", reason="the extra 'icechunk' is not installed")
    repo, address = str(tmp_path / "repo"), client.scheduler_info()["address"]
    with one_killed(client, "set region 1", tmp_path / "killed"):
        assert run(["to-icechunk", str(wanted), repo, "--dask", address, "--no-progress"]) == 0
    assert (tmp_path / "killed").exists()
    history = [*parchunk.open_icechunk(repo).ancestry(branch="main")][::-1][1:]
    assert [one.metadata["parchunk"]["region"] for one in history] == [None, 0, 1, 2, 3]
    report = parchunk.audit(wanted, icechunk=repo)
    assert {found.severity for found in report.findings} == {"gap", "notice"}


def _prefixes(dask_scheduler: Any) -> set[str]:
    return set(dask_scheduler.task_prefixes)


def test_the_command_and_what_a_dashboard_shows(
    client: Any,
    server: Server,
    wanted: Path,
    tmp_path: Path,
    published: Published,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "refs"
    address = client.scheduler_info()["address"]
    options = (f"endpoint={server.endpoint}", "region=us-east-1", "skip_signature=true")
    build = [
        *("build", f"s3://{server.bucket}", str(out), "--region", str(REGION), "--json"),
        *(f"--store-option={option}" for option in options),
        *("--workers", "3", "--dask"),
    ]
    assert run([*build, address]) == 0
    assert json.loads(capsys.readouterr().out)["partitions_built"] == 9
    assert published(out) == published(wanted)
    shown = client.run_on_scheduler(_prefixes)
    assert "t_air regions 1–3, x" in shown
    update = ["update", str(out), "--regions", "1", *build[5:-1]]
    assert run([*update, "--dask", address]) == 0
    assert json.loads(capsys.readouterr().out)["partitions_built"] > 0
    assert published(out) == published(wanted)
    assert client.run_on_scheduler(_prefixes) > shown

    monkeypatch.setattr("parchunk.cli.dask._PATIENCE", 0.5)
    assert run([*build, "tcp://127.0.0.1:1"]) == 2
    assert "no scheduler answers there" in capsys.readouterr().err
