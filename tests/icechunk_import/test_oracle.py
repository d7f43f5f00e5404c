"""Stores of the build's oracle tests: source, references, Icechunk, zarr; bit for bit."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from tests.examples import examples
from tests.made import planned, stores, write_store

import parchunk
from parchunk.icechunk_import import compare_with_repo


@pytest.fixture(autouse=True)
def quiet_zarr() -> Iterator[None]:
    """Let zarr-python write what it calls unstable; it is what real stores hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=examples(10),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=stores())
def test_icechunk_reads_what_the_source_holds(
    made: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    opened: Callable[..., zarr.Group],
    same_bits: Callable[[Any, Any], None],
) -> None:
    folder = tmp_path_factory.mktemp("oracle")
    source, out, repo = folder / "s.zarr", str(folder / "refs"), folder / "repo"
    write_store(source, made)
    plan = planned(str(source), made)
    built = parchunk.build(plan, out)
    try:
        result = parchunk.to_icechunk(out, str(repo))
    except parchunk.UnsupportedError as error:
        # Zarr v3 has no array filters on elements of the other byte order.
        said = str(error)
        refused = [n for n in made["arrays"] if f"array {n!r} " in said or f"{n}: " in said]
        assert refused
        for name in refused:
            assert made["format"] == 2
            assert made["arrays"][name]["filter"] in ("delta", "fixedscaleoffset")
            assert made["arrays"][name]["dtype"].startswith(">")
        assert not repo.exists()
        return
    assert result.references + sum(commit.inlined for commit in result.commits) == built.present
    theirs = zarr.open_group(source, mode="r", use_consolidated=False)
    ours = opened(repo)
    for name in made["arrays"]:
        found = ours[name][...]
        expected = theirs[name][...]
        same_bits(found, expected.astype(expected.dtype.newbyteorder("=")))
    assert compare_with_repo(out, str(repo)).equal
    shutil.rmtree(folder)
