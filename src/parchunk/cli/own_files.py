"""Files that a user names for what is found, and those that an OUT or a store has there itself."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from parchunk.errors import InputError
from parchunk.metadata.names import DOCUMENTS, OWN, record_number
from parchunk.out.output import Output
from parchunk.stores.opening import open_store


def refuse_own(out: str | Output, files: Iterable[Path | None], of_store: bool = False) -> None:
    """Refuse to write over what a local OUT consists of; links are followed.

    Of a store, or of a repository by its path or URL, that is all that lies in it.

    Raises
    ------
    InputError
        Naming the first such file.
    """
    if isinstance(out, str):
        if "://" in out and not out.lower().startswith("file://"):
            return
        where = open_store(out).location.url
    elif out.opens_by_path:
        where = out.url
    else:
        return
    folder = Path(os.path.realpath(where))  # which takes links that go round, too
    for file in files:
        place = None if file is None else Path(os.path.realpath(file))
        if place is None or folder not in place.parents:
            continue
        inside = place.relative_to(folder)
        is_own = inside.name in DOCUMENTS or record_number(inside.name) is not None
        if of_store or is_own or inside.parts[0] == OWN:
            raise InputError(
                f"{file} would lie among the files of {where}, as {inside}: name a file elsewhere"
            )
