"""What is written lies apart from what is read, wherever that is and however it was given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.cli.main import run
from parchunk.errors import InputError
from parchunk.planning.apart import require_apart, stores_of
from parchunk.stores.opening import Location


@pytest.mark.parametrize(
    ("written", "read", "where"),
    [
        ("s3://b/x", "s3://b/x", "inside"),
        ("s3://b/x/y", "s3://b/x", "inside"),
        ("s3://b/x", "s3://b/x/y", "around"),
        ("s3://b/x", "s3://b", "inside"),
        ("s3://b/xy", "s3://b/x", ""),
        ("s3://c/x", "s3://b/x", ""),
        ("/b/x", "s3://b/x", ""),
        ("/b/x/../x/y", "/b/x", "inside"),
    ],
)
def test_places(written: str, read: str, where: str) -> None:
    if not where:
        require_apart("OUT", Location(written), [("SRC", Location(read))])
        return
    with pytest.raises(InputError, match=f"OUT {written} is {where} SRC {read}: name a folder"):
        require_apart("OUT", Location(written), [("SRC", Location(read))])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = zarr.open_group(tmp_path / "s/store", mode="w", zarr_format=3)
    root.create_array("g/h/t", shape=(4,), chunks=(1,), dtype="i1")[:] = np.arange(1, 5)
    (tmp_path / "link").symlink_to("s/store")
    return tmp_path / "s/store"


def test_no_out_lies_in_a_source_or_around_it(
    store: Path, tmp_path: Path, tree: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(tmp_path)
    for source, out, where in (
        (store, store, "inside"),
        (store, store / "refs", "inside"),
        (store, tmp_path / "s", "around"),
        (store, tmp_path / "link/refs", "inside"),
        (tmp_path / "link", store / "refs", "inside"),
        (f"file://{store}", store / "g/refs", "inside"),
        (store / "g/h/t", store / "g/h/t/c", "inside"),
        (f"a={store}", store / "refs", "inside"),
    ):
        for command in ("build", "audit"):
            given = [str(source), str(out)] if command == "build" else [str(source), "--keep", out]
            assert run([command, *map(str, given)]) == 2
            assert f"is {where} SRC" in capsys.readouterr().err
        assert tree(tmp_path) == before


def test_what_the_user_named_is_what_is_read(store: Path, tmp_path: Path) -> None:
    """Beside an array that was given alone, or a group, references may lie."""
    for given, group, named in (
        (store, "", store),
        (store, "g/h", store),
        (store / "g/h", "", store / "g/h"),
        (store / "g/h/t", "", store / "g/h/t"),
    ):
        plan = parchunk.plan(given, group=group)
        assert [place.url for _, place in stores_of(plan, plan.location)] == [str(named)]
    assert parchunk.build(store / "g/h/t", store / "g/refs").missing == 0
