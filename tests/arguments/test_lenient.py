"""What people give to the Python functions: it works, or one line says what to give."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from obstore.store import LocalStore

import parchunk
from parchunk.arguments.lenient import lenient
from parchunk.arguments.sizes import parse_size
from parchunk.out.opening import open_output


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = zarr.open_group(tmp_path / "store", mode="w", zarr_format=2)
    for name in ("t2m", "t"):
        array = root.create_array(name, shape=(4,), chunks=(1,), dtype="i4")
        array.attrs["_ARRAY_DIMENSIONS"] = ["time"]
        array[...] = np.arange(1, 5)
    return tmp_path / "store"


@pytest.fixture
def out(store: Path, tmp_path: Path) -> Path:
    parchunk.build(store, tmp_path / "out")
    return tmp_path / "out"


def test_a_path_is_planned_and_built(store, tmp_path):
    assert parchunk.build(store, tmp_path / "a").present == 8
    assert parchunk.build(str(store), tmp_path / "b").present == 8
    source = parchunk.Source.open(str(store))
    assert parchunk.build(source, str(tmp_path / "c"), memory="200MiB").present == 8


def test_every_function_takes_a_path(store, out):
    assert parchunk.status(out).published
    assert parchunk.audit(out, memory="64MiB").complete
    assert parchunk.audit(open_output(str(out))).complete
    assert parchunk.audit(out, against_source=True, source=store).complete
    assert parchunk.update(out, memory="200 MiB", regions=0).built >= 1
    assert parchunk.open_dataset(out)["t2m"].values.tolist() == [1, 2, 3, 4]
    assert parchunk.open_dataset(open_output(str(out))).sizes == {"time": 4}
    count = parchunk.connect(out).execute("SELECT count(*) FROM refs").fetchone()
    assert count == (8,)


def test_one_glob_is_not_a_list_of_letters(store):
    assert list(parchunk.plan(store, include="t2m").by_name) == ["t2m"]
    assert list(parchunk.plan(store, exclude="t2m").by_name) == ["t"]
    assert list(parchunk.plan(store, include=["t2m"], inline_threshold="1KiB").by_name) == ["t2m"]


def test_icechunk_takes_paths(out, tmp_path):
    pytest.importorskip("icechunk")
    result = parchunk.to_icechunk(out, tmp_path / "repo", memory="1GiB", exclude="t2m", regions=0)
    assert result.finished
    session = parchunk.open_icechunk(tmp_path / "repo").readonly_session("main")
    group = zarr.open_group(session.store, mode="r")
    assert sorted(group) == ["t"]


def test_a_dask_client_is_an_executor(store, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.Client(  # at an address: by itself it asks how others are reached from here
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None,
        protocol="tcp", host="127.0.0.1", set_as_default=False,
    ) as client:  # fmt: skip
        assert parchunk.build(store, tmp_path / "out", executor=client).present == 8
        assert parchunk.update(tmp_path / "out", regions=[0], executor=client).built >= 1


def refused() -> list[tuple[str, Any]]:
    """Calls with the store and OUT, and the words that they are answered with."""
    opened = LocalStore("/")
    source = partial(parchunk.Source, opened, "nowhere", "/nowhere")
    some = {"region": "somewhere"}
    return [
        ("plan=None: give a path or a URL", lambda s, o: parchunk.build(None, o)),
        (
            "plan=<list>: give a path or a URL, or of several stores what",
            lambda s, o: parchunk.build([str(s)], o),
        ),
        ("plan=<list>: give a path", lambda s, o: parchunk.build([s], o)),
        ("plan=<object>: give", lambda s, o: parchunk.build(object(), o)),
        ("plan=<LocalOutput>: give a path", lambda s, o: parchunk.build(open_output(str(o)), o)),
        ("source=<Plan>: give a path", lambda s, o: parchunk.plan(parchunk.plan(s))),
        ("out=<Plan>: give a path", lambda s, o: parchunk.connect(parchunk.plan(s))),
        (
            "s3:/b/s: two slashes follow",
            lambda s, o: parchunk.build(Path("s3://b/s"), o),
        ),
        ("out=3: give a path or a URL", lambda s, o: parchunk.audit(3)),
        ("out='': give a path or a URL", lambda s, o: parchunk.status("")),
        ("out=<object>: give", lambda s, o: parchunk.connect(object())),
        ("source=<object>: give", lambda s, o: parchunk.plan(object())),
        ("memory: 'much' is no size", lambda s, o: parchunk.build(s, o, memory="much")),
        ("memory=None: give bytes", lambda s, o: parchunk.build(s, o, memory=None)),
        ("memory=True: give bytes", lambda s, o: parchunk.audit(o, memory=True)),
        ("inline_threshold=<list>: give", lambda s, o: parchunk.plan(s, inline_threshold=[1])),
        ("concurrency='8': give a whole", lambda s, o: parchunk.build(s, o, concurrency="8")),
        ("region=1.5: give a whole number", lambda s, o: parchunk.plan(s, region=1.5)),
        ("include=5: give a glob", lambda s, o: parchunk.plan(s, include=5)),
        ("include: <PosixPath> is no glob", lambda s, o: parchunk.plan(s, include=[s])),
        ("allow_missing=True: give a glob", lambda s, o: parchunk.audit(o, allow_missing=True)),
        ("regions='0-9': give region numbers", lambda s, o: parchunk.update(o, regions="0-9")),
        ("executor='dask': give a conc", lambda s, o: parchunk.build(s, o, executor="dask")),
        (
            "executor=<ThreadPoolExecutor>: give",
            lambda s, o: parchunk.build(s, o, executor=ThreadPoolExecutor),
        ),
        ("progress=1: give True for a bar", lambda s, o: parchunk.build(s, o, progress=1)),
        ("store_options is a str: give a dict", lambda s, o: parchunk.plan(s, store_options="x")),
        (
            "store_options are for a source given as path or URL",
            lambda s, o: parchunk.plan(source(), store_options=some),
        ),
        (
            "store_options are for a source given as path or URL",
            lambda s, o: parchunk.build(source(), o, store_options=some),
        ),
        (
            "store_options are for a plan",
            lambda s, o: parchunk.build(parchunk.plan(s), o, store_options=some),
        ),
        (
            "store_options are for a source given as path or URL",
            lambda s, o: parchunk.audit(o, source=source(), store_options=some),
        ),
        (
            "output_options are for an OUT given as path or URL",
            lambda s, o: parchunk.audit(open_output(str(o)), output_options=some),
        ),
        (
            "output_options are for an OUT given as path or URL",
            lambda s, o: parchunk.open_dataset(open_output(str(o)), output_options=some),
        ),
    ]


@pytest.mark.parametrize(("words", "call"), refused(), ids=[words for words, _ in refused()])
def test_what_cannot_be_taken_is_named_in_one_line(words, call, store, out):
    with pytest.raises(parchunk.ParchunkError) as caught:
        call(store, out)
    message = str(caught.value)
    assert message.startswith(words)
    assert "\n" not in message
    assert "somewhere" not in message, "an option's value may be a secret"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1k", 1000),
        ("1KiB", 1024),
        (" 1.5 GiB ", 3 << 29),
        ("2MB", 2_000_000),
        ("1TiB", 1 << 40),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


def test_signatures_and_unknown_names_stay():
    @lenient
    def function(out: str, *, memory: int = 5) -> tuple[str, int]:
        """Say what came."""
        return out, memory

    assert function.__doc__ == "Say what came."
    assert function(Path("x"), memory="1k") == ("x", 1000)  # type: ignore[arg-type]
    assert function("x") == ("x", 5)
    with pytest.raises(TypeError, match="unexpected keyword argument 'memoy'"):
        function("x", memoy=1)  # type: ignore[call-arg]
