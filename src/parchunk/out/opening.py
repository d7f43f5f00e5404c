"""Opening OUT: the one place that asks whether it is a folder or a prefix in an object store."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

from obstore.store import LocalStore

from parchunk.errors import InputError
from parchunk.out.local import LocalOutput
from parchunk.out.names import refuse_misread
from parchunk.out.output import Output
from parchunk.out.remote import RemoteOutput
from parchunk.stores.opening import open_store
from parchunk.stores.urls import is_http


def open_output(
    out: str | PathLike[str] | Output, options: Mapping[str, str] | None = None
) -> Output:
    """Open OUT at a path or URL; one that is open already is returned. Nothing is created yet.

    Raises
    ------
    InputError
        For what cannot be opened, a whole bucket, and names that readers misread.
    """
    if not isinstance(out, str | PathLike):
        return out
    opened = open_store(str(out), options)
    if is_http(opened.location.url):
        raise InputError(
            f"{opened.location.url} cannot be written to, nor listed: name a path, or an s3://, "
            "gs:// or az:// URL"
        )
    refuse_misread(opened.location)
    if isinstance(opened.store, LocalStore):
        return LocalOutput(opened.location)
    if not opened.prefix:
        raise InputError(f"{out} is a whole bucket: name a folder in it for the references")
    return RemoteOutput(opened.location, opened.store, opened.prefix)
