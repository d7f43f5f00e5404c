"""Opening an imported repository, its virtual chunks authorized."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parchunk.arguments.lenient import lenient
from parchunk.errors import InputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.locations import Container
from parchunk.icechunk_import.repository import is_folder, open_existing
from parchunk.icechunk_import.storage import storage_at
from parchunk.stores.urls import is_http

if TYPE_CHECKING:
    import icechunk


@lenient
def open_icechunk(
    repo: str | PathLike[str],
    *,
    anonymous: bool | None = None,
    repo_options: Mapping[str, str] | None = None,
) -> icechunk.Repository:
    """Open ``repo`` so that the chunks of all its virtual chunk containers can be read.

    It is a path or URL. Only for repositories that you trust: a container can name any path of this
    machine. Chunks in object stores are read with credentials from the environment, or without
    where ``anonymous``, or where the container says so (``anonymous`` is None). ``repo_options``
    reach the repository, as for `parchunk.to_icechunk`.

    Raises
    ------
    InputError, OutputError
        When there is no repository, or it cannot be reached.
    """
    repo = str(repo)
    first = open_existing(repo, repo_options)
    containers = first.config.virtual_chunk_containers or {}
    opened: icechunk.Repository = open_existing(
        repo, repo_options, authorize_virtual_chunk_access=_access(repo, containers, anonymous)
    )
    return opened


def open_to_append(
    repo: str, container: Container, options: Mapping[str, str] | None = None
) -> tuple[icechunk.Repository, str]:
    """Open a repository that is there, and return it with its name.

    Its virtual chunks can be read where they are in object stores, or where ``container`` is: a
    folder of this machine that only the repository names is not read from.

    Raises
    ------
    InputError, OutputError
        When there is no repository, or it cannot be reached.
    """
    storage, location = storage_at(repo, options)
    there = location.scheme != "file" or is_folder(Path(location.url))
    if there:  # Icechunk makes a folder where it looks for one
        with adapter.reported(f"open {location.url}", "check the URL, the options and the access"):
            there = adapter.load().Repository.exists(storage)
    if not there:
        raise InputError(
            f"there is no Icechunk repository at {location.url} to append to: import without "
            "--append, which makes one"
        )
    first = open_existing(repo, options)
    containers = {
        prefix: one
        for prefix, one in (first.config.virtual_chunk_containers or {}).items()
        if not prefix.startswith("file:") or container.base.startswith(prefix)
    }
    access = _access(location.url, containers, None)
    opened = open_existing(repo, options, authorize_virtual_chunk_access=access)
    return opened, location.url


def _access(repo: str, containers: Mapping[str, Any], anonymous: bool | None) -> Any:
    """Return icechunk's value for reading chunks of containers, given by their URL prefixes."""
    ic = adapter.load()
    access = {}
    for prefix, container in containers.items():
        scheme = prefix.partition(":")[0]
        public = adapter.is_anonymous(container.store) if anonymous is None else anonymous
        from_env = None if public else True
        if scheme == "file":
            access[prefix] = adapter.local_access()
        elif is_http(prefix):
            access[prefix] = adapter.http_access()
        elif scheme in ("s3", "tigris"):
            access[prefix] = ic.s3_credentials(anonymous=public or None, from_env=from_env)
        elif scheme in ("gs", "gcs"):
            access[prefix] = ic.gcs_credentials(anonymous=public or None, from_env=from_env)
        elif scheme in ("az", "azure", "abfs"):
            access[prefix] = ic.azure_credentials(from_env=True)
        else:
            raise InputError(f"{repo}: chunks at {prefix} cannot be read: authorize them yourself")
    return ic.containers_credentials(access)
