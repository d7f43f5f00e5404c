"""Stores that do not fit: refused all at once, naming the array, the stores and both values."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from tests.many_stores import Made, join, write

from parchunk.errors import InputError
from parchunk.planning.joining.misfits import MisfitError

Arrays = dict[str, Made]
HOURS = {"units": "hours since 2000-01-01"}


def store(begin: int, length: int = 4, **attributes: Any) -> Arrays:
    return {
        "air": Made(
            np.full((length, 3), begin + 1, "<f4"),
            ("time", "x"),
            (2, 3),
            {"units": "K", **attributes},
        ),
        "time": Made(np.arange(begin, begin + length), ("time",), None, dict(HOURS)),
        "x": Made(np.arange(3.0), ("x",)),
    }


def changed(arrays: Arrays, name: str, **fields: Any) -> Arrays:
    return {**arrays, name: replace(arrays[name], **fields)}


def refusal(
    tmp_path: Path, *stores: Arrays, formats: tuple[int, ...] = (2, 2, 2), **how: Any
) -> str:
    paths = [
        write(tmp_path / f"{name}.zarr", arrays, zarr_format)
        for name, arrays, zarr_format in zip("abc", stores, formats, strict=False)
    ]
    with pytest.raises(MisfitError) as caught:
        join(paths, **(how or {"concat": "time"}))
    message = str(caught.value)
    assert "\n" not in message
    return message


CASES: dict[str, tuple[Callable[[Arrays], Arrays], tuple[str, ...]]] = {
    "data type": (
        lambda s: changed(s, "air", values=s["air"].values.astype("<f8")),
        ("air: dtype", "<f4", "<f8"),
    ),
    "fill value": (
        lambda s: changed(s, "air", options={"fill_value": 7.0}),
        ("air: fill_value null", "7"),
    ),
    "order": (
        lambda s: changed(s, "air", options={"order": "F"}),
        ('air: order "C"', '"F"'),
    ),
    "codecs": (lambda s: changed(s, "air", options={"compressors": None}), ("air: compressor",)),
    "chunks": (lambda s: changed(s, "air", chunks=(4, 3)), ("air: chunks [2, 3]", "[4, 3]")),
    "rank": (
        lambda s: changed(
            s, "air", values=s["air"].values[..., None], dimensions=("time", "x", "z"), chunks=None
        ),
        ("air: dimensions (time, x)", "(time, x, z)"),
    ),
    "other dimensions": (
        lambda s: changed(s, "air", dimensions=("x", "time")),
        ("air: dimensions (time, x)", "(x, time)"),
    ),
    "other lengths": (
        lambda s: changed(s, "air", values=np.ones((4, 5), "<f4")),
        ("air: length along x 3", "5"),
    ),
    "chunk keys": (
        lambda s: changed(
            s, "air", options={"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        ),
        ("air: chunk keys",),
    ),
    "an array that is not there": (
        lambda s: {name: made for name, made in s.items() if name != "air"},
        ("air: is not in b.zarr", "--join inner", "--join outer"),
    ),
    "an array that came": (
        lambda s: s | {"rain": s["air"]},
        ("rain: is not in a.zarr",),
    ),
    "no dimension": (
        lambda s: {"x": s["x"]},
        ("b.zarr has no array along time",),
    ),
    "lengths within a store": (
        lambda s: s | {"rain": Made(np.ones((6, 3), "<f4"), ("time", "x"))},
        ("rain: 6 elements along time in b.zarr, where time has 4",),
    ),
    "units of the coordinate": (
        lambda s: changed(s, "time", attributes={"units": "1"}),
        ("time: units 'hours since 2000-01-01' in a.zarr", "'1' in b.zarr"),
    ),
    "a calendar": (
        lambda s: changed(s, "time", attributes=HOURS | {"calendar": "noleap"}),
        ("time: units", "noleap", "calendars"),
    ),
    "other coordinates": (
        lambda s: changed(s, "x", values=np.arange(3.0) + 1),
        ("x: has other values in b.zarr than in a.zarr", "--static first"),
    ),
    "an overlap": (
        lambda s: changed(s, "time", values=np.arange(3, 7)),
        ("time overlaps: a.zarr holds 2000-01-01 to 2000-01-01 03:00", "2000-01-01 06:00"),
    ),
    "a step backwards": (
        lambda s: changed(s, "time", values=np.arange(-8, -4)),
        ("time steps backwards", "1999-12-31 16:00"),
    ),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_misfit_names_array_stores_and_both_values(tmp_path: Path, case: str) -> None:
    change, words = CASES[case]
    message = refusal(tmp_path, store(0), change(store(4)))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "attribute",
    ["units", "calendar", "scale_factor", "add_offset", "_FillValue", "missing_value", "dtype",
     "_Unsigned", "flag_meanings", "flag_values", "grid_mapping"],
)  # fmt: skip
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_attributes_that_change_the_meaning(
    tmp_path: Path, attribute: str, zarr_format: int
) -> None:
    one, other = store(0, **{attribute: 1}), store(4, **{attribute: 2})
    message = refusal(tmp_path, one, other, formats=(zarr_format, zarr_format))
    assert f"air: attribute {attribute} 1 in a.zarr, 2 in b.zarr" in message


def test_all_misfits_come_at_once(tmp_path: Path) -> None:
    last = changed(store(8), "air", options={"order": "F"}, attributes={"units": "C"})
    last |= {"rain": last["air"]}
    message = refusal(tmp_path, store(0), changed(store(4), "air", options={"order": "F"}), last)
    assert 'air: order "C" in a.zarr, "F" in b.zarr and 1 more' in message
    assert 'air: attribute units "K" in a.zarr, "C" in c.zarr' in message
    assert "rain: is not in a.zarr, b.zarr" in message


def test_formats_are_not_mixed(tmp_path: Path) -> None:
    message = refusal(tmp_path, store(0), store(4), formats=(2, 3))
    assert "air: zarr_format 2 in a.zarr, 3 in b.zarr" in message


def test_only_the_last_store_may_end_within_a_chunk(tmp_path: Path) -> None:
    message = refusal(tmp_path, store(0, 3), store(3, 4), store(7, 4))
    assert "air: its chunks are 2 long along time, and 3 elements in a.zarr" in message
    join([tmp_path / "b.zarr", write(tmp_path / "d.zarr", store(7, 3))], concat="time")


def test_a_border_within_a_shard_is_refused(tmp_path: Path) -> None:
    def sharded(begin: int, length: int) -> Arrays:
        return changed(store(begin, length), "air", chunks=(1, 3), shards=(2, 3))

    message = refusal(tmp_path, sharded(0, 3), sharded(3, 4), formats=(3, 3))
    assert "chunks are 2 long" in message
    paths = [write(tmp_path / f"{at}.zarr", sharded(at * 4, 4 - at), 3) for at in range(2)]
    assert join(paths, concat="time").joined.arrays["air"].spec.inner_chunks == (1, 3)


def test_other_inner_chunks_are_refused(tmp_path: Path) -> None:
    one = changed(store(0), "air", chunks=(1, 3), shards=(2, 3))
    other = changed(store(4), "air", chunks=(2, 3), shards=(2, 3))
    assert "air: codecs" in refusal(tmp_path, one, other, formats=(3, 3))


def test_other_attributes_are_those_of_the_first_with_a_note(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a.zarr", store(0, history="one")),
        write(tmp_path / "b.zarr", store(4, history="two", comment="x"), title="b"),
    ]
    joined = join(paths, concat="time").joined
    assert joined.arrays["air"].spec.attributes["history"] == "one"
    assert "air: attributes that differ between stores are those of a.zarr: comment, history" in (
        joined.notes
    )
    assert any(note.startswith("the root: attributes that differ") for note in joined.notes)


def test_inner_and_outer_joins(tmp_path: Path) -> None:
    rain = store(0)["air"]
    paths = [
        write(tmp_path / "a.zarr", store(0) | {"rain": rain}),
        write(tmp_path / "b.zarr", store(4)),
    ]
    inner = join(paths, concat="time", join="inner").joined
    assert "rain" not in inner.arrays
    assert "rain is left out: it is not in b.zarr" in inner.notes
    outer = join(paths, concat="time", join="outer").joined
    assert [(s.store, s.start, s.stop) for s in outer.arrays["rain"].stretches] == [(0, 0, 4)]
    assert outer.arrays["rain"].spec.shape == (8, 3)
    assert "rain is missing where it is not in a store: b.zarr" in outer.notes


def test_static_first_believes(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a.zarr", store(0)),
        write(tmp_path / "b.zarr", changed(store(4), "x", values=np.arange(3.0) + 1)),
    ]
    joined = join(paths, concat="time", static="first").joined
    assert joined.arrays["x"].stretches[0].store == 0
    assert "not compared, and taken from a.zarr: x" in joined.notes


@pytest.mark.parametrize(
    "values",
    [[0, 1, 2], [0, np.nan, 2], np.array([0, "NaT", 2], "M8[s]"), np.array(["NaT"] * 3, "m8[h]")],
)
def test_equal_values_in_other_bytes_are_equal(tmp_path: Path, values: Any) -> None:
    same = Made(np.array(values), ("x",))
    paths = [
        write(tmp_path / "a.zarr", store(0) | {"x": same}),
        write(tmp_path / "b.zarr", store(4) | {"x": replace(same, options={"compressors": None})}),
    ]
    assert "x" in join(paths, concat="time").joined.arrays


def test_what_is_too_large_to_compare_is_refused_by_name(tmp_path: Path) -> None:
    large = Made(np.zeros((3000, 3000)), ("y", "z"), (1500, 3000))
    message = refusal(tmp_path, store(0) | {"large": large}, store(4) | {"large": large})
    assert "large: has 68.7 MiB in each store, more than the 64 MiB" in message
    assert "--static first" in message


def test_coordinates_must_fit_as_data_when_they_are_not_inline(tmp_path: Path) -> None:
    other = changed(store(4), "time", attributes={"units": "hours since 2000-01-02"})
    message = refusal(tmp_path, store(0), other, concat="time", inline=False)
    assert "time: attribute units" in message
    paths = [tmp_path / "a.zarr", write(tmp_path / "d.zarr", store(4))]
    joined = join(paths, concat="time", inline=False)
    assert joined.kept == ()
    assert [s.store for s in joined.joined.arrays["time"].stretches] == [0, 1]


def test_a_dimension_that_no_array_has(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", store(0))
    with pytest.raises(InputError, match=r"--concat step: no array has .* time, x; --stack"):
        join([path], concat="step")


def test_no_store() -> None:
    with pytest.raises(InputError, match="no store is given"):
        join([], concat="time")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"concat": "t", "stack": "u"}, "--concat and --stack: give one"),
        ({"concat": ""}, "is empty"),
        ({"stack": "a/b"}, "--stack a/b: its name has a slash"),
        ({"stack": ".zarray"}, "--stack .zarray: its name has .* a file of the output"),
        ({"stack": ".."}, r"--stack \.\.: its name has .* leads out of the output"),
        ({"merge": True, "labels": ("a",)}, "--labels are for --stack"),
        ({"concat": "t", "join": "left"}, "--join left"),
        ({"concat": "t", "static": "last"}, "--static last"),
    ],
)
def test_options_that_contradict_each_other(how: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        join([], **how)


def test_the_error_crosses_processes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", store(0))
    with pytest.raises(MisfitError) as caught:
        join([path, write(tmp_path / "b.zarr", store(0))], concat="time")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.misfits == caught.value.misfits


def test_stores_that_fall_may_go_on_falling(tmp_path: Path) -> None:
    def levels(first: int) -> Arrays:
        return {"z": Made(np.arange(first, first - 3, -1), ("z",))}

    paths = [write(tmp_path / f"{first}.zarr", levels(first)) for first in (9, 6)]
    values = join(paths, concat="z").kept[0].spec.shape
    assert values == (6,)
    with pytest.raises(MisfitError, match="z steps backwards"):
        join(paths[::-1], concat="z")


def test_names_that_repeat_are_refused(tmp_path: Path) -> None:
    def stations(*names: str) -> Arrays:
        return {"station": Made(np.array(names, "<U4"), ("station",))}

    paths = [
        write(tmp_path / f"{at}.zarr", stations(*names))
        for at, names in enumerate([("b", "a"), ("c",), ("a", "d")])
    ]
    assert join(paths[:2], concat="station").kept[0].spec.shape == (3,)
    with pytest.raises(MisfitError, match=r"station repeats: a is in 0\.zarr and in 2\.zarr"):
        join(paths, concat="station")


def test_a_pattern_is_put_in_the_order_of_its_coordinates(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{name}.zarr", changed(store(begin), "time", attributes={"units": units}))
        for name, begin, units in (
            ("a", 9, "hours since 2000-01-01"),
            ("b", 0, "hours since 2000-01-01"),
            ("c", 0, "seconds since 1999-12-31"),
        )
    ]
    joined = join(paths, concat="time", by_pattern=True).joined
    assert joined.labels == ("c.zarr", "b.zarr", "a.zarr")
    assert joined.order == (2, 1, 0)


def test_a_broken_coordinate_is_refused_by_name(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.zarr", store(begin)) for name, begin in (("a", 0), ("b", 4))]
    (paths[1] / "time" / "0").write_bytes(b"no chunk")
    with pytest.raises(OSError, match=r"cannot read the values of .*b.zarr/time.*--exclude"):
        join(paths, concat="time")


def test_a_store_of_one_array_keeps_zero_where_it_is_a_value(tmp_path: Path) -> None:
    """A v2 coordinate with the fill value 0 has its first element, which readers would mask."""
    arrays = [changed(store(begin), "time", options={"fill_value": 0}) for begin in (0, 4)]
    paths = [write(tmp_path / f"{at}.zarr", some) for at, some in enumerate(arrays)]
    kept = join(paths, concat="time").kept[0]
    assert kept.spec.document["fill_value"] is None
    assert zarr.open_array(paths[0] / "time", mode="r").fill_value == 0
