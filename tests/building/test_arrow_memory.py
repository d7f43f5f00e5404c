"""The process's Arrow memory is as it was when the last build has ended."""

import platform
from pathlib import Path
from resource import getpagesize

import pyarrow as pa
import pytest

from parchunk.building.arrow_memory import SystemMemory
from parchunk.building.pools import Pools


def test_the_last_one_puts_it_back() -> None:
    before = pa.default_memory_pool().backend_name
    assert before != "system", "nothing to be seen with this pyarrow"
    memory = SystemMemory()
    memory.use()
    memory.use()
    memory.leave()
    assert pa.default_memory_pool().backend_name == "system"
    memory.leave()
    assert pa.default_memory_pool().backend_name == before


def test_builds_end_in_any_order() -> None:
    before = pa.default_memory_pool().backend_name
    first, second = Pools(1), Pools(1)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert pa.default_memory_pool().backend_name == "system"
    second.__exit__(None, None, None)
    assert pa.default_memory_pool().backend_name == before


def resident() -> int:
    """Return the bytes that are resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep nothing back")
def test_memory_that_is_free_is_given_back_before_jobs_begin() -> None:
    size, count = 64 << 10, 500
    held = [b"\1" * size for _ in range(count)]
    last = held.pop()  # behind all others, so that they are not given back as they go
    held.clear()
    before = resident()
    memory = SystemMemory()
    memory.use()
    memory.leave()
    assert before - resident() > size * count // 2
    assert len(last) == size
