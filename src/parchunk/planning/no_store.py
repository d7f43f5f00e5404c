"""Why there is no Zarr store to be read at a URL, in words: a file, an archive, nothing, chunks."""

from __future__ import annotations

import shlex

from parchunk.errors import InputError, ParchunkError
from parchunk.metadata import NoMetadataError
from parchunk.metadata.folder_keys import ARRAY_DOCUMENTS, GROUP_DOCUMENTS, example_chunk
from parchunk.metadata.names import OWN
from parchunk.stores.side_by_side import in_threads
from parchunk.stores.source import Source

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z")
#: Names that a message lists, of objects and of stores.
_SHOWN, _NAMED = 5, 10
#: Folders that are looked at for stores.
_LOOKED = 24


class NothingThereError(InputError):
    """There is nothing at ``url`` where a store should be."""

    url = ""


def explained(source: Source, error: NoMetadataError) -> InputError:
    """Return the error, or a better one by what is at its URL.

    Raises
    ------
    SourceError
        When that cannot be listed: no such bucket, no permission.
    """
    if source.holds_object(error.key):
        if error.url.lower().endswith(_ARCHIVES):
            return InputError(
                f"{error.url} is an archive: references are made to chunks that are objects of "
                "their own; unpack it into a folder or a bucket, and give that"
            )
        return InputError(
            f"{error.url} is one object, not a Zarr store, which is a folder: give the store's path"
        )
    keys, _ = source.first_keys(error.key)
    if _is_icechunk(source, error.key, keys):
        return InputError(
            f"{error.url} is an Icechunk repository, whose chunks have no keys of their own: "
            f"parchunk audit {shlex.quote(error.url)} --native tells which are missing; references "
            "are made to native Zarr stores"
        )
    why = _stores_below(source, error, keys) or _reason(error.url, keys)
    if why is None:
        return error
    kind = InputError if keys else NothingThereError
    found = kind(f"{str(error).partition(': check')[0]}: {why}")
    if isinstance(found, NothingThereError):
        found.url = error.url
    return found


def _is_icechunk(source: Source, folder: str, keys: list[str]) -> bool:
    """Whether it is a repository of Icechunk, of version 2 or 1, by what each has."""
    tops = {key.partition("/")[0] for key in keys}
    marks = ("repo", "refs/branch.main/ref.json")
    return bool(tops & {"chunks", "manifests", "snapshots"}) and any(
        source.size_of("/".join(filter(None, (folder, mark)))) is not None for mark in marks
    )


def _stores_below(source: Source, error: NoMetadataError, keys: list[str]) -> str | None:
    """Return which stores lie below, where there are: the nearest, or those side by side with it.

    Of keys in one flat folder nothing more is asked: it may hold a million.
    """
    nearest = _nearest(keys)
    if nearest is None:
        return None
    folder = "/".join(filter(None, (error.key, nearest.rpartition("/")[0])))
    above = "/".join((error.url, nearest.rpartition("/")[0])).rstrip("/")
    try:
        names = sorted(source.list_dir(folder)[0])
        looked = names[:_LOOKED]
        ours = in_threads(lambda name: _is_store(source, f"{folder}/{name}".strip("/")), looked)
        stores = [name for name, is_one in zip(looked, ours, strict=True) if is_one]
    except ParchunkError:
        return None
    first = nearest.rpartition("/")[2]
    first = first if first in stores else next(iter(stores), "")
    others = [name for name in stores if name != first]
    if not others:
        return None
    more = " and more" if len(others) > _NAMED or len(names) > _LOOKED else ""
    return (
        f"there is Zarr below it: give for example {above}/{first}; the others are "
        f"{', '.join(others[:_NAMED])}{more}; several become one dataset by --concat, --stack or "
        "--merge"
    )


def _is_store(source: Source, folder: str) -> bool:
    documents = sorted(ARRAY_DOCUMENTS | GROUP_DOCUMENTS)
    if source.size_of(f"{folder}/{OWN}/plan.json") is not None:
        return False  # references, which have a root, too
    return any(source.size_of(f"{folder}/{name}") is not None for name in documents)


def _nearest(keys: list[str]) -> str | None:
    """Return the folder of the first document among keys that is the least far down.

    Not of references: those of parchunk are known by its folder in them.
    """
    references = {key.partition(f"/{OWN}/")[0] for key in keys if f"/{OWN}/" in key}
    stores = [
        folder
        for folder, _, last in (key.rpartition("/") for key in keys)
        if folder and folder not in references and last in ARRAY_DOCUMENTS | GROUP_DOCUMENTS
    ]
    return min(stores, key=lambda folder: (folder.count("/"), folder)) if stores else None


def _reason(url: str, keys: list[str]) -> str | None:
    if not keys:
        return "nothing is there: check the path, --group, and the permission to read it"
    if any(key.startswith(f"{OWN}/") for key in keys):
        return (
            "it is an output of parchunk that is not finished, not a Zarr store: give the store "
            "that it is of"
        )
    nearest = _nearest(keys)
    if nearest is not None:
        return f"there is some further down: give for example {url}/{nearest}"
    example = example_chunk(keys)
    if example is not None:
        return (
            f"it holds what looks like chunks of an array ({url}/{example}) without a document: "
            "give the store's root, or restore the array's .zarray or zarr.json"
        )
    names = sorted({key.partition("/")[0] for key in keys})
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"there are {shown}: check the path, --group, and the permission to read it"
