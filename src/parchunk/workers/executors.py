"""Calls in an executor of the caller's, under names that people read, and what came of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any, TypeVar

from parchunk.errors import ParchunkError, SourceError

_R = TypeVar("_R")


def client_of(executor: Executor) -> Any:
    """Return the Dask client behind an executor; None where it is another one."""
    is_dask = type(executor).__module__.split(".")[0] == "distributed"
    return getattr(executor, "_client", None) if is_dask else None


def submit(
    executor: Executor,
    name: str,
    call: Callable[..., _R],
    *arguments: Any,
    again: str = "run again to resume",
) -> Future[_R]:
    """Submit a call by its name, where the executor calls tasks by any.

    Raises
    ------
    SourceError
        Naming it, where the executor takes no calls any more; ``again`` is what to do then.
    """
    named: dict[str, Any] = {}
    client = client_of(executor)
    if client is not None:
        # A key of its own: Dask takes two tasks of one key for the same one. It shows what stands
        # before the first hyphen.
        named = {"key": f"{name.replace('-', '–')}-{uuid.uuid4().hex}", "pure": False}
    try:
        return executor.submit(call, *arguments, **named)
    except BrokenExecutor:
        raise _died(name, again) from None
    except Exception:
        if client is None or client.status not in ("closing", "closed"):
            raise
        raise _dropped(name, again) from None


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
        raise _dropped(name, again) from None
    except Exception as error:
        if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker":
            raise _died(name, again) from None
        raise


def _dropped(name: str, again: str) -> SourceError:
    return SourceError(
        f"{name}: the executor dropped it before it was done: see whether its scheduler and "
        f"workers are alive, and {again}"
    )


def _died(name: str, again: str) -> SourceError:
    return SourceError(
        f"{name}: workers that ran it died, perhaps for lack of memory: lower --memory, or give "
        f"workers more, and {again}"
    )
