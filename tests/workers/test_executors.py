"""Executors that take no calls any more are an error that names what was to be done."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import pytest

from parchunk.errors import SourceError
from parchunk.workers.executors import submit


def test_a_pool_whose_workers_died_takes_nothing_more() -> None:
    def fail() -> None:
        raise OSError("no room")

    with ThreadPoolExecutor(1, initializer=fail) as executor:
        executor.submit(print)
        with pytest.raises(BrokenExecutor):
            executor.submit(print).result()
        with pytest.raises(SourceError, match="v region 1: workers that ran it died") as caught:
            submit(executor, "v region 1", print)
    assert str(caught.value).endswith("and run again to resume")
