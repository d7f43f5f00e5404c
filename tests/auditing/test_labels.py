"""Labels of coordinates: dates where CF says so in plain terms, numbers otherwise."""

import numpy as np
import pytest

from parchunk.auditing.labels import Labels, decode
from parchunk.keys.encoding import KeyEncoding
from parchunk.metadata.spec import ArraySpec


def labels(values, **attributes) -> Labels:
    keys = KeyEncoding("c", "/", 1)
    shape = (len(values),)
    spec = ArraySpec("t", 3, shape, shape, "<i8", 8, ("t",), keys, attributes, {})
    return Labels(decode(np.asarray(values), spec))


@pytest.mark.parametrize(
    ("values", "attributes", "said"),
    [
        ([0, 31], {"units": "days since 2003-05-01"}, "2003-05-01 to 2003-06-01"),
        ([0, 6], {"units": "hours since 1900-01-01 00:00"}, "1900-01-01 00:00 to 1900-01-01 06:00"),
        ([0, 1.5], {"units": "days since 2000-1-1T0:00Z"}, "2000-01-01 00:00 to 2000-01-02 12:00"),
        ([0, 1], {"units": "seconds since 2000-1-1"}, "2000-01-01 00:00:00 to 2000-01-01 00:00:01"),
        ([0, 31], {"units": "days since 2003-05-01", "calendar": "noleap"}, "0 to 31"),
        ([0, 2], {"units": "months since 2003-05-01"}, "0 to 2"),
        ([1000.0, 850.0], {"units": "hPa"}, "1000 to 850"),
        (["a", "b"], {"units": "days since 2003-05-01"}, "a to b"),
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
