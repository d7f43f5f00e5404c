"""Opening an imported repository, its virtual chunks authorized."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

from parchunk.arguments.lenient import lenient
from parchunk.errors import InputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.repository import open_existing

if TYPE_CHECKING:
    import icechunk


@lenient
def open_icechunk(
    repo: str | PathLike[str],
    *,
    anonymous: bool | None = None,
    repo_options: Mapping[str, str] | None = None,
) -> icechunk.Repository:
    """Open a repository so that the chunks of all its virtual chunk containers can be read.

    Only for repositories that you trust: a container can name any path of this machine. Chunks
    in object stores are read with credentials from the environment, or without where
    ``anonymous``, or where the container says so (``anonymous`` is None).

    Raises
    ------
    InputError, OutputError
        When there is no repository, or it cannot be reached.
    """
    repo = str(repo)
    ic = adapter.load()
    first = open_existing(repo, repo_options)
    access = {}
    for prefix, container in (first.config.virtual_chunk_containers or {}).items():
        scheme = prefix.partition(":")[0]
        public = adapter.is_anonymous(container.store) if anonymous is None else anonymous
        from_env = None if public else True
        if scheme == "file":
            access[prefix] = adapter.local_access()
        elif scheme in ("s3", "tigris"):
            access[prefix] = ic.s3_credentials(anonymous=public or None, from_env=from_env)
        elif scheme in ("gs", "gcs"):
            access[prefix] = ic.gcs_credentials(anonymous=public or None, from_env=from_env)
        elif scheme in ("az", "azure", "abfs"):
            access[prefix] = ic.azure_credentials(from_env=True)
        else:
            raise InputError(f"{repo}: chunks at {prefix} cannot be read: authorize them yourself")
    opened: icechunk.Repository = open_existing(
        repo, repo_options, authorize_virtual_chunk_access=ic.containers_credentials(access)
    )
    return opened
