"""Record files that are written anew from those that are there: within --memory, or not at all."""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from tests.writing.v2_store import v2_store

import parchunk
from parchunk.cli.main import run

pytestmark = pytest.mark.usefixtures("quiet_zarr")

CHUNK = 200_000
OPTIONS: dict[str, Any] = {"split": "t", "region": 4, "record_size": 16, "inline_threshold": CHUNK}


def small_chunks(path: Path, columns: int) -> zarr.Array:
    """Make an array of chunks that are all inlined, four in a row of a record file."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    array = root.create_array(
        "a", shape=(16, columns * CHUNK), chunks=(1, CHUNK), dtype="u1", compressors=None,
        dimension_names=["t", "x"],
    )  # fmt: skip
    array[...] = np.random.default_rng(7).integers(1, 255, array.shape, np.uint8)
    return array


@pytest.mark.parametrize(
    ("what", "memory", "words"),
    [
        ("relocate", 52, ["MiB to be read back", "are to be inlined"]),
        ("relocate", 64, ["are to be inlined"]),
        ("update", 64, ["are to be inlined"]),
    ],
)
def test_what_does_not_fit_is_refused_with_the_memory_that_would_do(
    tmp_path: Path,
    what: str,
    memory: int,
    words: list[str],
    published: Callable[[Path], dict[str, bytes]],
) -> None:
    """Followed to its end, references are those of a build in another place, or of the same."""
    source, out, moved = tmp_path / "s.zarr", tmp_path / "refs", tmp_path / "moved.zarr"
    array = small_chunks(source, 4)
    parchunk.build(parchunk.plan(str(source), **OPTIONS), str(out))
    if what == "update":
        array.resize((16, 5 * CHUNK))
        array[:, 4 * CHUNK :] = 3
        moved = source
    else:
        source.rename(moved)

    def follow() -> Any:
        if what == "relocate":
            return parchunk.relocate(out, moved, memory=memory << 20)
        return parchunk.update(out, memory=memory << 20, concurrency=1)

    before = published(out)
    for expected in words:
        with pytest.raises(parchunk.InputError, match=expected) as refused:
            follow()
        assert "\n" not in str(refused.value)
        assert published(out) == before
        memory = int(str(refused.value).split("give --memory ")[1].split("MiB")[0])
    follow()
    anew = tmp_path / "fresh"
    parchunk.build(parchunk.plan(str(moved), **OPTIONS), str(anew))
    assert published(out) == published(anew)


def test_too_little_to_relocate_is_refused_before_anything_is_written(
    tmp_path: Path, tree: Callable[[Path], dict[str, str]]
) -> None:
    source, out = v2_store(tmp_path / "s.zarr", 3, 10), tmp_path / "refs"
    parchunk.build(parchunk.plan(str(source)), str(out))
    before = tree(out)
    moved = source.rename(tmp_path / "moved.zarr")
    assert run(["relocate", str(out), "--memory", "20MiB", str(moved)]) == 2
    assert tree(out) == before


@pytest.mark.parametrize("memory", ["20MiB", "50MiB"], ids=["to list", "to read back"])
def test_an_update_is_refused_too_little_before_anything_is_written_and_only_where_it_needs_any(
    memory: str,
    tmp_path: Path,
    tree: Callable[[Path], dict[str, str]],
    published: Callable[[Path], dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, out, fresh = tmp_path / "s.zarr", tmp_path / "refs", tmp_path / "fresh"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    array = root.create_array(
        "a", shape=(8, 2), chunks=(1, 1), dtype="u1", dimension_names=["t", "x"]
    )
    array[...] = 1
    plan = partial(
        parchunk.plan, str(source), split="t", region=4, record_size=4, inline_threshold=0
    )
    parchunk.build(plan(), str(out))
    command = ["update", str(out), "--concurrency", "1", "--memory"]
    before = tree(out)
    assert run([*command, memory]) == 0  # there is nothing to do
    assert tree(out) == before
    array.resize((8, 3))
    array[...] = 1
    capsys.readouterr()
    assert run([*command, memory]) == 2
    assert tree(out) == before
    (named,) = re.findall(r"give (\d+MiB) or more", capsys.readouterr().err)
    while run([*command, named]) == 2:  # what is listed may be named before what is read back
        (named,) = re.findall(r"give (\d+MiB) or more", capsys.readouterr().err)
        assert tree(out) == before
    parchunk.build(plan(), str(fresh))
    assert published(out) == published(fresh)


PEAK = """
import sys
import parchunk

def status(name):
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith(name)).split()[1]) << 10

small, there, out, moved, memory = sys.argv[1:]
parchunk.relocate(small, there)  # imports
before = status("VmRSS")
parchunk.relocate(out, moved, memory=int(memory))
print(status("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_peak_of_rewriting_stays_within_the_bound(tmp_path: Path) -> None:
    """Of record files that inline 8 MB each, of which four fit where one is to be held."""
    places = []
    for name, count, size in (("small", 2, 10), ("large", 400, 100_000)):
        source, out = v2_store(tmp_path / f"{name}.zarr", count, size), tmp_path / f"{name}.refs"
        plan = parchunk.plan(str(source), inline_threshold=100_000, record_size=80)
        parchunk.build(plan, str(out))
        places += [str(out), str(source.rename(tmp_path / f"{name}-moved.zarr"))]
    memory = 150 << 20
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *places, str(memory)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert 16_000_000 < int(done.stdout) < memory


@pytest.mark.parametrize("what", ["relocate", "update"])
def test_what_a_build_had_room_for_is_written_anew_in_as_much(tmp_path: Path, what: str) -> None:
    """No record file has the 100,000 rows that there may be in one."""
    source, out, moved = tmp_path / "s.zarr", tmp_path / "refs", tmp_path / "moved.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    array = root.create_array(
        "a", shape=(16, 4), chunks=(1, 1), dtype="u1", attributes={"_ARRAY_DIMENSIONS": ["t", "x"]}
    )
    array[...] = 1
    memory = 90 << 20
    parchunk.build(parchunk.plan(str(source)), str(out), memory=memory)
    if what == "update":
        array.resize((16, 5))
        array[:, 4:] = 2
        assert parchunk.update(out, memory=memory).present == 80
    else:
        source.rename(moved)
        parchunk.relocate(out, moved, memory=memory)
    assert parchunk.audit(str(out), against_source=True).complete
