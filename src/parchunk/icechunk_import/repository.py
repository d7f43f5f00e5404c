"""Opening and creating Icechunk repositories at a path or URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from parchunk.errors import InputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.locations import Container, is_true, settings
from parchunk.planning.plan import Plan
from parchunk.stores.opening import Location, open_store, parse_options
from parchunk.stores.options import PROVIDERS, PUBLIC_OPTIONS, canonical, from_environment
from parchunk.stores.redaction import AZURE_AUTHORITY

_KNOWN = {
    "s3": frozenset(
        {
            "region",
            "endpoint",
            "allow_http",
            "skip_signature",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "virtual_hosted_style_request",
            "request_payer",
        }
    ),
    "gs": frozenset(
        {
            "service_account",
            "service_account_key",
            "application_credentials",
            "bearer_token",
            "skip_signature",
            "base_url",
        }
    ),
    "az": frozenset(
        {"account_name", "account_key", "sas_token", "bearer_token", "endpoint", "use_emulator"}
    ),
    "file": frozenset(),
}


def storage_at(url: str, options: Mapping[str, str] | None = None) -> tuple[Any, Location]:
    """Return icechunk's storage of a path or s3:// gs:// az:// URL, and what it may be called.

    ``options`` have obstore's names, as everywhere in parchunk; without them credentials come
    from the environment.

    Raises
    ------
    InputError
        For a URL or an option that means nothing here.
    """
    ic = adapter.load()
    location, public = _location(url, options or {})
    scheme = PROVIDERS.get(location.scheme, location.scheme)
    asked = canonical(location.scheme, parse_options(options or {}))
    # icechunk itself takes credentials from the environment, and few of the other variables.
    said = {key: value for key, value in public.items() if key in _KNOWN[scheme]}
    given = {**said, **asked}
    unknown = sorted(asked.keys() - _KNOWN[scheme])
    if unknown:
        known = ", ".join(sorted(_KNOWN[scheme])) or "none"
        raise InputError(f"{location.url}: unknown repo option {unknown[0]!r}: there are {known}")
    if scheme == "file":
        return ic.local_filesystem_storage(location.url), location
    bucket, _, prefix = location.url.partition("://")[2].partition("/")
    if not prefix:
        raise InputError(f"{location.url} is a whole bucket: name a folder in it for the repo")
    anonymous = is_true(given.get("skip_signature", ""))
    make: Callable[[], Any]
    if scheme == "s3":
        make = _s3(ic, bucket, prefix, given, anonymous)
    elif scheme == "gs":
        keyed = given.keys() & {
            "service_account",
            "service_account_key",
            "application_credentials",
            "bearer_token",
        }

        def make() -> Any:
            return ic.gcs_storage(
                bucket=bucket,
                prefix=prefix,
                service_account_file=given.get("service_account"),
                service_account_key=given.get("service_account_key"),
                application_credentials=given.get("application_credentials"),
                bearer_token=given.get("bearer_token"),
                anonymous=anonymous or None,
                from_env=None if anonymous or keyed else True,
                config=settings("gs", given),
            )
    else:
        if "account_name" not in given:
            raise InputError(f"{location.url}: give --repo-option account_name=NAME")

        def make() -> Any:
            return ic.azure_storage(
                account=given["account_name"],
                container=bucket,
                prefix=prefix,
                access_key=given.get("account_key"),
                sas_token=given.get("sas_token"),
                bearer_token=given.get("bearer_token"),
                from_env=None
                if given.keys() & {"account_key", "sas_token", "bearer_token"}
                else True,
                config=settings("az", given),
            )

    try:
        with adapter.reported(f"open {location.url}", "check the repo options"):
            return make(), location
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{location.url} cannot be opened: {adapter.one_line(error)}; check the repo options"
        ) from None


def _location(url: str, options: Mapping[str, str]) -> tuple[Location, dict[str, str]]:
    """Return what a repository is called, and the options that are no secret.

    Options are judged by icechunk's needs, later: all that obstore wants is Azure's account.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    asked = canonical(scheme, parse_options(options))
    public = {key: value for key, value in asked.items() if key in PUBLIC_OPTIONS}
    if PROVIDERS.get(scheme) is None:
        return open_store(url).location, {}
    if PROVIDERS[scheme] == "az" and not AZURE_AUTHORITY.match(url):
        named = from_environment(scheme).get("account_name", ())
        if not named and "account_name" not in public:
            public["account_name"] = "any"
    location = open_store(url, public).location
    said = {key: value for key, value in location.options if value != "any"}
    return Location(location.url), said


def _s3(
    ic: Any, bucket: str, prefix: str, given: Mapping[str, str], anonymous: bool
) -> Callable[[], Any]:
    endpoint = given.get("endpoint")
    virtual = is_true(given.get("virtual_hosted_style_request", ""))
    keyed = "access_key_id" in given
    arguments: dict[str, Any] = {
        "bucket": bucket,
        "prefix": prefix,
        "region": given.get("region", "us-east-1" if endpoint else None),
        "endpoint_url": endpoint,
        "allow_http": is_true(given.get("allow_http", ""))
        or (endpoint or "").startswith("http://"),
        "force_path_style": endpoint is not None and not virtual,
        "access_key_id": given.get("access_key_id"),
        "secret_access_key": given.get("secret_access_key"),
        "session_token": given.get("session_token"),
        "anonymous": anonymous or None,
        "from_env": None if anonymous or keyed else True,
    }
    if is_true(given.get("request_payer", "")):
        arguments["requester_pays"] = True
    return lambda: ic.s3_storage(**arguments)


def open_or_create(
    url: str, plan: Plan, container: Container, options: Mapping[str, str] | None = None
) -> tuple[Any, str, bool]:
    """Return the repository at ``url``, what to call it, and whether it was created.

    A new one declares the container and splits manifests along the regions.

    Raises
    ------
    InputError
        When a local folder there holds something else.
    OutputError
        When the storage cannot be reached or written.
    """
    ic = adapter.load()
    storage, location = storage_at(url, options)
    with adapter.reported(f"open {location.url}", "check the URL, the options and the access"):
        if ic.Repository.exists(storage):
            return ic.Repository.open(storage), location.url, False
    if location.scheme == "file":
        folder = Path(location.url)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f"{location.url} holds something that is no Icechunk repository: name another REPO"
            )
    config = ic.RepositoryConfig.default()
    config.set_virtual_chunk_container(container.virtual_chunk_container())
    split_manifests(config, plan)
    with adapter.reported(f"create {location.url}", "check the URL, the options and the access"):
        return ic.Repository.create(storage, config=config), location.url, True


def open_existing(url: str, options: Mapping[str, str] | None = None, **kwargs: Any) -> Any:
    """Return the repository at ``url``; ``kwargs`` go to `icechunk.Repository.open`."""
    storage, location = storage_at(url, options)
    with adapter.reported(f"open {location.url}", "check the URL, the options and the access"):
        return adapter.load().Repository.open(storage, **kwargs)


def split_manifests(config: Any, plan: Plan) -> None:
    """Make manifests of split arrays end where regions do.

    Then a commit writes the manifests of its own region, and never again those of the others.
    """
    ic = adapter.load()
    ours = {
        _exact_path(array.spec.name): (array.axis, array.region_chunks)
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
