"""SIGINT and SIGTERM: the command ends within seconds, whatever it waits for, and says so."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

#: Seconds in which a build may end in order: what is being written is written, OUT released.
#: Then it is ended all the same, as if killed: a listing may hang for as long as a server likes.
GRACE = 4.0
#: What Ctrl-C calls while it cancels what is at a prompt, and nothing else.
_cancel: list[Callable[[], object]] = []


class Interrupted(BaseException):
    """SIGINT or SIGTERM came. No KeyboardInterrupt: click would print an empty line for that."""


@contextlib.contextmanager
def interrupts(give_up: Callable[[], object]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into `Interrupted`; end the process after `GRACE`.

    Later ones are ignored, also after this context, so that nothing disturbs the orderly end of
    the process. ``give_up`` is called before it is ended, from another thread, as this one may hang
    in a request.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's to arrange
        return
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    over, ends = threading.Event(), threading.Lock()
    seen = False

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal seen
        if not seen:
            seen = True
            raise Interrupted

    def watch() -> None:
        # The byte comes from the handler in C: this thread knows even while the main one hangs.
        while not over.is_set():
            numbers = reading.recv(64)
            if not numbers or over.is_set():
                return
            if _cancel and signal.SIGINT in numbers and signal.SIGTERM not in numbers:
                _cancel[-1]()
            elif signal.SIGINT in numbers or signal.SIGTERM in numbers:
                if not over.wait(GRACE):
                    with ends:  # it may have come to its end at this moment, and says so then
                        if over.is_set():
                            return
                        for child in multiprocessing.active_children():
                            child.kill()
                        give_up()
                        os._exit(130)
                return

    watcher = threading.Thread(target=watch, name="interrupts", daemon=True)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    wakeup = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    try:
        for number in before:
            # What the caller has told to be ignored (nohup, a shell's &) stays ignored.
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, interrupt)
        watcher.start()
        yield
    finally:
        with ends:  # not while the process is being ended
            over.set()
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            # A handler in Python is replaced by the system's own while the interpreter ends.
            signal.signal(number, signal.SIG_IGN if seen else handler)
        writing.close()
        watcher.join(1)
        reading.close()


@contextlib.contextmanager
def cancelling(cancel: Callable[[], object]) -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt within `interrupts`, as often as it comes.

    For a prompt, where it cancels a line or a query and leaves the command running. ``cancel`` is
    called from another thread, as this one may be waiting for what is to be cancelled.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return
    _cancel.append(cancel)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _cancel.remove(cancel)
