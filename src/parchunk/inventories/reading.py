"""From the files of an inventory, or a stream of rows, to sorted objects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from parchunk.errors import InputError
from parchunk.inventories.columns import columns_of
from parchunk.inventories.manifests import Manifest, ManifestPart, parse_manifest
from parchunk.inventories.parts import Part, recognised, small_document, spooled_stream
from parchunk.inventories.queries import Rows
from parchunk.inventories.roots import DOCUMENTS, Root, as_given, found_root, in_bucket
from parchunk.inventories.sorted_objects import SortedObjects, date_text
from parchunk.inventories.sorted_rows import Sorted, write_sorted
from parchunk.inventories.sorting import Sorter
from parchunk.inventories.workspace import Workspace, room_told
from parchunk.wording import counted

#: Bytes that sorting may take unless a user chooses.
MEMORY = 512 << 20
#: Bytes of a file that are hashed at a time.
_BLOCK = 1 << 20
#: What messages call a stream of rows.
STREAM = "objects="


class InventoryFile(Protocol):
    """A file that a user named: on this machine, or below a URL."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def local(self, folder: Path) -> Path:
        """Return it as a file, fetched into ``folder`` if need be."""

    def written(self) -> datetime:
        """Return when it was written."""

    def mark(self) -> str:
        """Return what tells this version of it from others, without reading it; "" if nothing."""

    def part(self, name: str, beside: bool) -> InventoryFile:
        """Return a part that it names as a manifest: beside it, or by its key in the bucket."""


@room_told()
def read_inventory(
    files: Sequence[InventoryFile], root: Root, memory: int, identity: str = "none"
) -> SortedObjects:
    """Return the objects below a root that some files name, sorted, within ``memory`` bytes.

    ``identity`` is what is kept of each: ``none``, ``time`` or ``etag``.
    Several files are parts of one inventory. It is dated by its manifest, or by its oldest file.

    Raises
    ------
    InputError
        Naming the file that is cut off, of a format that is not read, or of another place.
    SourceError
        When a file cannot be fetched.
    """
    workspace = Workspace()
    rows: list[Rows] = []
    dates: list[tuple[datetime, str]] = []
    manifests: list[tuple[str, Manifest]] = []
    bases: set[str] = set()
    expected: int | None = 0
    for at, file in enumerate(files):
        folder = workspace.path / f"file-{at}"
        folder.mkdir()
        local = file.local(folder)
        manifest = parse_manifest(small_document(local), file.name)
        if manifest is None:
            part = recognised(local, file.name, folder / "spooled.parquet")
            rows.append(_rows_of(part, root, identity))
            dates.append((file.written(), f"the time of {file.name}"))
            expected = None
            continue
        manifests.append((file.name, manifest))
        _refuse_buckets(manifests)
        rows += _manifest_rows(manifest, file, folder, identity)
        dates.append((manifest.taken, f"{file.name}"))
        if manifest.bucket is not None and root.given is None and root.bucket is not None:
            bases.add(in_bucket(root, manifest.bucket, file.name))
        if expected is not None:
            expected = None if manifest.rows is None else expected + manifest.rows
    if not rows:
        raise InputError(f"{files[0].name} names no parts: nothing is in that inventory")
    taken, dated_by = min(dates)
    where = files[0].name + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    several = len({manifest.taken for _, manifest in manifests}) > 1
    dated = (taken, dated_by)
    return _sorted(rows, root, memory, workspace, where, dated, bases, expected, not several)


def _refuse_buckets(manifests: Sequence[tuple[str, Manifest]]) -> None:
    """Refuse inventories of several buckets, of which the same keys may be in each."""
    first: dict[str | None, str] = {one.bucket: name for name, one in reversed(manifests)}
    first.pop(None, None)
    if len(first) > 1:
        shown = " and ".join(f"{name} of {bucket}" for bucket, name in [*first.items()][::-1][:2])
        raise InputError(
            f"{shown} are inventories of two buckets, and may have the same keys: give that of SRC"
        )


@room_told()
def sort_objects(
    objects: Any,
    root: Root,
    memory: int,
    taken: datetime | None = None,
    identity: str = "none",
) -> SortedObjects:
    """Return the objects below a root of an Arrow stream or table, or of a DuckDB relation, sorted.

    Raises
    ------
    InputError
        When it is none of these, or lacks a column.
    """
    workspace = Workspace()
    part = spooled_stream(objects, STREAM, workspace.path / "spooled.parquet")
    now = taken or datetime.now(UTC)
    by = "" if taken else "the time at which objects= was given"
    rows = [_rows_of(part, root, identity)]
    return _sorted(rows, root, memory, workspace, STREAM, (now, by), set(), None)


def _rows_of(part: Part, root: Root, identity: str) -> Rows:
    bucket = root.bucket if root.given is None else None
    columns = columns_of(part.columns, part.name, identity)
    return Rows(part, columns, bucket=bucket, identity=identity)


