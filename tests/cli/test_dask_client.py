"""A client that finds no scheduler leaves nothing for the garbage collector to close."""

import gc
from typing import Any

import pytest

from parchunk.cli import dask
from parchunk.errors import InputError


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:1", "me:it@127.0.0.1:1", "tcp://me:it@127.0.0.1", "nope://x", "", ":"],
)
def test_clients_without_a_scheduler_are_closed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    if address == "tcp://127.0.0.1:1":  # the others are no addresses: nothing is waited for
        monkeypatch.setattr(dask, "_PATIENCE", 0.2)

    def clients() -> list[Any]:
        return [each for each in gc.get_objects() if type(each) is distributed.Client]

    before = clients()
    gc.disable()  # it would close them, in whatever thread it comes
    try:
        with (
            pytest.raises(InputError, match="no scheduler answers there"),
            dask.dask_client(address),
        ):
            raise AssertionError("there is none")
        made = [each for each in clients() if not any(each is other for other in before)]
        assert {each.status for each in made} == {"closed"}
    finally:
        gc.enable()
