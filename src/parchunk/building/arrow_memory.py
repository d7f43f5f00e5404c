"""Where Arrow takes memory from while something is built.

Arrow's own pool keeps, for every thread, what that thread took once: that came to more than all
that a build holds. Which pool is used is a setting of the whole process, so it is put back.

The system's allocator keeps what is free, too, for whoever wants it next: of documents of very many
arrays that is megabytes beside what jobs hold. So it is told to give that back before they begin,
and when they have ended.
"""

from __future__ import annotations

import threading

import pyarrow as pa


class SystemMemory:
    """Counts who needs the system's memory; builds may run side by side and end in any order."""

    def __init__(self) -> None:
        self._users = 0
        self._before: pa.MemoryPool | None = None
        self._lock = threading.Lock()

    def use(self) -> None:
        """Let Arrow take memory from the system until as many have left."""
        with self._lock:
            if not self._users:
                self._before = pa.default_memory_pool()
                pa.set_memory_pool(pa.system_memory_pool())
                pa.system_memory_pool().release_unused()
            self._users += 1

    def leave(self) -> None:
        """Put back what was before, when this is the last one."""
        with self._lock:
            self._users -= 1
            if not self._users:
                pa.set_memory_pool(self._before)
                pa.system_memory_pool().release_unused()


SYSTEM_MEMORY = SystemMemory()
