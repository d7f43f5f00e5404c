"""Calls in an executor of the caller's, under names that people read, and what came of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any, TypeVar

from parchunk.errors import ParchunkError, SourceError

_R = TypeVar("_R")


def submit(executor: Executor, name: str, call: Callable[..., _R], *arguments: Any) -> Future[_R]:
    """Submit a call by its name, where the executor calls tasks by any."""
    named: dict[str, Any] = {}
    if type(executor).__module__.split(".")[0] == "distributed":
        # A key of its own: Dask takes two tasks of one key for the same one. It shows what stands
        # before the first hyphen.
        named = {"key": f"{name.replace('-', '–')}-{uuid.uuid4().hex}", "pure": False}
    return executor.submit(call, *arguments, **named)


def result_of(future: Future[_R], name: str, again: str = "run again to resume") -> _R:
    """Return what a call came to; ``again`` is what to do where workers died.

    Raises
    ------
    SourceError
        Naming it, where it was not the call itself that failed.
    """
    try:
        return future.result()
    except ParchunkError:
        raise
    except CancelledError:
        raise SourceError(
            f"{name}: the executor dropped it before it was done: see whether its scheduler "
            f"and workers are alive, and {again}"
        ) from None
    except Exception as error:
        if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker":
            raise SourceError(
                f"{name}: workers that ran it died, perhaps for lack of memory: lower "
                f"--memory, or give workers more, and {again}"
            ) from None
        raise
