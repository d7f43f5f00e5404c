"""Stores stacked along a new dimension, against xarray's own concat of the same stores."""

from __future__ import annotations

import datetime
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.many_stores import Made, as_one_store, join, write

from parchunk.errors import InputError
from parchunk.metadata import read_hierarchy
from parchunk.metadata.nodes import Node, parse_array
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.labels import parse_labels
from parchunk.planning.joining.misfits import MisfitError
from parchunk.planning.joining.stacked_array import stacked_spec
from parchunk.stores.source import Source

OFFSET = datetime.timedelta(hours=3)


def opened(path: Path, zarr_format: int) -> xarray.Dataset:
    return xarray.open_zarr(path, consolidated=False, zarr_format=zarr_format, chunks=None).load()


@st.composite
def forecasts(draw: st.DrawFn) -> dict[str, Any]:
    rank = draw(st.integers(0, 3))
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=rank, max_size=rank)))
    return {
        "format": draw(st.sampled_from([2, 3])),
        "count": draw(st.integers(1, 4)),
        "shape": shape,
        "chunks": tuple(2 * draw(st.integers(1, max(size // 2, 1))) for size in shape),
        "order": draw(st.sampled_from("CF")),
        "shards": draw(st.booleans()),
        "holes": draw(st.booleans()),
        "valid": draw(st.booleans()),
        "seed": draw(st.integers(0, 9)),
    }


def write_forecasts(folder: Path, made: dict[str, Any]) -> list[Path]:
    random = np.random.default_rng(made["seed"])
    names = tuple(["step", "y", "x"][: len(made["shape"])])
    paths = []
    for at in range(made["count"]):
        options: dict[str, Any] = {"compressors": None}
        chunks, shards = made["chunks"], None
        if made["format"] == 2:
            options["order"] = made["order"]
        elif made["order"] == "F" and names:
            order = tuple(reversed(range(len(names))))
            options["filters"] = [zarr.codecs.TransposeCodec(order=order)]
        if made["format"] == 3 and made["shards"] and names:
            shards, chunks = chunks, (*chunks[:-1], chunks[-1] // 2)
        data = random.integers(0 if made["holes"] else 1, 3, made["shape"]).astype("<i2")
        attributes = {"coordinates": "valid_time init"}
        arrays = {
            "air": Made(data, names, chunks, attributes, shards, options),
            "init": Made(np.array(6 * at), (), None, {"units": "hours since 2020-01-01"}),
        }
        if names:
            steps = np.arange(made["shape"][0])
            arrays["step"] = Made(steps, ("step",), None, {"long_name": "lead"})
            if made["valid"]:
                units = {"units": f"hours since 2020-01-01 {6 * at:02d}:00"}
                arrays["valid_time"] = Made(steps, ("step",), None, units)
        paths.append(write(folder / f"{at}.zarr", arrays, made["format"]))
    return paths


#: Forecasts whose axes cannot be taken for one another.
TELLING: dict[str, Any] = {
    "format": 3, "count": 3, "shape": (5, 3, 4), "chunks": (4, 2, 4), "order": "F", "shards": True,
    "holes": True, "valid": True, "seed": 1,
}  # fmt: skip


@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(TELLING)
@example(TELLING | {"format": 2})
@given(forecasts())
def test_forecasts_read_back_as_xarray_stacks_them(made: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_forecasts(folder, made)
        whole = opened(
            as_one_store(folder / "all", paths, join(paths, stack="init")), made["format"]
        )
        expected = xarray.concat(
            [opened(path, made["format"]).set_coords("init") for path in paths],
            "init",
            data_vars="all",
            coords="different",
            compat="equals",
            join="exact",
            combine_attrs="override",
        )
        if made["count"] == 1:  # nothing differs, so nothing but the data has the new dimension
            expected = expected.reset_coords(drop=True).assign_coords(init=expected.init)
            whole = whole.reset_coords(drop=True)[list(expected.data_vars)]
        xarray.testing.assert_equal(whole.reset_coords(), expected.reset_coords())


def images(folder: Path, **of_the_second: Any) -> list[Path]:
    fields: dict[str, Any] = {"values": np.ones((4, 4), "u1"), "dimensions": ("y", "x")}
    arrays = {"y": Made(np.arange(4), ("y",))}
    return [
        write(folder / "A1.zarr", arrays | {"image": Made(**fields)}),
        write(folder / "B7.zarr", arrays | {"image": Made(**(fields | of_the_second))}),
    ]


@pytest.mark.parametrize(
    ("labels", "values", "units"),
    [
        ("3,7", [3, 7], None),
        ("A1, B7", ["A1", "B7"], None),
        ("2020-01-01,2020-02-01", [0, 31], "days since 2020-01-01"),
        ("2020-01-01T06,2020-01-01T12", [0, 6], "hours since 2020-01-01 06:00:00"),
        ([datetime.date(2020, 1, 1), datetime.date(2020, 1, 3)], [0, 2], "days since 2020-01-01"),
        ([np.datetime64("2020-01-01T00:00:30"), np.datetime64("2020-01-01")], [0, -30], "seconds"),
        (range(2), [0, 1], None),
        (xarray.DataArray([4, 2]), [4, 2], None),
        (
            np.array(["2020-01-01T00:00:00.5", "2020-01-01T00:00:01.7"], "M8[ns]"),
            [500, 1700],
            "milliseconds since 2020-01-01",
        ),
        (
            "2020-01-01T06:00:00.000001,2020-01-01T06",
            [1, 0],
            "microseconds since 2020-01-01 06:00:00",
        ),
        (
            [
                datetime.datetime(2020, 1, 1, 2, tzinfo=datetime.timezone(-OFFSET)),
                datetime.datetime(2020, 1, 1, 2, tzinfo=datetime.UTC),
            ],
            [0, -3],
            "hours since 2020-01-01 05:00:00",
        ),
        (  # finer than any label of dates: names, which lose nothing
            np.array([1, 2], "M8[ns]"),
            ["1970-01-01T00:00:00.000000001", "1970-01-01T00:00:00.000000002"],
            None,
        ),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_become_the_coordinate(
    tmp_path: Path, labels: Any, values: list[Any], units: str | None, zarr_format: int
) -> None:
    paths = [
        write(tmp_path / f"{at}", {"image": Made(np.ones(2), ("x",))}, zarr_format)
        for at in range(2)
    ]
    joined = join(paths, stack="well", labels=parse_labels(labels))
    whole = as_one_store(tmp_path / "all", paths, joined)
    array = zarr.open_array(whole / "well", mode="r", zarr_format=zarr_format)  # type: ignore[arg-type]
    assert array[...].tolist() == values
    assert str(array.attrs.get("units", "")).startswith(units or "")
    assert opened(whole, zarr_format).image.dims == ("well", "x")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("a", "1 label for 2 stores"),
        ("a,a", "a comes twice"),
        (["a", "a"], "a comes twice"),
        ("2020-01-01,2020-01-01T00", "2020-01-01T00 is what 2020-01-01 is"),
        ("a,", "empty one"),
        ("2020-01-01,2020-02-31", "give dates as"),
        (["a", None], "None is no date, number or name"),
        ([b"a", b"b"], "b'a' is no date"),
        (np.array(["NaT", "2020-01-01"], "M8[D]"), "is no date, number or name"),
        ([1.5, float("nan")], "nan is no date"),
    ],
)
def test_labels_that_do_not_do(tmp_path: Path, labels: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        join(images(tmp_path), stack="well", labels=parse_labels(labels))


def test_labels_beside_a_coordinate_are_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{at}", {"well": Made(np.array(at), ())}) for at in range(2)]
    with pytest.raises(InputError, match="an array well of their own"):
        join(paths, stack="well", labels=("a", "b"))


@pytest.mark.parametrize(
    ("of_the_second", "words"),
    [
        ({"values": np.ones((4, 5), "u1")}, "image: length along x 4 in A1.zarr, 5 in B7.zarr"),
        ({"values": np.ones((4, 4), "u2")}, r"image: dtype .*u1.* in A1.zarr, .*u2"),
        ({"options": {"fill_value": 3}}, "image: fill_value null in A1.zarr, 3 in B7.zarr"),
        ({"attributes": {"scale_factor": 2}}, "image: attribute scale_factor not there"),
        ({"attributes": {"units": "K"}}, 'image: attribute units not there in A1.zarr, "K"'),
        ({"dimensions": ("y", "well")}, "image has the dimension well in B7.zarr: --concat"),
    ],
)
def test_misfits_of_stacks(tmp_path: Path, of_the_second: dict[str, Any], words: str) -> None:
    with pytest.raises(MisfitError, match=words):
        join(images(tmp_path, **of_the_second), stack="well")


def test_wells_with_arrays_of_their_own(tmp_path: Path) -> None:
    paths = images(tmp_path)
    image = Made(np.ones((4, 4), "u1"), ("y", "x"))
    paths.append(write(tmp_path / "C.zarr", {"y": Made(np.arange(4), ("y",)), "more": image}))
    with pytest.raises(MisfitError, match=r"image: is not in C\.zarr.*more: is not in A1\.zarr"):
        join(paths, stack="well")
    outer = join(paths, stack="well", join="outer").joined
    assert [stretch.store for stretch in outer.arrays["image"].stretches] == [0, 1]
    assert [stretch.store for stretch in outer.arrays["more"].stretches] == [2]
    assert set(join(paths, stack="well", join="inner").joined.arrays) == {"y"}


@pytest.mark.parametrize(
    "codec", [{"name": "zfpy"}, {"name": "numcodecs.zfpy", "configuration": {"mode": 4}}, "unheard"]
)
def test_codecs_that_may_depend_on_the_shape_are_refused(tmp_path: Path, codec: Any) -> None:
    path = write(tmp_path / "a", {"t": Made(np.ones(2), ("x",))}, 3)
    other = write(tmp_path / "b", {"t": Made(np.ones(2), ("x",))}, 3)
    for one in (path, other):
        document = (one / "t" / "zarr.json").read_text()
        changed = json.loads(document)
        changed["codecs"] = [codec]
        (one / "t" / "zarr.json").write_text(json.dumps(changed))
    with pytest.raises(MisfitError, match=r"t: cannot be stacked, as it has the codec"):
        join([path, other], stack="well")


def test_bounds_may_differ_of_what_is_the_same(tmp_path: Path) -> None:
    """They are stacked, and what they bound stays where it is."""
    paths = [
        write(
            tmp_path / f"{at}.zarr",
            {
                "air": Made(np.full((2, 3), at + 1), ("y", "x"), None, {"coordinates": "lat"}),
                "lat": Made(np.arange(2.0), ("y",), None, {"units": "degrees", "bounds": "lat_b"}),
                "lat_b": Made(np.arange(4.0).reshape(2, 2) + at, ("y", "nv")),
            },
            3,
        )
        for at in range(2)
    ]
    one = opened(as_one_store(tmp_path / "one", paths, join(paths, stack="init")), 3)
    assert one.lat.dims == ("y",)
    wanted = [opened(path, 3).lat_b.values for path in paths]
    np.testing.assert_array_equal(one.lat_b.values, np.stack(wanted))


def test_a_lead_time_in_other_units_is_refused(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{at}", {"step": Made(np.arange(3), ("step",), None, {"units": units})})
        for at, units in enumerate(["hours", "days"])
    ]
    with pytest.raises(MisfitError, match='step: attribute units "hours" in 0, "days" in 1'):
        join(paths, stack="init")


def test_a_stacked_document_is_read_as_its_array(tmp_path: Path) -> None:
    arrays = {
        "plain": Made(np.ones((4, 6)), ("y", "x"), (2, 3)),
        "sharded": Made(np.ones((4, 6)), ("y", "x"), (1, 3), {}, (2, 6)),
    }
    for zarr_format in (2, 3):
        some = {name: made for name, made in arrays.items() if zarr_format == 3 or not made.shards}
        path = write(tmp_path / f"{zarr_format}", some, zarr_format)
        for spec in read_hierarchy(Source.open(str(path))).arrays:
            stacked = stacked_spec(spec, "well", 5)
            node = Node(spec.name, zarr_format, True, stacked.document, stacked.attributes)
            assert without_attributes(parse_array(node)) == without_attributes(stacked)


def without_attributes(spec: ArraySpec) -> dict[str, Any]:
    return {key: item for key, item in spec.to_json().items() if key != "attributes"}
