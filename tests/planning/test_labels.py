"""Labels of coordinates: dates in every calendar of CF, numbers and names otherwise."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import parchunk
from parchunk.keys.encoding import KeyEncoding
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.labels import Labels, label_values


def labels(values, absent=None, **attributes) -> Labels:
    values = np.asarray(values)
    shape = (len(values),)
    keys = KeyEncoding("c", "/", 1)
    spec = ArraySpec(
        "t", 3, shape, shape, values.dtype.str, values.itemsize, ("t",), keys, attributes, {}
    )
    none = np.zeros(shape, bool) if absent is None else np.array(absent)
    return Labels(pa.concat_arrays(list(label_values(values, spec, none))))


GROUPS = ["alone/", "copy/", ""]


def write(store, group, units, values) -> None:
    """Write an array of four steps, the second missing, and a coordinate where there is one."""
    root = zarr.open_group(store, mode="a", zarr_format=3)
    v = root.create_array(
        f"{group}v", shape=(4,), chunks=(1,), dtype="i4", dimension_names=("time",), fill_value=0
    )
    v[:] = [1, 0, 1, 1]
    if values is not None:
        time = root.create_array(
            f"{group}time", shape=(4,), chunks=(3,), dtype="i4", dimension_names=("time",),
            attributes={"units": units},
        )  # fmt: skip
        time[:] = values


def missing(out) -> list[tuple[str, str | None]]:
    with parchunk.connect(out) as connection:
        rows = connection.execute("SELECT array_name, label FROM missing").fetchall()
    return sorted(rows)


@pytest.mark.parametrize(
    ("values", "attributes", "said"),
    [
        ([0, 31], {"units": "days since 2003-05-01"}, "2003-05-01 to 2003-06-01"),
        ([0, 6], {"units": "hours since 1900-01-01 00:00"}, "1900-01-01 00:00 to 1900-01-01 06:00"),
        ([0, 1.5], {"units": "days since 2000-1-1T0:00Z"}, "2000-01-01 00:00 to 2000-01-02 12:00"),
        ([0, 1], {"units": "seconds since 2000-1-1"}, "2000-01-01 00:00:00 to 2000-01-01 00:00:01"),
        ([0, 28], {"units": "days since 2004-02-01", "calendar": "noleap"},
         "2004-02-01 to 2004-03-01"),
        ([0, 29], {"units": "days since 2003-02-01", "calendar": "360_day"},
         "2003-02-01 to 2003-02-30"),
        ([0, 1], {"units": "days since 1582-10-04", "calendar": "standard"},
         "1582-10-04 to 1582-10-15"),
        ([0, 1], {"units": "milliseconds since 2003-05-01"},
         "2003-05-01 00:00:00.000 to 2003-05-01 00:00:00.001"),
        ([0, 1 / 24], {"units": "days since 0001-01-01"}, "0001-01-01 00:00 to 0001-01-01 01:00"),
        ([0, 1], {"units": "weeks since 2003-05-01 12:00 -6:00"},
         "2003-05-01 18:00 to 2003-05-08 18:00"),
        ([0, 2], {"units": "days since 2000-01-01", "scale_factor": 0.5, "add_offset": 1},
         "2000-01-02 to 2000-01-03"),
        ([0, 2], {"units": "months since 2003-05-01"}, "0 to 2"),
        ([0, 2], {"units": "days since 2003-05-01", "calendar": "martian"}, "0 to 2"),
        ([0.0, 1e300], {"units": "days since 2003-05-01"}, "0 to 1e+300"),
        ([0, 2**62], {"units": "weeks since 2003-05-01"}, f"0 to {2**62}"),
        ([1000.0, 850.5], {"units": "hPa"}, "1000 to 850.5"),
        (np.array([1.1, 2], "f4"), {}, "1.1 to 2"),
        (["a", "b"], {"units": "days since 2003-05-01"}, "a to b"),
        (np.array([b"a", b"b"]), {}, "a to b"),
        (np.array(["2001-01-01", "2001-01-01T06"], "M8[ns]"), {},
         "2001-01-01 00:00 to 2001-01-01 06:00"),
    ],
)  # fmt: skip
def test_between(values, attributes, said):
    assert labels(values, **attributes).between(0, 2) == said


def test_outside_and_not_a_time():
    found = labels([0.0, np.nan, 2.0], units="days since 2003-05-01")
    assert [found.of(at) for at in (-1, 0, 1, 2, 3)] == [
        None, "2003-05-01", None, "2003-05-03", None,
    ]  # fmt: skip
    assert Labels().of(0) is None
    assert found.between(0, 2) is None


def test_values_that_are_none_have_no_label():
    found = labels([0, -1, 2, 3], [False, False, False, True], _FillValue=-1)
    assert found.texts.to_pylist() == ["0", None, "2", None]
    times = labels(np.array(["2001-01-01", "NaT"], "M8[s]"))
    assert times.texts.to_pylist() == ["2001-01-01", None]


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 2**20), min_size=1, max_size=5),
    st.sampled_from(["f2", "f4", "f8"]),
    st.sampled_from(["days", "hours", "minutes"]),
)
def test_dates_of_floats_are_those_of_xarray_to_the_millisecond(numbers, dtype, unit):
    """Of floats of 32 bits, too: a product in as many would be off by a minute."""
    values = (np.array(numbers, "f8") / 24).clip(max=6e4).astype(dtype)
    attributes = {"units": f"{unit} since 1900-01-01", "calendar": "proleptic_gregorian"}
    coded = xarray.Dataset({"t": ("t", values.astype("f8"), attributes)})
    wanted = xarray.decode_cf(coded)["t"].values.astype("M8[us]")
    found = labels(values, **attributes).texts.to_pylist()
    off = np.abs(np.array(found, "M8[us]") - wanted)
    assert off.max() <= np.timedelta64(501, "us"), (found, wanted)


@pytest.mark.parametrize("time", [True, False])
@pytest.mark.parametrize(
    ("values", "attributes"),
    [
        (np.array([100, -100], "i1"), {"_Unsigned": "true"}),
        (np.array([100, -100], ">i2"), {"_Unsigned": "true", "scale_factor": 0.5}),
        (np.array([100, 200], "u1"), {"_Unsigned": "false"}),
        (np.array([100, 200], "u1"), {"_Unsigned": "true"}),
        (np.array([100, -100], "i1"), {"_Unsigned": "no"}),
        (np.array([-1, 100], "i1"), {"_Unsigned": "true", "_FillValue": np.uint8(255)}),
        (np.array([1, 2, 3], "i4"), {"missing_value": [1, 2]}),
        (np.array([1, 2, 3], "f4"), {"missing_value": [1.0, 2.0]}),
    ],
)
@pytest.mark.filterwarnings("ignore:variable 't' has multiple fill values")
def test_numbers_are_those_that_xarray_reads(values, attributes, time):
    if time:
        attributes = attributes | {"units": "days since 1900-01-01"}
    coded = xarray.Dataset({"t": ("t", values, attributes)})
    wanted = xarray.decode_cf(coded)["t"].values
    plain = {
        name: getattr(value, "tolist", lambda v=value: v)() for name, value in attributes.items()
    }
    found = labels(values, **plain).texts.to_pylist()
    if time:
        assert found == [None if np.isnat(one) else str(one)[:10] for one in wanted]
    else:
        assert [np.nan if one is None else float(one) for one in found] == pytest.approx(
            wanted.astype("f8").tolist(), nan_ok=True
        )


def test_floats_of_v3_that_xarray_masks_have_no_dates(tmp_path):
    """It spells what it masks in base64 there."""
    coded = xarray.Dataset({"time": ("time", [0.0, -9999.0, 2.5])})
    coded["time"].attrs["units"] = "days since 2000-01-01"
    coded["time"].encoding["_FillValue"] = -9999.0
    coded["v"] = ("time", np.ones(3))
    chunks = {"v": {"chunks": (1,)}}
    coded.to_zarr(tmp_path / "s.zarr", zarr_format=3, encoding=chunks, consolidated=False)
    (tmp_path / "s.zarr/v/c/1").unlink()
    parchunk.build(tmp_path / "s.zarr", tmp_path / "out")
    assert missing(tmp_path / "out") == [("v", None)]
    with parchunk.connect(tmp_path / "out") as connection:
        rows = connection.execute("SELECT label FROM labels ORDER BY element").fetchall()
    assert rows == [("2000-01-01 00:00",), (None,), ("2000-01-03 12:00",)]


@settings(max_examples=60)
@given(
    st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=5),
    st.sampled_from(["nanoseconds", "microseconds", "seconds", "hours"]),
)
def test_dates_are_those_of_python(values, unit):
    step = {"nanoseconds": 1, "microseconds": 1000, "seconds": 10**9, "hours": 3600 * 10**9}[unit]
    values = [value // step for value in values]
    found = labels(values, units=f"{unit} since 1970-01-01", calendar="proleptic_gregorian")
    for at, value in enumerate(values):
        seconds, part = divmod(value * step, 10**9)
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
        wanted = f"{moment:%Y-%m-%d %H:%M:%S}.{part:09d}"
        assert wanted.startswith(found.of(at))
        rest = wanted[len(found.of(at)) :]
        assert not rest.strip("0:. "), "nothing is lost of any of them"


@pytest.mark.parametrize("inlined", [True, False])
def test_groups_with_coordinates_of_their_own_share_dates_only_where_these_are_the_same(
    tmp_path, inlined
):
    """Hours of the root are no dates of a group's days; a copy, in other units too, is one."""
    store = tmp_path / "s.zarr"
    for group, units, values in (
        ("", "hours since 2000-01-01", np.arange(4) * 24),
        ("copy/", "days since 1999-12-31", np.arange(4) + 1),
        ("alone/", "", None),
    ):
        write(store, group, units, values)
    options = {"region": "day", "inline_coordinates": inlined}
    parchunk.build(parchunk.plan(store, **options), tmp_path / "same")
    assert missing(tmp_path / "same") == [(f"{group}v", "2000-01-02") for group in GROUPS]
    write(store, "daily/", "days since 1990-01-01", np.arange(4))
    with pytest.raises(parchunk.InputError, match=r"\(time, copy/time, daily/time do not say the"):
        parchunk.plan(store, **options)
    parchunk.build(parchunk.plan(store, inline_coordinates=inlined), tmp_path / "other")
    assert {label for _, label in missing(tmp_path / "other")} == {None}
    with pytest.raises(parchunk.InputError, match=r"daily/time do not say the same, or "):
        parchunk.audit(tmp_path / "other", by="day")
    year = zarr.create_array(
        store / "mean/v", shape=(2,), chunks=(1,), dtype="i4", dimension_names=("time",)
    )
    year[:] = 1
    with pytest.raises(parchunk.InputError, match=r"\(daily/time is of another group than arrays"):
        parchunk.plan(store, include=["daily/*", "mean/v"], **options)
    one = parchunk.plan(store, group="daily", **options)
    parchunk.build(one, tmp_path / "one")
    assert missing(tmp_path / "one") == [("v", "1990-01-02")]
