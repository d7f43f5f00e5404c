"""Which stores are meant: a list, a file of them, NAME=SRC; duplicates and empty lines refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import iglob

from parchunk.errors import InputError
from parchunk.metadata.names import name_problem

_NAMED = re.compile(r"(?P<name>[^\s=:?*\[\]]+)=(?P<url>.+)", re.S)
_COMMENT = re.compile(r"(^|\s)#.*")
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class GivenStore:
    """A store, or a pattern of stores, as it was given; ``below`` is the group of NAME=SRC."""

    url: str
    below: str = ""

    @property
    def is_pattern(self) -> bool:
        """Whether its path has wildcards."""
        path = self.url.partition("://")[2] or self.url
        return _MAGIC.search(path) is not None

    def __str__(self) -> str:
        """Return it as it is given."""
        return f"{self.below}={self.url}" if self.below else self.url


def parse_given(text: str) -> GivenStore:
    """Return the store that SRC, or NAME=SRC, means.

    ``year=2020/a.zarr`` is a path where there is one of that name, ``year=*/a.zarr`` a pattern
    where it matches one, and so is ``./year=2020``.
    """
    text = text.strip()
    if not text:
        raise InputError("a store is given as nothing: give a path or a URL")
    match = _NAMED.fullmatch(text)
    if match is None or match["name"].startswith((".", "/", "~")):
        return GivenStore(text)
    if os.path.exists(text) or any(iglob(text)):  # noqa: PTH110, PTH207 (Path's raise)
        return GivenStore(text)
    name = match["name"].strip("/")
    problem = name_problem(name)
    if problem:
        why = problem.partition(";")[0]  # what follows is for arrays that have their name
        raise InputError(f"{name}=: a store cannot be put below that group: {why}: give another")
    return GivenStore(match["url"], name)


def read_sources(lines: Iterable[str], where: str) -> list[GivenStore]:
    """Return the stores that a file names, one a line; ``#`` begins a comment.

    Raises
    ------
    InputError
        When there is none; ``where`` is what the message calls the file.
    """
    found = []
    for number, line in enumerate(lines, 1):
        text = _COMMENT.sub("", line).strip()
        if "\0" in text:
            raise InputError(f"--sources {where}, line {number}: is no text: give one store a line")
        if text:
            found.append(parse_given(text))
    if not found:
        raise InputError(f"--sources {where}: names no store: give one a line")
    return found


def refuse_duplicates(urls: Sequence[tuple[str, str]]) -> None:
    """Raise `InputError` where a store comes twice; ``urls`` are ``(group below, URL)``."""
    seen: dict[tuple[str, str], int] = {}
    for at, pair in enumerate(urls):
        if pair in seen:
            raise InputError(
                f"{pair[1]} is given twice (store {seen[pair] + 1:,} and {at + 1:,}): give each "
                "store once"
            )
        seen[pair] = at