def _manifest_rows(
    manifest: Manifest, file: InventoryFile, folder: Path, identity: str
) -> list[Rows]:
    rows = []
    for at, listed in enumerate(manifest.parts):
        place = folder / f"part-{at}"
        place.mkdir()
        source = file.part(listed.name, manifest.beside)
        local = source.local(place)
        _check_part(listed, local, source.name, file.name)
        part = recognised(
            local, source.name, place / "spooled.parquet", manifest.header, listed.md5 is not None
        )
        columns = columns_of(part.columns, part.name, identity)
        rows.append(Rows(part, columns, manifest.encoded, manifest.bucket, identity))
    return rows


def _check_part(listed: ManifestPart, local: Path, name: str, manifest: str) -> None:
    """Refuse a part that is not the one that its manifest names."""
    size = local.stat().st_size
    wrong = None
    if listed.size is not None and size != listed.size:
        wrong = f"has {size:,} bytes, and {listed.size:,} in {manifest}"
    elif listed.md5 is not None and _md5(local) != listed.md5.lower():
        wrong = f"has another MD5 checksum than in {manifest}"
    if wrong is not None:
        raise InputError(
            f"{name} {wrong}: it was cut off or is of another inventory; fetch it again"
        )


def _md5(path: Path) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _sorted(
    rows: Sequence[Rows],
    root: Root,
    memory: int,
    workspace: Workspace,
    where: str,
    dated: tuple[datetime, str],
    bases: set[str],
    expected: int | None,
    repeats: bool = True,
) -> SortedObjects:
    file = workspace.path / "sorted.parquet"
    taken, dated_by = dated
    folder = f"{root.prefix}/" if root.prefix else ""
    identity = rows[0].identity
    sorter = Sorter(rows, workspace.path, memory, where)
    try:
        _refuse_cut_off(sorter, expected, where)
        begin = _beginning(root, bases, sorter.present, where)
        sorter.refuse_buckets(begin)
        written = write_sorted(sorter.batches(begin, folder), file, where, identity)
        _refuse_twice(written, rows, repeats, where)
        if not written.count:
            raise _nothing_below(root, begin, sorter, where)
    finally:
        sorter.close()
    made = SortedObjects(
        str(file),
        written.count,
        written.digest,
        taken,
        dated_by,
        identity,
        workspace=workspace,
    )
    return replace(made, notes=_notes(made, written, root, folder, where))


def _refuse_cut_off(sorter: Sorter, expected: int | None, where: str) -> None:
    """Refuse parts of other than the ``expected`` rows; None where nothing says how many."""
    if expected is not None and (count := sorter.count()) != expected:
        raise InputError(
            f"{where} says that it has {expected:,} rows, and its parts have {count:,}: one "
            "was cut off or is of another inventory; fetch them again"
        )


def _refuse_twice(written: Sorted, rows: Sequence[Rows], repeats: bool, where: str) -> None:
    """Refuse rows of the same key where those may differ: of several times, or of versions."""
    if written.twice and not repeats:
        raise InputError(
            f"{where}: {written.twice:,} rows are in it twice, and the inventories were taken "
            "at several times, so that what was deleted between is in the older ones: give "
            "the newest alone"
        )
    if written.twice and any(one.columns.ambiguous for one in rows):
        raise InputError(
            f"{where}: {written.twice:,} rows are in it twice, of versions, and nothing says "
            "which one is the latest, or whether it was deleted: give an inventory with a "
            "column is_latest, or a table of the latest versions alone, each once"
        )


def _nothing_below(root: Root, begin: str, sorter: Sorter, where: str) -> InputError:
    """Return the error of an inventory without an object below the root."""
    shown = ", ".join(map(repr, sorter.examples())) or "none"
    return InputError(
        f"{where} has no object below {root.url}: its keys are {shown}, and were looked "
        f"for below {begin!r}; give the inventory of that place, or say what its keys are "
        "relative to with --inventory-root URL"
    )


def _notes(
    made: SortedObjects, written: Sorted, root: Root, folder: str, where: str
) -> tuple[str, ...]:
    """Return what to tell people of an inventory: what counts once, has no time, is not in it."""
    notes = []
    if written.twice:
        notes.append(f"{where}: {written.twice:,} rows are in it twice, and count once")
    if written.untimed:
        notes.append(
            f"{where}: it has no time of {counted(written.untimed, 'object')}, which count as "
            "written when the inventory was taken, or before"
            + ("" if made.identity == "etag" else ": audits compare their sizes alone")
        )
    if not any(made.holds(f"{folder}{root.example_folder}{name}") for name in DOCUMENTS):
        notes.append(
            f"{where} has no document of {root.url} ({', '.join(DOCUMENTS)}), as an inventory of "
            "all of it has: check --inventory-root where chunks are missing"
        )
    if made.dated_by:
        notes.append(f"{where} is of {date_text(made.taken)}, by {made.dated_by}")
    return tuple(notes)


def _beginning(
    root: Root, bases: set[str], present: Callable[[Sequence[str]], Any], where: str
) -> str:
    """Return how the keys of what lies below the root begin in the inventory."""
    given = as_given(root)
    if given is not None:
        return given
    if len(bases) == 1:
        return bases.pop()
    return found_root(root, present, where)
