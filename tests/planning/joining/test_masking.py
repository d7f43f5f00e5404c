"""Which stored numbers stand for no value, compared with what xarray reads as none."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray
from hypothesis import example, given
from hypothesis import strategies as st

from parchunk.metadata.spec import ArraySpec
from parchunk.metadata.v2 import parse_v2_array
from parchunk.planning.joining.masking import masked, sentinels_of


def spec_of(values: np.ndarray[Any, Any], attributes: dict[str, Any]) -> ArraySpec:
    document = {
        "zarr_format": 2, "shape": list(values.shape), "chunks": list(values.shape),
        "dtype": values.dtype.str, "fill_value": None, "order": "C", "filters": None,
        "compressor": None,
    }  # fmt: skip
    return parse_v2_array("v", document, {"_ARRAY_DIMENSIONS": ["x"], **attributes})


def read_as_none(values: np.ndarray[Any, Any], attributes: dict[str, Any]) -> list[bool]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = xarray.conventions.decode_cf_variable(
            "v", xarray.Variable(("x",), values, attributes)
        )
    found: list[bool] = read.isnull().to_numpy().tolist()
    return found


@given(
    st.sampled_from(
        ["|i1", "|u1", "<i2", ">i2", "<u4", "<i4"]
    ),  # of longer ones it compares floats
    st.sampled_from(["true", "false", "no", True, None]),
    st.sampled_from(["_FillValue", "missing_value"]),
    st.integers(-(2**65), 2**65) | st.integers(-400, 400) | st.integers(-400, 400).map(float),
)
@example("|i1", "true", "missing_value", 300)
@example("|i1", "true", "_FillValue", 1000)
@example("|u1", "false", "_FillValue", -300)
@example("|i1", "true", "missing_value", 255.0)
def test_numbers_that_are_none_are_those_of_xarray(
    dtype: str, said: Any, name: str, number: float
) -> None:
    """Spelled with a sign or without; what is too large for both is no value's bits."""
    kind = np.dtype(dtype)
    bits = 8 * kind.itemsize
    low = int(number) % (1 << bits)
    raw = np.array([low, 0, 1, 44, (1 << bits) - 1, 1 << bits - 1], f"u{kind.itemsize}")
    values = raw.view(f"{kind.kind}{kind.itemsize}").astype(kind)
    signs = {} if said is None else {"_Unsigned": said}
    spelled: float = number
    if (kind.kind, said) in (("i", "true"), ("u", "false")):
        if not -(1 << bits - 1) <= number < 1 << bits:
            name = "missing_value"  # as _FillValue it ends xarray
        else:  # as xarray wants it: _FillValue with a sign, missing_value as it is read
            with_sign = name == "_FillValue" or kind.kind == "u"
            spelled = low - (1 << bits) if with_sign and low >> bits - 1 else low
    spec = spec_of(values, {**signs, name: number})
    found = masked(values, spec, is_coordinate=True).tolist()
    native = values.astype(kind.newbyteorder("="))  # xarray takes others for swapped masks
    assert found == read_as_none(native, {**signs, name: spelled})


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 1.5, -129, 256])
def test_what_no_byte_is_is_no_fill_value(number: float) -> None:
    spec = spec_of(np.zeros(1, "i1"), {"_Unsigned": "true", "_FillValue": number})
    assert sentinels_of(spec, is_coordinate=True) == ([], None)
