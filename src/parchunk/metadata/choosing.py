"""Which of a hierarchy's arrays are wanted: by globs on their names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from parchunk.errors import InputError
from parchunk.metadata.discovery import LeftOut
from parchunk.metadata.document import shorten


def fits(name: str, glob: str) -> bool:
    """Whether an array's name is one that a glob means: itself, too, whatever it is made of."""
    return name == glob or fnmatchcase(name, glob)


def select(
    where: str,
    arrays: Sequence[str],
    left_out: Sequence[LeftOut],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    matched: set[str] | None = None,
) -> list[str]:
    """Return the names among ``arrays`` of the group at ``where`` that are wanted.

    Globs that match one are put into ``matched``; without it, one that matches none is refused.

    Raises
    ------
    InputError
        When there are none, or a glob matches none; what is left out anyway may be excluded.
    """
    if not arrays:
        raise InputError(_no_arrays(where, left_out))
    names = [*arrays, *(one.name for one in left_out)]
    for option, globs in (("--include", include), ("--exclude", exclude)):
        for glob in globs:
            known = names if option == "--exclude" else arrays
            if any(fits(name, glob) for name in known):
                if matched is not None:
                    matched.add(glob)
            elif matched is None:
                raise InputError(
                    f"{option} {shorten(glob)} matches no array of {where}: "
                    f"there are {some_of(arrays)}"
                )
    wanted = [
        name
        for name in arrays
        if (not include or any(fits(name, glob) for glob in include))
        and not any(fits(name, glob) for glob in exclude)
    ]
    if not wanted:
        raise InputError(f"--include and --exclude leave no array of {where}: widen them")
    return wanted


def is_named(one: LeftOut, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether what is left out is to be named; below a folder there may be whatever is included."""
    names = (one.name,) if one.is_array else (one.name, f"{one.name}/")
    if any(fits(name, glob) for name in names for glob in exclude):
        return False
    if not one.is_array or not include:
        return True
    return any(fits(one.name, glob) for glob in include)


def some_of(names: Sequence[str]) -> str:
    """Return the first of ``names`` for a message."""
    shown = ", ".join(shorten(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8:,} more"


def _no_arrays(where: str, left_out: Sequence[LeftOut]) -> str:
    said = "; ".join(f"{shorten(one.name, 300)} is left out: {one.reason}" for one in left_out)
    return f"no arrays in the Zarr group {where}: check the path and --group" + (
        f" ({said})" if said else ""
    )
