"""Turns: of parts that begin at once, one sorts the inventory, and the others wait for its rows.

Who sorts holds a lease of its own in OUT, ``.parchunk/sorting.json``, which expires and is taken
over as that of a build. Two who sort at once do each other no harm, so that nothing is made sure of
where a lease is lost, or a store ignores conditions: it is only there to spare work.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from parchunk.errors import HeldError
from parchunk.inventories.sorted_objects import Origin, SortedObjects
from parchunk.out.holder import Holder
from parchunk.out.kept_rows import rows_given
from parchunk.out.lease import Lease
from parchunk.out.output import SORTING, Output

#: Seconds that a turn lasts unless it is renewed, and between two renewals: a killed one keeps all
#: others waiting for so long, where it ran on another machine.
EXPIRY, RENEWAL = 30.0, 8.0
#: Seconds between two looks at whose turn it is: they grow, as a large inventory takes long.
_FIRST, _LONGEST = 0.2, 5.0
_GROWTH = 1.5


@dataclass
class Turn:
    """What a part begins with: ``rows`` that another has sorted, or None: it is to sort them.

    While it does, it holds the ``lease``; without one it sorts whatever others do.
    """

    rows: SortedObjects | None = None
    lease: Lease | None = None

    def end(self) -> None:
        """Let others see what there is now; once is enough."""
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.release()


@contextlib.contextmanager
def sorting_turn(origin: Origin, identity: str, output: Output) -> Iterator[Turn]:
    """Yield the rows of an inventory's files as OUT keeps them, or the turn to sort them.

    Waits as long as another sorts the same files. Where that one has ended without any rows, as it
    has failed, nobody waits any more.

    Raises
    ------
    OutputError
        When OUT cannot be read or written.
    """
    turn = _turn(origin, identity, output) if all(origin.marks) else Turn()
    try:
        yield turn
    finally:
        turn.end()


def _turn(origin: Origin, identity: str, output: Output) -> Turn:
    purpose = f"sort {_digest(origin, identity)}"
    waited, refused_by = False, ""
    while (rows := rows_given(origin, identity, output)) is None:
        holder = _holder(output)
        if holder is not None and not _is_over(holder):
            if holder.purpose != purpose:
                return Turn()  # another inventory: the plan that is there will refuse one of them
            _wait_for(holder, output)
            waited = True
            continue
        # The one before has failed; or it lasts by its own clock, which is not this one's.
        if holder.id == refused_by if holder is not None else waited:
            return Turn()
        lease = Lease(output, EXPIRY, RENEWAL, purpose, SORTING)
        try:
            lease.take()
        except HeldError:  # perhaps as others came at the same moment
            refused_by = "" if holder is None else holder.id
            continue
        if (rows := rows_given(origin, identity, output)) is None:
            return Turn(lease=lease)
        lease.release()
    return Turn(rows)


def _wait_for(holder: Holder, output: Output) -> None:
    """Wait until a holder does not hold the turn any more."""
    pause = _FIRST
    now: Holder | None = holder
    while now is not None and now.id == holder.id and not _is_over(now):
        time.sleep(random.uniform(pause / 2, pause))
        pause = min(pause * _GROWTH, _LONGEST)
        now = _holder(output)


def _is_over(holder: Holder) -> bool:
    return holder.may_be_taken(time.time())


def _holder(output: Output) -> Holder | None:
    data = output.get(SORTING)
    return None if data is None else Holder.decode(data)


def _digest(origin: Origin, identity: str) -> str:
    # Machines may call the files other names.
    said = json.dumps([origin.marks, origin.root, origin.place, identity]).encode()
    return hashlib.blake2b(said, digest_size=16).hexdigest()
