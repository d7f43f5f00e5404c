"""Why there is no Zarr store to be read at a URL, in words: a file, an archive, nothing, chunks."""

from __future__ import annotations

from parchunk.errors import InputError
from parchunk.metadata import NoMetadataError
from parchunk.metadata.folder_keys import ARRAY_DOCUMENTS, GROUP_DOCUMENTS, example_chunk
from parchunk.metadata.names import OWN
from parchunk.stores.source import Source

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z")
#: Names that a message lists.
_SHOWN = 5


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
    why = _reason(error.url, keys)
    return error if why is None else InputError(f"{str(error).partition(': check')[0]}: {why}")


def _reason(url: str, keys: list[str]) -> str | None:
    if not keys:
        return "nothing is there: check the path, --group, and the permission to read it"
    if any(key.startswith(f"{OWN}/") for key in keys):
        return (
            "it is an output of parchunk that is not finished, not a Zarr store: give the store "
            "that it is of"
        )
    stores = [
        folder
        for folder, _, last in (key.rpartition("/") for key in keys)
        if folder and last in ARRAY_DOCUMENTS | GROUP_DOCUMENTS
    ]
    if stores:
        nearest = min(stores, key=lambda folder: (folder.count("/"), folder))
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
