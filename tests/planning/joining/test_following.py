"""Whether stores follow each other, and what of their coordinates is none: units, signs, NaT."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.many_stores import Made, write

import parchunk
from parchunk.errors import InputError
from parchunk.planning.joining.misfits import MisfitError


def store(begin: int, length: int = 4) -> dict[str, Made]:
    hours = {"units": "hours since 2000-01-01"}
    return {
        "air": Made(np.full((length, 3), begin + 1, "<f4"), ("time", "x"), (2, 3)),
        "time": Made(np.arange(begin, begin + length), ("time",), None, hours),
    }


@pytest.mark.parametrize(
    ("dtype", "since", "first"),
    [("i8", "0001-01-01", 730_000), ("f4", "0001-01-01", 730_000), ("f4", "1900-01-01", 36_405)],
)
def test_the_dates_of_an_overlap_are_those_of_the_stores(
    tmp_path: Path, dtype: str, since: str, first: int
) -> None:
    """Of days since long ago, too: as nanoseconds in 64 bits they are of another century."""
    made = [
        store(0) | {"time": Made(np.arange(at, at + 4).astype(dtype), ("time",), None, attributes)}
        for attributes in [{"units": f"days since {since}", "calendar": "proleptic_gregorian"}]
        for at in (first, first + 3)
    ]
    paths = [
        write(tmp_path / f"{name}.zarr", arrays) for name, arrays in zip("ab", made, strict=True)
    ]
    said = r"time overlaps: \S+a.zarr holds 1999-09-04 to 1999-09-07, and \S+b.zarr after it"
    with pytest.raises(MisfitError, match=said):
        parchunk.plan(paths, concat="time")


@pytest.mark.parametrize("name", ["_FillValue", "missing_value"])
@pytest.mark.parametrize("spelled", [255, -1])
def test_what_unsigned_says_holds_for_what_is_masked(
    tmp_path: Path, name: str, spelled: int
) -> None:
    """255 is -1 in a byte with a sign: both stand for no value, and neither ends in an error."""
    attributes = {"units": "days since 2000-01-01", "_Unsigned": "true", name: spelled}
    made = [Made(np.array(some, "i1"), ("time",)) for some in ([5, -1, -100, 9], [7, 8, -1, 1])]
    paths = [
        write(
            tmp_path / f"{at}.zarr",
            store(4 * at) | {"valid": replace(one, attributes=attributes)},
        )
        for at, one in enumerate(made)
    ]
    parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")
    opened = parchunk.open_dataset(tmp_path / "out", decode_cf=False)["valid"]
    assert opened.values.tolist() == [5, -1, -100, 9, 7, 8, -1, 1]
    assert int(opened.attrs[name]) % 256 == 255


@pytest.mark.parametrize("inlined", [True, False])
def test_stores_that_are_all_empty_have_no_regions(tmp_path: Path, inlined: bool) -> None:
    """Nor have those that became so; what was built of them stays until one has an element."""
    source, out = write(tmp_path / "a.zarr", store(0, 0)), tmp_path / "out"
    with pytest.raises(InputError, match=r"^no store has an element along time: .* when one has"):
        parchunk.plan([source], concat="time", inline_coordinates=inlined)
    write(source, store(0, 2))
    parchunk.build(parchunk.plan([source], concat="time", inline_coordinates=inlined), out)
    write(source, store(0, 0))
    with pytest.raises(InputError, match=r"^no store has an element along time"):
        parchunk.update(out, allow_shrink=True)
    assert parchunk.open_dataset(out, drop_variables="time").sizes["time"] == 2
    write(source, store(0, 4))
    parchunk.update(out)
    assert parchunk.open_dataset(out).sizes["time"] == 4


@pytest.mark.parametrize(
    ("dtype", "starts", "said"),
    [("i1", (120, -128), "true"), ("i1", (-10, -4), "true"), ("u1", (250, 0), "false")],
)
def test_stores_follow_each_other_by_what_unsigned_says(
    tmp_path: Path, dtype: str, starts: tuple[int, int], said: str
) -> None:
    """120 to 125 and -128 to -123 of bytes are 120 to 125 and 128 to 133 without a sign."""
    attributes = {"units": "days since 2000-01-01", "_Unsigned": said}
    paths = [
        write(
            tmp_path / f"{name}.zarr",
            store(0)
            | {"time": Made((np.arange(4) + start).astype(dtype), ("time",), None, attributes)},
        )
        for name, start in zip("ba", starts, strict=True)
    ]
    for given in (list(map(str, paths)), f"{tmp_path}/*.zarr"):
        plan = parchunk.plan(given, concat="time")
        assert [one.url.rpartition("/")[2] for one in plan.stores.stores] == ["b.zarr", "a.zarr"]
    with pytest.raises(MisfitError, match="time steps backwards"):
        parchunk.plan(list(map(str, paths[::-1])), concat="time")


@pytest.mark.filterwarnings("ignore:The data type")
@pytest.mark.parametrize("units", ["ns", "s"])
def test_moments_that_are_none_are_held_by_other_units(tmp_path: Path, units: str) -> None:
    moments = [np.array(["2000-01-01", "NaT"] * 2, f"M8[{unit}]") for unit in ("ns", units)]
    paths = [
        write(tmp_path / f"{at}.zarr", store(4 * at) | {"valid": Made(some, ("time",))})
        for at, some in enumerate(moments)
    ]
    parchunk.build(parchunk.plan(paths, concat="time"), tmp_path / "out")
    found = parchunk.open_dataset(tmp_path / "out")["valid"].values
    np.testing.assert_array_equal(found, np.concatenate(moments))


@pytest.mark.filterwarnings("ignore:The data type")
@pytest.mark.parametrize(
    ("before", "after", "units", "said"),
    [
        (
            ["2020-01-01", "2020-01-03"], ["2020-01-02T06", "2020-01-04T00:00:30"], ("ns", "ns"),
            "overlaps: {a} holds 2020-01-01 to 2020-01-03, and {b} after it 2020-01-02 06:00 to "
            "2020-01-04 00:00:30",
        ),
        (
            ["2020-01-01", "2020-01-02"], ["NaT", "2020-01-04"], ("ns", "ns"),
            "has 1 element in {b} without a value (NaN, NaT or masked): mend",
        ),
        (
            ["2020-01-01", "NaT"], ["NaT", "2020-01-04"], ("s", "s"),
            "has 1 element in {a} without a value (NaN, NaT or masked); time has 1 element in {b}",
        ),
        (
            ["2020-01-01", "2020-01-01T00:00:00.5"], ["2019-01-01", "2019-01-02"], ("ms", "ms"),
            "steps backwards: {a} holds 2020-01-01 to 2020-01-01 00:00:00.5, and {b} after it "
            "2019-01-01 to 2019-01-02",
        ),
        # in numbers, seconds are before any nanoseconds
        (
            ["2020-01-01", "2020-01-03"], ["2020-01-02", "2020-01-04"], ("s", "ns"),
            "overlaps: {a} holds 2020-01-01 to 2020-01-03, and {b} after it 2020-01-02 to "
            "2020-01-04",
        ),
        (
            ["2020-01-01", "3020-01-03"], ["2020-01-02", "2020-01-04"], ("s", "ns"),
            "overlaps: {a} holds 2020-01-01 to 3020-01-03, and {b} after it 2020-01-02 to "
            "2020-01-04",
        ),
        # no unit holds all of these
        (
            ["2020-01-01", "3020-01-03"], ["2020-01-02T00:00:00.000000001", "2020-01-04"],
            ("s", "ns"),
            "overlaps: {a} holds 2020-01-01 to 3020-01-03, and {b} after it 2020-01-02 to "
            "2020-01-04",
        ),
        (["2020-01-01", "2020-01-03"], ["2020-01-04", "2020-01-05"], ("ns", "s"), None),
    ],
)  # fmt: skip
def test_times_of_numpy_are_told_as_times(
    tmp_path: Path, before: list[str], after: list[str], units: tuple[str, str], said: str | None
) -> None:
    places = [
        write(
            tmp_path / f"{name}.zarr",
            store(0, 2) | {"time": Made(np.array(some, f"M8[{unit}]"), ("time",))},
        )
        for name, some, unit in zip("ab", (before, after), units, strict=True)
    ]
    if said is None:
        found = parchunk.plan(tmp_path / "*.zarr", concat="time").stores
        assert found is not None
        assert [one.url for one in found.stores] == [str(place) for place in places]
        parchunk.build(parchunk.plan(places, concat="time"), tmp_path / "out")
        found = parchunk.open_dataset(tmp_path / "out")["time"].values
        assert found.tolist() == np.array([*before, *after], "M8[ns]").tolist()
        return
    text = re.escape("time " + said.format(a=places[0], b=places[1]))
    with pytest.raises(MisfitError, match=text):
        parchunk.plan(places, concat="time")


#: How a coordinate says that an element has no value: its type, its attributes, what is stored.
NONE = {
    "NaN": ("f8", {}, np.nan),
    "NaT": ("M8[s]", None, "NaT"),
    "span": ("m8[s]", None, "NaT"),
    "fill": ("i8", {"_FillValue": -9999}, -9999),
    "missing": ("i8", {"missing_value": [-1, -9999]}, -9999),
    "unsigned": ("i1", {"_Unsigned": "true", "_FillValue": 255}, -1),
}


@pytest.mark.filterwarnings("ignore:The data type")
@pytest.mark.parametrize("how", NONE)
@pytest.mark.parametrize(("store_of", "place"), [(0, 0), (0, 2), (1, 0), (1, 3)])
def test_elements_without_a_value_are_told(
    tmp_path: Path, how: str, store_of: int, place: int
) -> None:
    """They have no place among the others: stores of a pattern were put in another order."""
    dtype, attributes, none = NONE[how]
    paths = []
    for at in range(2):
        values = (np.arange(4) + 4 * at).astype(dtype)
        if at == store_of:
            values[place] = none
        since = {} if attributes is None else {"units": "hours since 2000-01-01", **attributes}
        made = store(0) | {"time": Made(values, ("time",), None, since)}
        paths.append(str(write(tmp_path / f"{at}.zarr", made, 3)))
    said = rf"time has 1 element in \S+{store_of}.zarr without a value .*: mend the coordinate"
    for given in (paths, f"{tmp_path}/*.zarr"):
        with pytest.raises(MisfitError, match=said):
            parchunk.plan(given, concat="time")
    # Where coordinates are data, those of a pattern are in the order of the others.
    plan = parchunk.plan(f"{tmp_path}/*.zarr", concat="time", inline_coordinates=False)
    assert [one.url for one in plan.stores.stores] == paths
    assert parchunk.plan(paths[store_of : store_of + 1], concat="time").stores is not None


def test_times_without_an_end_are_in_order(tmp_path: Path) -> None:
    hours = {"units": "hours since 2000-01-01"}
    for name, values in (("a", [4.0, np.inf]), ("b", [0.0, 1.0])):
        times = Made(np.array(values), ("time",), None, hours)
        write(tmp_path / f"{name}.zarr", store(0, 2) | {"time": times})
    plan = parchunk.plan(f"{tmp_path}/*.zarr", concat="time")
    assert [one.url.rpartition("/")[2] for one in plan.stores.stores] == ["b.zarr", "a.zarr"]
