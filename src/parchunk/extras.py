"""Optional parts: imported where they are used, or one line that says what to install."""

from __future__ import annotations

from importlib.util import find_spec

from parchunk.errors import MissingExtraError


def require(module: str, extra: str) -> None:
    """Check that an optional module is there.

    Raises
    ------
    MissingExtraError
        Naming the extra that brings it.
    """
    if not _is_there(module):
        raise MissingExtraError(f"{module} is not installed: pip install 'parchunk[{extra}]'")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False
