"""Numbers as people read them, at every border of their units."""

import pytest

from parchunk.wording import bytes_text, part_of


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (999.4 * 1024, "999 KiB"),
        (1000 * 1024, "1000 KiB"), (1023.4 * 1024, "1023 KiB"), (1023.6 * 1024, "1 MiB"),
        (1020 * 2**50, "1020 PiB"), (2000 * 2**50, "2000 PiB"),
    ],
)  # fmt: skip
def test_bytes_are_never_a_power_of_ten(number: float, said: str) -> None:
    assert bytes_text(number) == said


@pytest.mark.parametrize(
    ("number", "total", "said"),
    [(1, 1, "1 of 1 shard is"), (0, 1, "0 of 1 shard is"), (1, 2_000, "1 of 2,000 shards are")],
)
def test_a_part_of_one_is_a_part_of_one(number: int, total: int, said: str) -> None:
    assert part_of(number, total, "shard is", "shards are") == said
