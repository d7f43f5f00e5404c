"""Many looks at OUT, side by side where each is a request."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from parchunk.out.output import Output

T = TypeVar("T")

#: Objects read, written or listed at a time.
AT_ONCE = 16


def of_each(
    output: Output, look: Callable[[str], T], paths: Sequence[str], held: int = AT_ONCE
) -> Generator[T]:
    """Yield what a ``look`` at each path in OUT comes to, in their order.

    No more than ``held`` of what they come to are held at a time.
    """
    if not output.costs_requests:
        yield from map(look, paths)
        return
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="out") as pool:
        for begin in range(0, len(paths), held):
            yield from pool.map(look, paths[begin : begin + held])
