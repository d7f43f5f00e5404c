"""What the tests share: stock readers as oracles, pictures of directory trees, an S3 server."""

import collections
import contextlib
import gc
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, settings
from instruments.s3_server import S3Bucket, ministack, new_bucket, s3_server
from tests.made import spec

from parchunk.metadata.spec import ArraySpec, Hierarchy

# Machines are busy: no test may fail for its time. CI draws the same examples each time. What one
# suppresses by itself is all that is suppressed there: it names what is slow, too.
settings.register_profile(
    "parchunk",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("parchunk")

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.default_int_handler)

SRC = Path(__file__).parents[1] / "src"

#: As many quick tests as a slow one counts for, where files are put in order.
QUICK = 100


def pytest_configure(config: pytest.Config) -> None:
    """Make what every test would wait for cheap."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        trust_one_authority(config)
    compile_by_turns(config)


def trust_one_authority(config: pytest.Config) -> None:
    """Trust an authority of nobody's: each client reads all that it trusts, 9 ms of the system's.

    Workers, and what tests start, have it from the environment.
    """
    import trustme  # not for every worker

    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    Path(folder.name).chmod(0o755)  # some tests write as another user
    file = Path(folder.name, "authority.pem")
    trustme.CA().cert_pem.write_to_path(str(file))
    file.chmod(0o644)  # whatever the umask
    os.environ.update(SSL_CERT_FILE=str(file), SSL_CERT_DIR=str(Path(folder.name, "none")))


def compile_by_turns(config: pytest.Config) -> None:
    """Let each worker begin elsewhere: what one has compiled, asserts and all, others load."""
    folder = Path(__file__).parent
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1 and list(map(Path, config.args)) == [folder.relative_to(config.rootpath)]:
        paths = sorted(map(str, folder.rglob("test_*.py")))
        begin = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")) * len(paths) // workers
        config.args[:] = paths[begin:] + paths[:begin]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the dearest files: at the end no worker is left alone with one of them."""
    costs: dict[Path, int] = collections.Counter()
    for item in items:
        costs[item.path] += QUICK if item.get_closest_marker("slow") else 1
    items.sort(key=lambda item: (-costs[item.path], item.path))  # stable within a file


def pytest_collection_finish() -> None:
    """Keep thousands of tests out of each garbage collection to come."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def quiet_zarr() -> Iterator[None]:
    """Let zarr-python write what it calls unstable; it is what real stores hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def tree() -> Callable[[Path], dict[str, str]]:
    """Return a function that pictures a directory: every path below it, with its content's hash."""

    def picture(root: Path) -> dict[str, str]:
        if not root.exists():
            return {"": "nothing"}
        if root.is_file():
            return {"": hashlib.sha256(root.read_bytes()).hexdigest()}
        return {
            path.relative_to(root).as_posix(): (
                "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
            )
            for path in root.rglob("*")
        }

    return picture


@pytest.fixture
def published() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that reads what readers see of OUT: the root and all record files."""

    def read(out: Path) -> dict[str, bytes]:
        return {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file() and path.relative_to(out).parts[0] != ".parchunk"
        }

    return read


@pytest.fixture
def open_references() -> Callable[..., zarr.Group]:
    """Return a function that opens OUT with stock fsspec and zarr, nothing of parchunk's."""

    def open_(out: Path | str, **options: Any) -> zarr.Group:
        remote = {"remote_protocol": "file"} | options
        filesystem = fsspec.filesystem(
            "reference", fo=str(out), asynchronous=True, skip_instance_cache=True, **remote
        )
        store = zarr.storage.FsspecStore(filesystem, read_only=True, path="")
        return zarr.open_group(store, mode="r", zarr_format=2)

    return open_


@pytest.fixture
def same_bits() -> Callable[[Any, Any], None]:
    """Return an assertion that two arrays are equal to the bit, NaN and NaT included."""

    def check(one: Any, other: Any) -> None:
        one, other = np.asarray(one), np.asarray(other)
        assert one.shape == other.shape
        if one.dtype.kind in "OTSU":
            assert one.tolist() == other.tolist()
        else:
            native = one.dtype.newbyteorder("=")
            assert native == other.dtype.newbyteorder("=")
            assert one.astype(native).tobytes() == other.astype(native).tobytes()

    return check


@pytest.fixture(scope="session")
def array_spec() -> Callable[..., ArraySpec]:
    """Return the function that makes an array's description for the planner."""
    return spec


@pytest.fixture(scope="session")
def hierarchy_of() -> Callable[..., Hierarchy]:
    """Return the function that makes a hierarchy of such descriptions."""
    return lambda *specs: Hierarchy(tuple(sorted(specs, key=lambda s: s.name)), ())


@pytest.fixture
def parchunk_process() -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts the command line in a process of its own."""

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        path = os.pathsep.join(filter(None, (str(SRC), os.environ.get("PYTHONPATH", ""))))
        return subprocess.Popen(
            [sys.executable, "-m", "parchunk", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path} | options.pop("env", {}),
            **options,
        )

    return start


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an S3 server on 127.0.0.1 for the session."""
    if ministack() is None:
        pytest.skip("ministack is not installed: pip install --group test")
    with s3_server(tmp_path_factory.mktemp("ministack")) as server:
        yield server.endpoint


@pytest.fixture
def bucket(s3_endpoint: str) -> S3Bucket:
    """Return a new, empty bucket."""
    return new_bucket(s3_endpoint)
