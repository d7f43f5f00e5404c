"""Opening and creating Icechunk repositories at a path or URL."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import obstore

from parchunk.errors import InputError, OutputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.locations import Container
from parchunk.icechunk_import.manifests import manifest_length
from parchunk.icechunk_import.storage import storage_at
from parchunk.planning.apart import require_apart, stores_of
from parchunk.planning.plan import Plan
from parchunk.stores.opening import Location, open_store

#: What Icechunk writes of a new repository before there is one.
_BEGUN = {"snapshots/1CECHNKREP0F1RSTCMT0", "transactions/1CECHNKREP0F1RSTCMT0"}


def open_or_create(
    url: str,
    plan: Plan,
    container: Container,
    out: Location,
    options: Mapping[str, str] | None = None,
) -> tuple[Any, str, bool]:
    """Return the repository at ``url``, what to call it, and whether it was created.

    A new one declares the container and splits manifests along the regions. One whose creation was
    cut short is created.

    Raises
    ------
    InputError
        When a local folder there holds something else, what was begun cannot be gone on with, or a
        new one would lie in the source or in ``out``, or around them.
    OutputError
        When the storage cannot be reached or written.
    """
    ic = adapter.load()
    storage, location = storage_at(url, options)
    read = [("OUT", out), *stores_of(plan, plan.location)]
    folder = Path(location.url) if location.scheme == "file" else None
    taken = f"{location.url} holds something that is no Icechunk repository: name another REPO"
    if folder is not None and not is_folder(folder):
        require_apart("REPO", location, read)
        _make(folder, taken)
    with adapter.reported(f"open {location.url}", "check the URL, the options and the access"):
        if ic.Repository.exists(storage):
            return ic.Repository.open(storage), location.url, False
    begun = _is_begun(location.url, options)
    if folder is not None and not (begun or _is_empty(folder)):
        raise InputError(taken)
    if begun and not adapter.goes_on_creating():
        raise InputError(
            f"{location.url} holds the beginning of a repository whose creation was cut short: "
            "delete it, or name another REPO"
        )
    require_apart("REPO", location, read)
    config = ic.RepositoryConfig.default()
    for one in container.every:
        config.set_virtual_chunk_container(one.virtual_chunk_container())
    split_manifests(config, plan)
    remedy = "name another REPO, or check the options and the access"
    with adapter.reported(f"create {location.url}", remedy):
        return adapter.create(storage, config, begun), location.url, True


def is_folder(path: Path) -> bool:
    """Whether a local folder is there, whatever the path is."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_begun(url: str, options: Mapping[str, str] | None) -> bool:
    """Whether all that is there is what a creation leaves that was cut short.

    Beside anything else it is a repository that lost its beginning, or is being copied.
    """
    opened = open_store(url, options)
    prefix = f"{opened.prefix}/".lstrip("/")
    # Whatever keeps it from being looked at, creating says.
    with contextlib.suppress(obstore.exceptions.BaseError, FileNotFoundError):
        found = next(iter(opened.store.list(prefix, chunk_size=len(_BEGUN) + 1)), [])
        return bool(found) and {one["path"].removeprefix(prefix) for one in found} <= _BEGUN
    return False


def _make(folder: Path, taken: str) -> None:
    """Make the folder of a repository: Icechunk makes it where it looks, and panics if it cannot.

    Raises
    ------
    InputError
        Saying ``taken`` where a file is there.
    OutputError
        When it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(taken) from None
    except OSError as error:
        raise OutputError(
            f"cannot create {folder}: {error.strerror}; name another REPO, or check the access"
        ) from None


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError as error:
        raise OutputError(
            f"cannot list {folder}: {error.strerror}; name another REPO, or check the access"
        ) from None


def open_existing(url: str, options: Mapping[str, str] | None = None, **kwargs: Any) -> Any:
    """Return the repository at ``url``; ``kwargs`` go to `icechunk.Repository.open`."""
    storage, location = storage_at(url, options)
    if location.scheme == "file" and not is_folder(Path(location.url)):
        # Icechunk would make the folder, and then say that there is no repository in it.
        raise InputError(f"cannot open {location.url}: no repository is there: check the path")
    with adapter.reported(f"open {location.url}", "check the URL, the options and the access"):
        return adapter.load().Repository.open(storage, **kwargs)


def split_manifests(config: Any, plan: Plan) -> None:
    """Make manifests of split arrays end where regions do: one of them, or several small ones.

    Then a commit writes a manifest of its own region, or one that is soon written.
    """
    ic = adapter.load()
    ours = {
        _exact_path(array.spec.name): (array.axis, manifest_length(array))
        for array in plan.arrays
        if array.axis is not None and array.regions > 1
    }
    if not ours:
        return
    condition, dimension = ic.ManifestSplitCondition, ic.ManifestSplitDimCondition
    rules = [
        (condition.path_matches(path), ((dimension.Axis(axis), length),))
        for path, (axis, length) in ours.items()
    ]
    manifest = adapter.manifest_config(ic, config)
    before = manifest.splitting
    kept = tuple(before.split_sizes) if before is not None else ()
    if [repr(rule) for rule in kept[: len(rules)]] == [repr(rule) for rule in rules]:
        return
    manifest.splitting = ic.ManifestSplittingConfig((*rules, *kept))
    config.manifest = manifest


def _exact_path(name: str) -> str:
    """Return the regular expression, in Rust's dialect, of just one array's path."""
    escaped = "".join(f"\\{sign}" if sign in r"\.+*?()|[]{}^$#&-~" else sign for sign in name)
    return f"^/{escaped}$"
