"""Policies as files: TOML that says of all arrays, and of some, what may be missing."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from parchunk.auditing.expected import parse_expected
from parchunk.auditing.policy import Rule, Where, parse_percent
from parchunk.errors import InputError

#: What may be said of all arrays, and of those of a table.
_OF_ALL = ("expect", "empty", "max-missing", "allow-missing", "arrays")
_OF_SOME = ("expect", "empty", "max-missing", "allow-missing")


def read_policy(path: str) -> tuple[Rule, ...]:
    """Return the rules of a file, in its order: what is said of all arrays first.

    Raises
    ------
    InputError
        When it cannot be read, or says what no policy says.
    """
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--policy {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"--policy {path} is no TOML: {error}") from None
    _check_keys(path, document, _OF_ALL)
    globs = document.get("allow-missing", [])
    if not (isinstance(globs, list) and all(isinstance(glob, str) for glob in globs)):
        raise InputError(
            f"{path}: allow-missing: give a list of arrays' names, such as ['daily/*']"
        )
    tables = document.get("arrays", {})
    if not isinstance(tables, dict) or not all(isinstance(one, dict) for one in tables.values()):
        raise InputError(f"{path}: arrays: give tables, such as [arrays.'daily/*']")
    return (
        _rule(path, "*", "", document, None),
        *(Rule(glob, f"{path}: allow-missing {glob!r}", gaps=True) for glob in globs),
        *(_of_table(f"{path}: arrays.{glob!r}", glob, table) for glob, table in tables.items()),
    )


def _of_table(given: str, glob: str, table: Mapping[str, Any]) -> Rule:
    """Return what is said of some arrays."""
    _check_keys(given, table, _OF_SOME)
    gaps = table.get("allow-missing")
    if gaps is not None and not isinstance(gaps, bool):
        raise InputError(f"{given}: allow-missing: give true or false")
    return _rule(given, glob, given, table, gaps)


def _rule(place: str, glob: str, given: str, table: Mapping[str, Any], gaps: bool | None) -> Rule:
    most = table.get("max-missing")
    if isinstance(most, bool) or not isinstance(most, str | int | float | None):
        raise InputError(f"{place}: max-missing: give a percentage, such as '0.5%'")
    return Rule(
        glob,
        given,
        tuple(_ranges(place, "expect", table.get("expect", []))),
        tuple(_boxes(place, table.get("empty", []))),
        gaps,
        None if most is None else parse_percent(most, f"{place}: max-missing"),
    )


def _boxes(place: str, value: Any) -> Iterator[tuple[Where, ...]]:
    """Yield what is to be empty: ranges by themselves, or several that hold at once."""
    for one in value if isinstance(value, list) else [value]:
        box = tuple(_ranges(place, "empty", one))
        if not box:
            raise InputError(f"{place}: empty: [] is all of an array: allow-missing says that")
        yield box


def _ranges(place: str, key: str, value: Any) -> Iterator[Where]:
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, str):
            raise InputError(f"{place}: {key}: {one!r} is no DIM=START:STOP: give it as text")
        yield parse_expected(one, f"{place}: {key} ")


def _check_keys(place: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise InputError(f"{place}: {key} is nothing that a policy says: {', '.join(known)}")
