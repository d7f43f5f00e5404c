"""Opening finished references with xarray, with the options that the plan remembers."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from parchunk.arguments.lenient import lenient
from parchunk.errors import InputError
from parchunk.extras import require
from parchunk.metadata import Hierarchy, kerchunk_metadata
from parchunk.metadata.choosing import some_of
from parchunk.out.opening import open_output
from parchunk.out.output import ROOT, Output
from parchunk.out.plan_file import published_plan
from parchunk.out.record_files import root_document
from parchunk.reading.opening_code import arrays_in, disagreeing, nameless
from parchunk.stores.kept_options import options_to_open
from parchunk.stores.opening import Location

if TYPE_CHECKING:
    import xarray

#: fsspec's protocol, and the extra that brings it, for each scheme of ours.
_PROTOCOLS = {
    "file": ("file", None),
    "http": ("http", "http"),
    "https": ("https", "http"),
    "s3": ("s3", "s3"),
    "s3a": ("s3", "s3"),
    "gs": ("gcs", "gcs"),
    "gcs": ("gcs", "gcs"),
    "az": ("abfs", "azure"),
    "abfs": ("abfs", "azure"),
    "abfss": ("abfs", "azure"),
    "azure": ("abfs", "azure"),
}
_MODULES = {"http": "aiohttp", "s3": "s3fs", "gcs": "gcsfs", "azure": "adlfs"}


@lenient
def open_dataset(
    out: str | PathLike[str] | Output,
    *,
    group: str | None = None,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> xarray.Dataset:
    """Open references as an xarray Dataset, local or remote.

    Parameters
    ----------
    out
        The folder that a build wrote.
    group
        A group within it, for nested stores.
    store_options, output_options
        Options to reach the chunks, and OUT itself; those that are no secret are remembered from
        the build.
    kwargs
        Passed to `xarray.open_dataset`.

    Raises
    ------
    InputError
        When OUT is no build, or an unfinished one, or has no such group; when arrays of the group
        name no dimensions, or some are to be left out as xarray takes only one length of a
        dimension.
    MissingExtraError
        Naming the extra to install.
    """
    require("xarray", "xarray")
    require("fastparquet", "xarray")
    import fsspec
    import xarray
    from xarray.backends import ZarrStore
    from zarr.storage import FsspecStore

    output = open_output(out, output_options)
    plan = published_plan(output)
    if plan is None:
        raise InputError(f"{output.url} is unfinished: run its build again to resume, then open it")
    path = (group or "").strip("/")
    _require_group(plan.hierarchy, path, output.url)
    _require_named_dimensions(plan.hierarchy, path, output.url)
    references = fsspec.filesystem(
        "reference",
        asynchronous=True,
        **reference_options(plan.location, output, store_options, output_options),
    )
    kept_v3 = plan.hierarchy.written_format == 3
    is_v3 = plan.hierarchy.groups[0].zarr_format == 3 and not kept_v3
    if is_v3:
        # What v3 calls a fill value is no mask. The root that other readers see is a compromise
        # where chunks are missing; here it can be exact. By hand, because
        # `open_dataset(engine="zarr")` drops `use_zarr_fill_value_as_mask`.
        mapper = references.references
        mapper.setup()
        mapper.zmetadata = kerchunk_metadata(plan.hierarchy, masks=False)
        mapper._items[ROOT] = root_document(mapper.zmetadata.items(), plan.record_size)
    store = ZarrStore.open_group(
        FsspecStore(references, read_only=True, path=""),
        group=group,
        # Without listing, which fsspec cannot do in nested stores.
        consolidated=True,
        zarr_format=plan.hierarchy.written_format,
        use_zarr_fill_value_as_mask=False if is_v3 else None,
    )
    try:
        dataset: xarray.Dataset = xarray.open_dataset(store, **kwargs)
    except ValueError as error:
        if "conflicting sizes" in str(error):
            _refuse_levels(plan.hierarchy, path, output.url, kwargs.get("drop_variables"))
        raise
    return dataset


def _refuse_levels(hierarchy: Hierarchy, group: str, url: str, dropped: Any) -> None:
    """Say what to leave out of a group whose arrays differ in a dimension's length, if they do."""
    out = [dropped] if isinstance(dropped, str) else list(dropped or ())
    names = {array.name: array.name.rpartition("/")[2] for array in arrays_in(hierarchy, group)}
    arrays = [array for array in arrays_in(hierarchy, group) if names[array.name] not in out]
    odd = [names[array.name] for array in disagreeing(arrays)]
    if odd:
        raise InputError(
            f"{url}: arrays of {repr(group) if group else 'the root'} have other lengths along "
            "dimensions of one name, as levels of an image do, and xarray takes one of these at a "
            "time: for "
            f"{names[arrays[0].name]!r} give drop_variables={[*out, *odd]!r}"
        ) from None


