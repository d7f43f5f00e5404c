"""Bounds that pages tell are those that the code goes by."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from parchunk.auditing.source_contents import ALL_OF_LITTLE
from parchunk.building import effort
from parchunk.cover.limits import USUAL
from parchunk.cover.memory import (
    ARRAY_BYTES,
    DEFAULT_CONCURRENCY,
    DEFAULT_MEMORY,
    INCLUDED,
    PARTITION_BYTES,
    held_within,
)
from parchunk.errors import InputError
from parchunk.icechunk_import.importing import MAX_REFERENCES, MEMORY
from parchunk.icechunk_import.manifests import MOST as MANIFEST_REFERENCES
from parchunk.icechunk_import.memory import TOGETHER
from parchunk.listing.wire.server import Limits
from parchunk.metadata.data_type import MAX_ITEMSIZE
from parchunk.metadata.shards import ENTRY_BYTES
from parchunk.out import receipt_blocks
from parchunk.out.lease import EXPIRY, RENEWAL
from parchunk.planning import coordinates
from parchunk.planning.choice import RECORD_ROWS
from parchunk.planning.joining.equality import MOST_BYTES as MOST_COMPARED
from parchunk.stores.oversized import MAX_BYTES
from parchunk.workers.attendance import PATIENCE

ROOT = Path(__file__).parents[2]
INDEX_BYTES = USUAL.index_bytes
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "million": 1_000_000, "": 1}

#: What a page says, and of each number in it what it is.
TOLD = [
    ("building.md", r"`--memory SIZE` \(default (\w+)\)", [DEFAULT_MEMORY]),
    ("building.md", r"`--concurrency N`\s+\(default (\w+)\)", [DEFAULT_CONCURRENCY]),
    ("building.md", r"largest number up to ([\d,]+) that no", [RECORD_ROWS]),
    ("building.md", r"([\d.]+ KiB) for\s+an array of one p", [ARRAY_BYTES + PARTITION_BYTES]),
    (
        "building.md",
        r"up to ([\d,]+ MiB) and ([\d,]+) chunks\)",
        [coordinates.MOST_BYTES, coordinates.MOST_CHUNKS],
    ),
    (
        "building.md",
        r"\(up to (\d+) in a process, and as far as (\d+ MiB)",
        [effort._WRITES, effort._WRITTEN_BYTES],
    ),
    ("guarantees.md", r"does not answer, that is said after (\d+) seconds", [PATIENCE]),
    ("scale.md", r"says so in one line after\s+(\d+) seconds", [PATIENCE]),
    ("relocating.md", r"within `--memory` \((\w+) by", [DEFAULT_MEMORY]),
    ("documents.md", r"elements of more than (\d+ MiB)\.", [MAX_ITEMSIZE]),
    ("documents.md", r"document of more than (\d+ MiB) is refused", [MAX_BYTES]),
    ("guarantees.md", r"document of more than (\d+ MiB) is refused", [MAX_BYTES]),
    ("guarantees.md", r"Leases last (\d+) s and are renewed every (\d+) s\.", [EXPIRY, RENEWAL]),
    ("guarantees.md", r"renewal of one of them, (\d+) s at most", [RENEWAL]),
    ("scale.md", r"renewed every (\d+) s and over after (\d+),", [RENEWAL, EXPIRY]),
    (
        "layout.md",
        r"([\d,]+) receipts, or (\d+ MiB) of them, or (\d+) seconds",
        [receipt_blocks.MOST, receipt_blocks.MOST_BYTES, receipt_blocks.MOST_SECONDS],
    ),
    (
        "audit.md",
        r"more than ([\d,]+) indexes or inlined chunks, or (\d+ GiB) of either",
        [ALL_OF_LITTLE.objects, ALL_OF_LITTLE.size],
    ),
    (
        "shards.md",
        r"one every (\d+ MiB) \(([\d,]+) inner chunks\)",
        [INDEX_BYTES, INDEX_BYTES // ENTRY_BYTES],
    ),
    ("stores.md", r"the same values in all stores, up to (\d+ MiB)", [MOST_COMPARED]),
    ("icechunk.md", r"default (\w+)\) bounds the peak", [MEMORY]),
    ("icechunk.md", r"`--max-references`\s+\((\d+ million)\)", [MAX_REFERENCES]),
    ("icechunk.md", r"up to about ([\d,]+) references", [MANIFEST_REFERENCES]),
    ("icechunk.md", r"write those of up to (\d+),", [TOGETHER]),
    ("wire.md", r"and go on, within (\d+) seconds", [Limits().quiet]),
]


def number(told: str) -> float:
    """Return what ``512MiB``, ``2.5 KiB``, ``20 million`` or ``1,000`` is."""
    found = re.fullmatch(r"([\d.,]+) ?(\w*)", told)
    assert found
    return float(found[1].replace(",", "")) * UNITS[found[2]]


@pytest.mark.parametrize(("page", "said", "held"), TOLD)
def test_bounds_are_what_pages_say(page: str, said: str, held: list[float]) -> None:
    found = re.search(said, (ROOT / "docs" / page).read_text())
    assert found, said
    assert [number(one) for one in found.groups()] == held


def most_within(memory: int, arrays: int) -> None:
    """Hold so many arrays of one small partition in memory, or be refused."""
    kept = max(arrays - INCLUDED, 0) * (ARRAY_BYTES + PARTITION_BYTES)
    held_within(memory, 96, DEFAULT_CONCURRENCY, kept=kept)


def test_what_very_many_arrays_take_is_what_is_said() -> None:
    said = re.search(r"from some ([\d,]+) small ones", (ROOT / "CHANGELOG.md").read_text())
    assert said
    edge = int(number(said[1]))
    most_within(DEFAULT_MEMORY, edge)
    with pytest.raises(InputError):
        most_within(DEFAULT_MEMORY, edge * 102 // 100)
    said = re.search(
        r"a million small arrays are refused below (\w+),", (ROOT / "docs/building.md").read_text()
    )
    assert said
    with pytest.raises(InputError, match=f"give {said[1]} or more"):
        most_within(DEFAULT_MEMORY, 1_000_000)
