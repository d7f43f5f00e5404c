"""What zarr warns of is kept from users for as long as documents are read, and no longer."""

from __future__ import annotations

import warnings
from contextlib import ExitStack

import pytest

from parchunk.metadata.data_type import quiet


def test_filters_of_warnings_are_as_they_were_whoever_leaves_first() -> None:
    """As threads do that read documents at once: one leaves after another came."""
    before = list(warnings.filters)
    first, second = ExitStack(), ExitStack()
    first.enter_context(quiet())
    second.enter_context(quiet())
    first.close()
    warnings.warn("zarr: not specified", FutureWarning, stacklevel=1)
    second.close()
    assert list(warnings.filters) == before
    with pytest.raises(FutureWarning):
        warnings.warn("the user's own", FutureWarning, stacklevel=1)


def test_an_error_leaves_them_too() -> None:
    before = list(warnings.filters)
    with pytest.raises(ValueError), quiet():
        raise ValueError
    assert list(warnings.filters) == before