def _require_group(hierarchy: Hierarchy, group: str, url: str) -> None:
    """Refuse a group that there is not."""
    there = [one.name for one in hierarchy.groups if one.name]
    if group and group not in there:
        what = f"there are {some_of(there)}" if there else "there is none below the root"
        raise InputError(f"{url} has no group {group!r}: {what}")


def _require_named_dimensions(hierarchy: Hierarchy, group: str, url: str) -> None:
    """Refuse a group with arrays of which xarray cannot tell the dimensions.

    It reads all of a group's arrays before it drops any, and what it says names none of them.
    """
    unnamed = [repr(array.name) for array in nameless(arrays_in(hierarchy, group))]
    if unnamed:
        raise InputError(
            f"{url}: xarray opens no group with arrays whose dimensions have no names: "
            f"{some_of(unnamed)}: read them with zarr-python, or leave them out of a build "
            "with --exclude"
        )


def reference_options(
    source: Location,
    output: Output,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the options of fsspec's ``reference`` file system for references in ``output``."""
    protocol, remote = fsspec_options(source, store_options)
    options: dict[str, Any] = {"fo": output.url, "remote_protocol": protocol}
    if protocol != "file":
        options["remote_options"] = {**remote, "asynchronous": True}
    if not output.opens_by_path:
        _, target = fsspec_options(output.location, output_options)
        options["target_options"] = target
    return options


def fsspec_options(
    location: Location, given: Mapping[str, str] | None = None
) -> tuple[str, dict[str, Any]]:
    """Return fsspec's protocol and options for what obstore's options say of a location."""
    if location.scheme not in _PROTOCOLS:
        raise InputError(
            f"{location.url}: no reader but obstore can follow these references; build from a "
            "path or an s3://, gs:// or az:// URL to open them elsewhere"
        )
    protocol, extra = _PROTOCOLS[location.scheme]
    if extra:
        require(_MODULES[extra], extra)
    options = options_to_open(location, given)
    made: dict[str, Any] = {}
    anonymous = options.get("skip_signature", "").lower() in ("true", "1", "yes")
    if protocol == "s3":
        made = {"anon": anonymous}
        if "access_key_id" in options:
            made["key"] = options["access_key_id"]
        if "secret_access_key" in options:
            made["secret"] = options["secret_access_key"]
        if "session_token" in options:
            made["token"] = options["session_token"]
        if "endpoint" in options:
            made["endpoint_url"] = options["endpoint"]
        if "region" in options:
            made["client_kwargs"] = {"region_name": options["region"]}
        if options.get("request_payer"):
            made["requester_pays"] = True
    elif protocol == "gcs":
        made = {"token": "anon"} if anonymous else {}
        if "base_url" in options:
            made["endpoint_url"] = options["base_url"]
        if "user_project" in options:
            made["requester_pays"] = options["user_project"]
    elif protocol == "abfs":
        made = {"anon": anonymous}
        for ours, theirs in (("account_name", "account_name"), ("account_key", "account_key")):
            if ours in options:
                made[theirs] = options[ours]
    return protocol, made
