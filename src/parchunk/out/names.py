"""Names of OUT that stock readers misread: some with an error, some as a store full of fill values.

fsspec calls ``str.format`` on the path of a folder of references, takes any path with ``.json``
in it for one JSON file, and splits every path at ``::``. From URLs its file systems take what
follows ``?versionId=`` (S3), a ``?`` or a ``#`` (Google Cloud, Azure) for no part of the path.
"""

from __future__ import annotations

from parchunk.errors import InputError
from parchunk.stores.opening import Location

#: What no path of OUT may hold, whatever the store; what readers make of it; what to write instead.
_ANYWHERE = (
    ("{", "fill in what stands in braces, and take every chunk for missing without an error", "_"),
    ("}", "fill in what stands in braces, and take every chunk for missing without an error", "_"),
    (".json", "take the folder for one JSON file", "-json"),
    ("::", "cut paths in two there", "-"),
)
_VERSION = "read the version of an object out of what follows it"
#: The same for the URLs of a scheme.
_IN_URLS = {
    **dict.fromkeys(("s3", "s3a"), (("?versionId=", _VERSION, "-"),)),
    **dict.fromkeys(
        ("gs", "gcs", "az", "abfs", "azure"), (("?", _VERSION, "-"), ("#", _VERSION, "-"))
    ),
}


def refuse_misread(location: Location) -> None:
    """Refuse an OUT that readers would not find under its own name, or would misread.

    Raises
    ------
    InputError
        Naming the character, what readers make of it, and a name that works.
    """
    rules = _ANYWHERE + _IN_URLS.get(location.scheme, ())
    head, rest = _apart(location.url)
    found = next((rule for rule in rules if rule[0] in rest), None)
    if found is None:
        return
    character, becomes, _ = found
    for unwanted, _, instead in rules:
        rest = rest.replace(unwanted, instead)
    raise InputError(
        f"{location.url} has {character!r} in its path, where readers of references {becomes}: "
        f"name another OUT, for example {head}{rest} (move there what lies here already)"
    )


def _apart(url: str) -> tuple[str, str]:
    """Return a URL's scheme, or nothing, and the rest."""
    head, mark, rest = url.partition("://")
    return (f"{head}{mark}", rest) if mark else ("", url)
