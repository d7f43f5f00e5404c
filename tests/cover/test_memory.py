"""Memory is accounted for by what is held: more listings side by side leave less for sizes."""

import re

import pytest

from parchunk.cover.memory import (
    CHUNK_BYTES,
    LISTING_BYTES,
    ROOMY_LISTINGS,
    SLIM_LISTING_BYTES,
    held_within,
)
from parchunk.errors import InputError


@pytest.mark.parametrize(
    ("few", "many", "cost"),
    [
        (1, ROOMY_LISTINGS, (ROOMY_LISTINGS - 1) * LISTING_BYTES),
        (ROOMY_LISTINGS, 512, (512 - ROOMY_LISTINGS) * SLIM_LISTING_BYTES),
    ],
)
def test_each_listing_takes_of_what_sizes_have(few: int, many: int, cost: int) -> None:
    held = [held_within(512 << 20, 100_000, listings) for listings in (few, many)]
    assert (held[0] - held[1]) * CHUNK_BYTES == cost


@pytest.mark.parametrize("processes", [1, 3])
def test_more_than_fit_are_refused_and_what_is_named_is_enough(processes: int) -> None:
    with pytest.raises(InputError, match="1024 listings side by side") as refused:
        held_within(512 << 20, 100_000, 1024, processes=processes)
    named = int(re.findall(r"give (\d+)MiB or more", str(refused.value))[0])
    assert held_within(named << 20, 100_000, 1024, processes=processes) >= 100_000
    with pytest.raises(InputError):
        held_within((named - processes) << 20, 100_000, 1024, processes=processes)
