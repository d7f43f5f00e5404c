"""``--dask ADDRESS``: a Dask cluster that runs the tasks of a command."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import click

from parchunk.errors import InputError
from parchunk.extras import require
from parchunk.stores.redaction import redact

_F = TypeVar("_F", bound=Callable[..., Any])
#: Seconds that the scheduler may take to answer.
_PATIENCE = 30


def dask_option(
    doing: str, more: str = "; --memory and --concurrency are for each task"
) -> Callable[[_F], _F]:
    """Return ``--dask``; ``doing`` is what is done on the cluster, and ``more`` is said of it."""
    return click.option(
        "--dask",
        metavar="ADDRESS",
        help=f"{doing} on the Dask cluster whose scheduler is at ADDRESS (tcp://HOST:8786){more}.",
    )


@contextmanager
def dask_client(address: str | None) -> Iterator[Any]:
    """Yield a client of the cluster whose scheduler is at ``address``; None without one.

    Raises
    ------
    InputError
        When no scheduler answers there.
    MissingExtraError
        When Dask is not installed.
    """
    if address is None:
        yield None
        return
    require("distributed", "dask")
    import distributed

    for name in ("distributed", "distributed.client"):  # Dask gives the second a level of its own
        # What goes wrong is raised here, in one line: a lost scheduler would be pages.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    made = cast(Any, distributed).Client
    client = made.__new__(made)  # to be closed where its constructor ends in an error, too
    try:
        client.__init__(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        # The garbage collector closes it in any thread, and waits for a lock of all loops: where
        # another loop begins in that thread, both wait for each other.
        client.close()
        reason = " ".join(str(error).split()) or type(error).__name__
        # Dask repeats an address without its scheme, or a part of it that it took for the port.
        user = address.rpartition("@")[0].rpartition("//")[2]
        hidden = [user, *(part for part in re.split("[:/]", user) if part)]
        # Each by itself: a user called dask is no word of this message.
        raise InputError(
            f"--dask {redact(address, hidden)}: no scheduler answers there "
            f"({redact(reason, hidden)}); give its address, such as tcp://10.0.0.1:8786"
        ) from None
    with client:
        yield client
