"""What readers see of references whose update runs, or was cut short: all that was, or all that is.

Every reader looks at OUT after an update was killed at each of its steps, and all the time while
one runs undisturbed. The source has grown already, so that both answers could be had.
"""

import importlib.util
import re
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import numpy as np
import pytest
import zarr
from instruments.crash_process import Step
from zarr.storage import FsspecStore

import parchunk
from instruments import crash_process
from parchunk.out.opening import open_output
from parchunk.out.output import PLAN, PREVIOUS, ROOT
from parchunk.out.plan_file import load_plan, published_plan

xarray = pytest.importorskip("xarray")

pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")

Published = Callable[[Path], dict[str, bytes]]

WIDTH = 6
#: Kinds of sources: Zarr format, chunks along time in a shard, options of the plan.
KINDS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "v2": (2, 0, {}),
    "v3": (3, 0, {}),
    "sharded": (3, 4, {}),
    "kept v3": (3, 4, {"shards": "whole"}),
    # Stores behind one another; record files of 8 references hold rows of two of them.
    "joined": (2, 0, {"concat": "time", "record_size": 8}),
}

#: Those that an update writes into as they stand.
IN_PLACE = [kind for kind in KINDS if kind != "joined"]


def grow(path: Path, steps: int, kind: str) -> None:
    """Make the store, or make it longer; fill values are in no chunk. Joined ones get another."""
    if kind == "joined":
        begin = max((int(one.stem) for one in path.glob("*.zarr")), default=0)
        write(path / f"{steps:03}.zarr", steps, kind, begin)
    else:
        write(path, steps, kind)


def write(path: Path, steps: int, kind: str, begin: int = 0) -> None:
    """Write a store of the steps from ``begin`` on."""
    zarr_format, shard, _ = KINDS[kind]
    root = zarr.open_group(path, mode="a", zarr_format=zarr_format)
    for name, shape, chunks in (
        ("air", (steps - begin, WIDTH), (2, 3)),
        ("time", (steps - begin,), (4,)),
        ("x", (WIDTH,), (WIDTH,)),
    ):
        names = ["time", "x"] if len(shape) == 2 else [name]
        options: dict[str, Any] = {"attributes": {"_ARRAY_DIMENSIONS": names}}
        if zarr_format == 3:
            options = {"dimension_names": names}
            if shard and name == "air":
                options["shards"] = (shard, WIDTH)
        if name not in root:
            root.create_array(
                name, shape=shape, chunks=chunks, dtype="i4", compressors=None, fill_value=-7,
                **options,
            )  # fmt: skip
        array = root[name]
        written = array.shape[0] if array.nchunks_initialized else 0
        array.resize(shape)
        wanted = values(steps)[name]
        array[written:] = (wanted if name == "x" else wanted[begin:])[written:]


def values(steps: int) -> dict[str, Any]:
    air = np.arange(steps * WIDTH, dtype="i4").reshape(steps, WIDTH)
    return {"air": air, "time": np.arange(steps, dtype="i4"), "x": np.arange(WIDTH, dtype="i4")}


def steps_of(opened: dict[str, Any]) -> int:
    """Return how long the dataset is that was read, which must be whole and right."""
    steps = len(opened["time"])
    for name, wanted in values(steps).items():
        np.testing.assert_array_equal(np.asarray(opened[name]), wanted, name)
    return steps


def by_open_dataset(out: Path) -> int:
    with parchunk.open_dataset(str(out), decode_times=False) as opened:
        return steps_of({name: opened[name].values for name in ("air", "time", "x")})


def by_stock_xarray(out: Path) -> int:
    options = {"fo": str(out), "remote_protocol": "file", "skip_instance_cache": True}
    opened = xarray.open_dataset(
        "reference://", engine="zarr", backend_kwargs={"storage_options": options},
        mask_and_scale=False,
    )  # fmt: skip
    return steps_of({name: opened[name].values for name in ("air", "time", "x")})


def by_views(out: Path) -> int:
    """Ask again, as the docs say, when a file was replaced or deleted while DuckDB read it."""
    for _ in range(9):
        try:
            return steps_of_views(out)
        except duckdb.Error:
            continue
    return steps_of_views(out)


def steps_of_views(out: Path) -> int:
    with parchunk.connect(str(out)) as connection:
        shapes = dict(connection.execute("SELECT array_name, shape FROM arrays").fetchall())
        expected = dict(connection.execute("SELECT array_name, expected FROM arrays").fetchall())
        counted = connection.execute(
            "SELECT array_name, count(*), count(*) FILTER (present), max(region) FROM refs "
            "GROUP BY array_name"
        ).fetchall()
        covered = connection.execute(
            "SELECT array_name, sum(expected), "
            "if(bool_and(present IS NOT NULL), sum(present), NULL), "
            "if(bool_and(missing IS NOT NULL), sum(missing), NULL), "
            "max(region) FILTER (expected > 0), max(stop) FROM coverage GROUP BY array_name"
        ).fetchall()
    (steps,) = shapes["time"]
    assert shapes["air"] == [steps, WIDTH]
    regions = {name: last for name, *_, last in counted}
    assert {name: (rows, rows) for name, rows in expected.items()} == {
        name: (rows, present) for name, rows, present, _ in counted
    }
    for name, rows, present, missing, last, stop in covered:
        assert (rows, last) == (expected[name], regions[name])
        # NULL where only a receipt of the update would know.
        assert present in (rows, None)
        assert missing in (0, None)
        assert stop in (steps, None)
    return steps


