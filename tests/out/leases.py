"""An OUT, and the lease of another build in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from obstore.store import MemoryStore

from parchunk.out.holder import Holder
from parchunk.out.lease import held
from parchunk.out.opening import open_output
from parchunk.out.output import LEASE, Output
from parchunk.out.remote import RemoteOutput
from parchunk.stores.opening import Location


def output_in(kind: str, tmp_path: Path) -> Output:
    if kind == "local":
        return open_output(str(tmp_path / "out"))
    return RemoteOutput(Location("memory://out"), MemoryStore(), "out")


def write_lease(output: Output, **changes: Any) -> Holder:
    """Leave the lease that another build took, as it would have."""
    with held(output):
        seen = output.get(LEASE)
    assert seen is not None
    holder = Holder.decode(seen)
    assert holder is not None
    holder = replace(holder, **({"lasts": 0.0} | changes))
    output.put_if(LEASE, holder.encode(), None)
    return holder


def holder_in(output: Output) -> Holder:
    """Return who holds the lease of OUT."""
    holder = Holder.decode(output.get(LEASE) or b"")
    assert holder is not None
    return holder
