"""Options that would change nothing, as what they are for is not asked: refused by name."""

from __future__ import annotations

from collections.abc import Mapping

from parchunk.errors import InputError


def refuse_idle(needed: str, given: Mapping[str, object]) -> None:
    """Refuse those options that are ``given``, as they are spelled, where ``needed`` is not.

    A value that is false says nothing, and counts as not given.

    Raises
    ------
    InputError
        Naming all of them.
    """
    idle = [option for option, value in given.items() if value]
    if idle:
        named = " and ".join(filter(None, [", ".join(idle[:-1]), idle[-1]]))
        verb, them = ("is", "it") if len(idle) == 1 else ("are", "them")
        raise InputError(f"{named} {verb} for {needed}: give that, too, or leave {them} out")
