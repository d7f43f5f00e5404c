"""Array names that are safe to become folders of OUT.

An array's record files lie in ``OUT/<name>/``, so a name from a hostile or broken store must not
lead out of OUT, nor fall upon a file that kerchunk or parchunk keeps there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from parchunk.metadata.spec import ArraySpec, GroupSpec

#: Zarr's own documents, which every array folder holds.
DOCUMENTS = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})

#: The folder of OUT that holds what parchunk keeps beside the references.
OWN = ".parchunk"

#: What every array folder of OUT holds: a glob, and the pattern of one file's name.
RECORD_FILES = "refs.*.parq"
_RECORD_FILE = re.compile(r"refs\.([0-9]+)\.parq")
# Windows takes any character before a colon for a drive, not letters only
_DRIVE = re.compile(r".:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")

#: fsspec takes what begins so for another spelling of the path behind it.
_CHAINED = "reference::"
#: What s3fs and adlfs take for the version of the object before it, in keys of any case.
_VERSION = "?versionid="

MAX_SEGMENT_BYTES = 255
"""What common file systems take for one name."""


def record_name(number: int) -> str:
    """Return what the record file of a number is called in its array's folder."""
    return f"refs.{number}.parq"


def record_number(name: str) -> int | None:
    """Return the number in the name of a record file, None where it is another file's.

    Not the inverse of `record_name` alone: ``refs.01.parq``, which no reader opens, has a number.
    """
    found = _RECORD_FILE.fullmatch(name)
    return int(found.group(1)) if found else None


def name_problem(name: str) -> str | None:
    """Return why ``name`` (of an array, ``/`` between its segments) cannot be used, or None.

    Besides what no folder of OUT may be called: fsspec, by which references are read, takes keys
    with a segment that begins with ``.z`` for metadata, and finds none of their chunks.
    """
    problem = path_problem(name)
    if problem:
        return problem
    hidden = next((one for one in name.split("/") if one.startswith(".z")), None)
    if hidden is not None:
        return (
            f"its name has the segment {hidden[:20]!r}, and of what begins with '.z' readers of "
            "references find no chunk; write the array under another name there"
        )
    if name.startswith(_CHAINED):
        return (
            f"its name begins with {_CHAINED!r}, which readers of references drop; write the array "
            "under another name there"
        )
    return version_problem(name)


def version_problem(name: str) -> str | None:
    """Return why readers of objects find nothing below ``name``, of an array or group, or None."""
    if _VERSION not in name.lower():
        return None
    return (
        f"its name has {_VERSION!r}, which readers of objects take for the end of the key; "
        "write the array under another name there"
    )


def path_problem(name: str) -> str | None:
    """Return why ``name`` cannot be part of a path, of a group that is read, say, or None."""
    try:
        encoded = [segment.encode() for segment in name.split("/")]
    except UnicodeEncodeError:
        return "its name is not valid Unicode"
    for segment, raw in zip(name.split("/"), encoded, strict=True):
        problem = _segment_problem(segment, len(raw))
        if problem:
            return problem
    return None


def _segment_problem(segment: str, nbytes: int) -> str | None:
    if not segment:
        return "its name is absolute or has an empty segment"
    if segment in {".", ".."}:
        return f"its name has the segment {segment!r}, which leads out of the output"
    if "\\" in segment:
        return "its name has a backslash"
    if _CONTROL.search(segment):
        return "its name has a control character"
    if _DRIVE.match(segment):
        return (
            f"its name has the segment {segment[:20]!r}, which begins with a drive letter to "
            f"Windows (drive {segment[:2]}), where its references would lie outside the output; "
            "write the array under a name without a colon there"
        )
    if segment in DOCUMENTS or record_number(segment) is not None:
        return f"its name has the segment {segment!r}, which is a file of the output"
    if segment.startswith(OWN):
        return f"its name has the segment {segment[:20]!r}, which parchunk keeps for itself"
    if nbytes > MAX_SEGMENT_BYTES:
        return f"its name has a segment of {nbytes:,} bytes, more than {MAX_SEGMENT_BYTES}"
    return None


def group_of(name: str) -> str:
    """Return the group that an array or group is in: ``""`` for the root."""
    return name.rpartition("/")[0]


def ancestors(names: Iterable[str]) -> list[str]:
    """Return the root and every group above ``names``, in order."""
    found = {""}
    for name in names:
        segments = name.split("/")
        found.update("/".join(segments[:length]) for length in range(1, len(segments)))
    return sorted(found)


def documents_of(node: ArraySpec | GroupSpec) -> tuple[str, ...]:
    """Return the names of the documents that writers of Zarr put beside a node's members."""
    if node.zarr_format == 3:
        return ("zarr.json",)
    return (".zarray" if isinstance(node, ArraySpec) else ".zgroup", ".zattrs")
