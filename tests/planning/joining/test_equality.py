"""When arrays that stores must share are the same: by their values, however these are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.many_stores import Made, write

import parchunk
from parchunk.planning.joining.equality import same_values
from parchunk.planning.joining.misfits import MisfitError

RECORD = [("a", "<f8"), ("b", "<i4")]
NESTED = [("p", RECORD), ("t", "M8[s]")]
RECORDS = np.array([(1.0, 1), (np.nan, 2), (3.0, 3)], RECORD)
MOMENTS = np.array([((np.nan, 1), "NaT"), ((2.0, 2), "2000-01-01")], NESTED)


def other(values: np.ndarray[Any, Any], field: str, place: int, value: Any) -> Any:
    found = values.copy()
    found[field][place] = value
    return found


@pytest.mark.parametrize(
    ("one", "another", "alike"),
    [
        (RECORDS, RECORDS.copy(), True),
        (RECORDS, RECORDS.astype([("a", ">f8"), ("b", ">i8")]), True),
        (RECORDS, other(RECORDS, "b", 1, 9), False),
        (RECORDS, other(RECORDS, "a", 0, np.nan), False),
        (RECORDS, RECORDS.astype([("a", "<f8"), ("c", "<i4")]), False),
        (RECORDS, RECORDS["a"], False),
        (MOMENTS, MOMENTS.copy(), True),
        (MOMENTS, other(MOMENTS, "t", 1, "NaT"), False),
        (np.array([np.nan, -0.0]), np.array([-np.nan, 0.0], ">f4"), True),
        (np.array([True]), np.array([1]), False),
    ],
)
def test_values_are_compared(one: Any, another: Any, alike: bool) -> None:
    assert same_values(one, another) is alike
    assert same_values(another, one) is alike


@pytest.mark.filterwarnings("ignore:The data type")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_records_with_nan_are_the_same_in_other_bytes(tmp_path: Path, zarr_format: int) -> None:
    """Their NaN made other values of them, which `--static first` had to be told of."""
    paths = []
    for at, chunk in enumerate([3, 2]):
        time = Made(np.arange(2) + 2 * at, ("time",))
        made = {"time": time, "site": Made(RECORDS, ("x",), (chunk,))}
        paths.append(write(tmp_path / f"{at}", made, zarr_format))
    assert "site" in parchunk.plan(paths, concat="time").by_name
    write(tmp_path / "1", {"time": time, "site": Made(RECORDS[::-1], ("x",))}, zarr_format)
    with pytest.raises(MisfitError, match="site: has other values in"):
        parchunk.plan(paths, concat="time")
