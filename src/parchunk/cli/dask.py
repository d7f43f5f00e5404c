"""``--dask ADDRESS``: a Dask cluster that runs the tasks of a build."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from parchunk.errors import InputError
from parchunk.extras import require

#: Seconds that the scheduler may take to answer.
_PATIENCE = 30


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

    logging.getLogger("distributed").setLevel(logging.ERROR)  # errors of tasks are raised here
    try:
        client = cast(Any, distributed).Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"--dask {address}: no scheduler answers there ({reason}); give its address, such as "
            "tcp://10.0.0.1:8786"
        ) from None
    with client:
        yield client