def by_virtualizarr(out: Path) -> int:
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore

    from parchunk.virtualizarr.parser import RegionParser

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    opened = zarr.open_group(RegionParser()(f"file://{out}", registry), mode="r", zarr_format=3)
    return steps_of({name: opened[name][...] for name in ("air", "time", "x")})


def by_icechunk(out: Path) -> int:
    """Import, or be told to finish the update first: never anything between."""
    import icechunk

    icechunk.set_logs_filter("error")
    repo = out.parent / f"{out.name}.repo"
    shutil.rmtree(repo, ignore_errors=True)
    try:
        parchunk.to_icechunk(str(out), str(repo))
    except parchunk.InputError as error:
        if not re.search("run parchunk update|being updated", str(error)):
            raise
        return 0
    store = parchunk.open_icechunk(str(repo)).readonly_session("main").store
    opened = zarr.open_group(store, mode="r")
    return steps_of({name: opened[name][...] for name in ("air", "time", "x")})


READERS: dict[str, Callable[[Path], int]] = {
    "open_dataset": by_open_dataset,
    "stock xarray": by_stock_xarray,
    "views": by_views,
    **({"VirtualiZarr": by_virtualizarr} if importlib.util.find_spec("virtualizarr") else {}),
    **({"Icechunk": by_icechunk} if importlib.util.find_spec("icechunk") else {}),
}


def readers_of(kind: str) -> dict[str, Callable[[Path], int]]:
    # Of stock readers zarr-python 3 alone opens references in Zarr v3, not through xarray's
    # `reference://`, which looks for v2. VirtualiZarr takes no bytes that were joined before 2.8.
    return {
        name: read
        for name, read in READERS.items()
        if (kind, name) not in (("kept v3", "stock xarray"), ("joined", "VirtualiZarr"))
    }


def patiently(read: Callable[[Path], int], out: Path) -> int:
    """Read again where that fails, as the new takes the old one's place just then."""
    for _ in range(50):
        try:
            return read(out)
        except AssertionError:
            raise
        except Exception:
            time.sleep(0.1)
    return read(out)


