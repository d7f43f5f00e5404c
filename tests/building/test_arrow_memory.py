"""The process's Arrow memory is as it was when the last build has ended."""

import pyarrow as pa

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
