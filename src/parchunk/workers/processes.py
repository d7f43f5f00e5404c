"""Worker processes: they leave Ctrl-C to their parent, and end when it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from parchunk.errors import SourceError

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Processes(ProcessPoolExecutor):
    """Processes that are spawned, never forked: what the caller has loaded may have threads."""

    def __init__(self, workers: int) -> None:
        super().__init__(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_quiet
        )

    def submit(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Submit a call; workers that start on it do not see Ctrl-C, not even before `_quiet`.

        Raises
        ------
        BrokenExecutor
            When one cannot be started, too, as where another died at this moment.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(fn, *args, **kwargs)
        except OSError as error:
            raise BrokenExecutor(f"no worker could be started ({error})") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def worker_processes(workers: int) -> Iterator[Processes]:
    """Yield processes, which are ended at once by whatever is raised meanwhile.

    Raises
    ------
    SourceError
        When one of them died.
    """
    before = multiprocessing.active_children()  # of the caller's: not ours to end
    with Processes(workers) as pool:
        try:
            yield pool
        except BaseException as error:
            ours = [child for child in multiprocessing.active_children() if child not in before]
            for process in ours:
                process.terminate()
            # Waited for, which is short now: else the pool's semaphores are left behind.
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(error, BrokenExecutor):
                raise SourceError(
                    "a worker process died, perhaps for lack of memory: lower --memory or "
                    "--workers, and run again to resume"
                ) from None
            raise


def _quiet() -> None:
    """Leave Ctrl-C to the parent, which ends its workers itself, and end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent dies: it must not write after OUT is somebody else's."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