def built(tmp_path: Path, kind: str, before: int) -> tuple[Path, Path]:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grow(source, before, kind)
    options = KINDS[kind][2]
    # Record files of 12 references: the last one of the old array is written again, longer.
    where = f"{source}/*.zarr" if kind == "joined" else str(source)
    sizes = {"record_size": 4, **options}
    plan = parchunk.plan(where, split="time", region=8, **sizes)
    parchunk.build(plan, str(out))
    return source, out


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_killed_at_any_step_shows_the_old_or_the_new(
    tmp_path: Path, published: Published, kind: str
) -> None:
    source, first = built(tmp_path, kind, 20)
    grow(source, 32, kind)
    whole = tmp_path / "whole"
    shutil.copytree(first, whole)
    command = crash_process.start(["update", str(whole), "--no-progress"], tmp_path / "said")
    assert command.end()[0] == 0
    wanted = published(whole)
    assert {read(whole) for read in readers_of(kind).values()} == {32}
    steps = [name for name in dict.fromkeys(command.steps) if "rename" not in name]
    assert {"after plan", "after record file", "before root", "after root"} <= set(steps)
    # Four layouts take the same steps: each at every fourth, so that together they are at all.
    # Joined ones take others.
    first_step, apart = (1, 3) if kind == "joined" else (IN_PLACE.index(kind), len(IN_PLACE))
    for count, name in list(enumerate(steps))[first_step::apart]:
        out = tmp_path / f"out{count}"
        shutil.copytree(first, out)
        step = Step(name, command.steps.count(name) // 2)
        killed = crash_process.start(
            ["update", str(out), "--no-progress"], tmp_path / f"killed{count}", step
        )
        killed.end()
        if kind == "joined" and not (out / ROOT).exists():
            # Killed while the new takes the old one's place: nobody can open it.
            for reader, read in readers_of(kind).items():
                if reader == "Icechunk":
                    assert read(out) == 0
                    continue
                with pytest.raises((parchunk.InputError, OSError)):
                    read(out)
            assert parchunk.update(str(out)).missing == 0
            assert {read(out) for read in readers_of(kind).values()} == {32}, name
            continue
        told = 20 if (out / ROOT).read_bytes() == (first / ROOT).read_bytes() else 32
        seen = {reader: read(out) for reader, read in readers_of(kind).items()}
        assert set(seen.values()) <= {told, 0}, (name, seen)
        assert {seen[reader] for reader in seen if reader != "Icechunk"} == {told}, name
        parchunk.update(str(out))
        # The same bytes read alike; views read what is not published, too.
        assert published(out) == wanted, name
        assert by_views(out) == 32, name
        shutil.rmtree(out)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_that_runs_shows_the_old_or_the_new(tmp_path: Path, kind: str) -> None:
    source, out = built(tmp_path, kind, 8)
    before, polls = 8, 0
    for number, after in enumerate((20, 32)):
        grow(source, after, kind)
        seen = before
        # It waits until they have looked once.
        half = crash_process.Step("after record file", 0)
        command = crash_process.start(
            ["update", str(out), "--no-progress"], tmp_path / f"said{number}", wait_at=half
        )
        while command.process.is_alive() and half.name not in command.steps:
            time.sleep(0.02)
        while command.process.is_alive():
            for name, read in readers_of(kind).items():
                found = patiently(read, out) if kind == "joined" else read(out)
                assert found in (before, after, *([0] if name == "Icechunk" else [])), name
                assert found >= seen or name == "Icechunk", f"{name} went back to the old"
                seen = max(seen, found)
                polls += 1
            command.go_on()
        assert command.end()[0] == 0
        assert {read(out) for read in readers_of(kind).values()} == {after}
        before = after
    assert polls


@pytest.mark.parametrize("kind", ["v2", "v3", "sharded", "joined"])
def test_before_the_first_record_file_the_old_is_seen(tmp_path: Path, kind: str) -> None:
    """As an update leaves OUT that is killed before its first record file."""
    source, out = built(tmp_path, kind, 8)
    grow(source, 20, kind)
    whole = tmp_path / "whole"
    shutil.copytree(out, whole)
    parchunk.update(str(whole))
    (out / PREVIOUS).write_bytes((out / PLAN).read_bytes())
    (out / PLAN).write_bytes((whole / PLAN).read_bytes())
    seen = {name: read(out) for name, read in readers_of(kind).items()}
    assert set(seen.values()) == {8}, seen
    # And killed after the root was published, before the plan of before was deleted.
    (whole / PREVIOUS).write_bytes((out / PREVIOUS).read_bytes())
    seen = {name: read(whole) for name, read in readers_of(kind).items()}
    assert set(seen.values()) == {20}, seen


def test_the_root_says_which_plan_is_published(tmp_path: Path) -> None:
    source, out = built(tmp_path, "v3", 8)
    output = open_output(str(out))
    old = load_plan(output)
    assert published_plan(output) == old
    # Nothing but an attribute has changed.
    zarr.open_array(source / "air", mode="a").attrs["units"] = "K"
    before, saved = (out / ROOT).read_bytes(), (out / PLAN).read_bytes()
    parchunk.update(str(out))
    new = load_plan(output)
    assert new != old
    (out / PREVIOUS).write_bytes(saved)
    assert published_plan(output) == new
    (out / ROOT).write_bytes(before)
    assert published_plan(output) == old
    (out / PREVIOUS).unlink()
    # The same arrays and shapes: taken for what it is.
    assert published_plan(output) == new
    (out / ROOT).write_bytes(before.replace(b"8,", b"9,"))
    with pytest.raises(parchunk.InputError, match="other arrays or shapes"):
        parchunk.open_dataset(str(out))
    (out / ROOT).unlink()
    assert published_plan(output) is None


@pytest.mark.parametrize("shards", ["expand", "whole"])
def test_an_append_within_a_shard_is_not_noticed_until_the_update(
    tmp_path: Path, shards: str
) -> None:
    """What docs/shards.md says of it: bytes of other inner chunks, or an error."""
    source = zarr.create_array(
        tmp_path / "in.zarr/a", shape=(10, 4), chunks=(2, 2), shards=(20, 4), dtype="i4",
        compressors=None,
    )  # fmt: skip
    source[...] = 1
    zarr.open_group(tmp_path / "in.zarr", mode="a")
    out = tmp_path / "refs"

    def read() -> Any:
        options = {"fo": str(out), "remote_protocol": "file", "skip_instance_cache": True}
        references = fsspec.filesystem("reference", asynchronous=True, **options)
        return zarr.open_group(FsspecStore(references, read_only=True, path=""), mode="r")["a"][...]

    parchunk.build(parchunk.plan(str(tmp_path / "in.zarr"), shards=shards), str(out))
    source.resize((20, 4))
    source[10:] = 2
    if shards == "whole":
        with pytest.raises(ValueError, match="checksum"):
            read()
    else:
        assert np.unique(read()).tolist() == [1, 2]
    parchunk.update(str(out))
    np.testing.assert_array_equal(read(), source[...])
