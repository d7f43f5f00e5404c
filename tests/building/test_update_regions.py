"""Arrays that grow out of their regions: every reader sees what a fresh build would show."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.made import named

import parchunk
from parchunk.cli.main import run
from parchunk.errors import InputError, OutputError
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.out.opening import open_output
from parchunk.out.plan_file import save_plan
from parchunk.planning.choice import make_plan
from parchunk.planning.growth import grown_plan
from parchunk.planning.plan import ArrayPlan
from parchunk.stores.opening import Location

Reader = Callable[..., zarr.Group]
Bits = Callable[[Any, Any], None]
Published = Callable[[Path], dict[str, bytes]]


def make(
    path: Path,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None = None,
    dimensions: str = "tyxz",
    zarr_format: int = 3,
) -> zarr.Array:
    """Return an array of numbers from 1 on in a store at ``path``."""
    root = zarr.open_group(path, mode="a", zarr_format=zarr_format)  # type: ignore[arg-type]
    names = list(dimensions[: len(shape)])
    array = root.create_array(
        name,
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype="i4",
        compressors=None,
        fill_value=-1,
        **named(names, zarr_format),
    )
    array[...] = np.arange(1, 1 + array.size).reshape(shape)
    return array


def lengthen(array: zarr.Array, steps: int) -> None:
    """Let it grow to ``steps``, with values from -5 down in what came."""
    before = array.shape[0]
    array.resize((steps, *array.shape[1:]))
    came = (steps - before, *array.shape[1:])
    array[before:] = -5 - np.arange(np.prod(came)).reshape(came)


def check(out: Path, source: Path, open_references: Reader, same_bits: Bits) -> None:
    """Stock readers see the source, the audit agrees, and a second update finds nothing."""
    original = zarr.open_group(source, mode="r")
    opened = open_references(out)
    for name, array in original.arrays():
        assert isinstance(array, zarr.Array)
        same_bits(opened[name][...], array[...])
    findings = parchunk.audit(str(out), against_source=True).findings
    assert [found for found in findings if found.kind != "strays"] == []
    assert not list((out / ".parchunk").glob("*e.json"))  # update.json, previous.json, lease.json


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_split_along_x_whose_leading_axis_had_one_chunk(
    tmp_path: Path, open_references: Reader, same_bits: Bits, zarr_format: int
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    array = make(source, "a", (1, 10), (1, 1), dimensions="tx", zarr_format=zarr_format)
    parchunk.build(parchunk.plan(str(source), region=4), str(out))
    lengthen(array, 3)
    result = parchunk.update(str(out))
    assert str(result.plan.split) == "t"
    check(out, source, open_references, same_bits)
    lengthen(array, 5)
    assert parchunk.update(str(out)).missing == 0
    check(out, source, open_references, same_bits)


def test_shards_that_had_one_region_without_any_option(
    tmp_path: Path, open_references: Reader, same_bits: Bits
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    array = make(source, "a", (40,), (1,), (10,))
    parchunk.build(parchunk.plan(str(source)), str(out))
    lengthen(array, 80)
    parchunk.update(str(out))
    assert open_references(out)["a"][:5].tolist() == [1, 2, 3, 4, 5]
    assert parchunk.open_dataset(str(out))["a"][:5].values.tolist() == [1, 2, 3, 4, 5]
    check(out, source, open_references, same_bits)


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((1, 1801, 3600), (1, 1, 1)),
        ((24, 7201, 14400), (24, 4, 4)),
        ((12, 1999, 2000), (12, 1, 1)),
    ],
)
def test_plans_of_large_grids_survive_growth(
    array_spec: Callable[..., ArraySpec], shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    old = make_plan(
        Hierarchy((array_spec("a", shape, chunks, ("t", "y", "x")),), ()), Location("s3://b/s", ())
    )
    longer = (2 * shape[0], *shape[1:])
    new = grown_plan(old, Hierarchy((replace(old.arrays[0].spec, shape=longer),), ()))
    assert new.arrays[0].is_aligned(new.record_size)
    # By time from now on: what comes is listed, and what is there is not.
    assert (str(new.split), len(new.regions)) == ("t", 2)


@pytest.mark.slow
def test_regions_are_joined_without_listing_what_is_known(
    tmp_path: Path, open_references: Reader, same_bits: Bits, published: Published
) -> None:
    """Shards in regions of 8 rows and record files of 8; a new array wants chunks of 12 steps."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    make(source, "a", (48, 2), (2, 1), (4, 2), dimensions="tx")
    for number in (1, 11):
        (source / "a" / "c" / str(number) / "stray").write_bytes(b"not a chunk")
    parchunk.build(parchunk.plan(str(source), split="t", region=8, record_size=8), str(out))
    make(source, "b", (48, 260), (6, 1), dimensions="tx")
    result = parchunk.update(str(out))
    assert result.plan.region_length == 24
    assert result.plan.by_name["b"].regions == 2
    assert result.built == 2  # of `b`; of `a` receipts were joined
    check(out, source, open_references, same_bits)
    assert result.strays == 2
    with parchunk.connect(str(out)) as con:
        rows = con.sql("SELECT path FROM strays ORDER BY path").fetchall()
        counts = con.sql("SELECT sum(expected), sum(present) FROM coverage").fetchall()
        referenced = con.sql("SELECT count(*) FROM refs WHERE present").fetchall()
    assert rows == [("c/1/stray",), ("c/11/stray",)]
    assert counts == [(result.expected, result.present)]
    assert referenced == [(result.present,)]
    fresh = parchunk.plan(str(source), split="t", region=24, record_size=8)
    parchunk.build(fresh, str(tmp_path / "fresh"))
    assert published(out) == published(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("region", "record_size", "shape", "chunks"),
    [
        (10, None, (40, 3), (9, 1)),  # no region falls on its chunks
        (8, 8, (40, 3), (4, 1)),  # record files would straddle its regions
    ],
)
def test_an_array_that_does_not_fit_the_regions_blocks_no_update(
    tmp_path: Path,
    open_references: Reader,
    same_bits: Bits,
    region: int,
    record_size: int | None,
    shape: tuple[int, int],
    chunks: tuple[int, int],
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    array = make(source, "a", (40, 8), (1, 1), dimensions="tx")
    plan = parchunk.plan(str(source), split="t", region=region, record_size=record_size)
    parchunk.build(plan, str(out))
    make(source, "b", shape, chunks, dimensions="tx")
    # Along a later axis, too.
    make(source, "c", (7, 40), (1, 3), dimensions="yt")
    assert parchunk.update(str(out)).missing == 0
    check(out, source, open_references, same_bits)
    lengthen(array, 47)
    assert parchunk.update(str(out)).missing == 0
    check(out, source, open_references, same_bits)


def test_an_array_that_cannot_be_referenced_blocks_no_update(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    open_references: Reader,
    same_bits: Bits,
) -> None:
    """The remedies of the message, followed: left out by name, or whatever it is called."""
    source = tmp_path / "s.zarr"
    array = make(source, "a", (8, 2), (1, 1), dimensions="tx")
    for name in ("one", "two"):
        parchunk.build(parchunk.plan(str(source)), str(tmp_path / name))
    lengthen(array, 9)
    shutil.copytree(source / "a", source / "odd")
    odd = json.loads((source / "odd" / "zarr.json").read_text())
    odd["codecs"].insert(0, {"name": "no_such_codec", "configuration": {}})
    (source / "odd" / "zarr.json").write_text(json.dumps(odd))
    assert run(["update", str(tmp_path / "one")]) == 2
    assert "--exclude" in capsys.readouterr().err
    assert run(["update", str(tmp_path / "one"), "--exclude", "od"]) == 2
    assert "--exclude od matches no array" in capsys.readouterr().err
    assert run(["update", str(tmp_path / "one"), "--exclude", "odd"]) == 0
    assert run(["update", str(tmp_path / "two"), "--skip-unsupported"]) == 0
    # It is left out from now on, whether it is there or not.
    for steps in (10, 11):
        lengthen(array, steps)
        for name in ("one", "two"):
            assert run(["update", str(tmp_path / name)]) == 0
            same_bits(open_references(tmp_path / name)["a"][...], array[...])
        shutil.rmtree(source / "odd", ignore_errors=True)
    assert run(["update", str(tmp_path / "one"), "--exclude", "a*"]) == 2
    assert "a is in" in capsys.readouterr().err


def test_references_that_were_written_crookedly_are_written_anew(
    tmp_path: Path, open_references: Reader, same_bits: Bits
) -> None:
    """OUT as an update without this check left it: its plan does not fit, nor do its files."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    make(source, "a", (3, 10), (1, 1), dimensions="tx", zarr_format=2)
    plan = parchunk.plan(str(source), split="t")
    crooked = replace(
        plan,
        split=replace(plan.split, dimension="x"),  # type: ignore[type-var]
        region_length=4,
        arrays=tuple(ArrayPlan(array.spec, 1, 4) for array in plan.arrays),
    )
    with pytest.raises(OutputError, match=r"a: rows 0 to .* are no record file"):
        parchunk.build(crooked, str(out))
    output = open_output(str(out))
    assert not list(out.rglob("refs.*.parq"))
    output.prepare()
    save_plan(crooked, output)
    parchunk.update(str(out))
    check(out, source, open_references, same_bits)


@settings(
    max_examples=examples(15),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_after_any_growth_readers_see_what_a_fresh_build_shows(
    data: st.DataObject, open_references: Reader, same_bits: Bits
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "s.zarr", Path(folder) / "refs"
        zarr_format = data.draw(st.sampled_from([2, 3]))
        lengths = {name: data.draw(st.integers(1, 7)) for name in "tyx"}
        names = "".join(data.draw(st.permutations("tyx")))
        came = data.draw(st.integers(0, 1))
        arrays = []
        for name in "ab"[came : data.draw(st.integers(came + 1, 2))]:
            arrays.append(_drawn(data, source, name, names, lengths, zarr_format))
        options = {
            "split": data.draw(st.none() | st.sampled_from(names)),
            "region": data.draw(st.none() | st.integers(1, 8)),
            "record_size": data.draw(st.none() | st.integers(1, 8)),
        }
        try:
            plan = parchunk.plan(str(source), **options)  # type: ignore[arg-type]
        except InputError:
            return
        parchunk.build(plan, str(out))
        for _ in range(data.draw(st.integers(1, 2))):
            lengths[names[0]] += data.draw(st.integers(0, 6))
            for array in arrays:
                lengthen(array, lengths[names[0]])
            if came:
                came = 0
                arrays.append(_drawn(data, source, "0", names, lengths, zarr_format))
            parchunk.update(str(out))
            check(out, source, open_references, same_bits)


def _drawn(
    data: st.DataObject,
    source: Path,
    name: str,
    names: str,
    lengths: dict[str, int],
    zarr_format: int,
) -> zarr.Array:
    rank = data.draw(st.integers(1, 3))
    shape = tuple(lengths[dimension] for dimension in names[:rank])
    chunks = tuple(data.draw(st.sampled_from([1, 1, 2])) for _ in shape)
    shards = None
    if zarr_format == 3 and data.draw(st.booleans()):
        shards = tuple(size * data.draw(st.sampled_from([1, 2, 3])) for size in chunks)
    return make(source, name, shape, chunks, shards, names, zarr_format)
