"""Record files that receipts speak of and that are not in OUT: others deleted them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from parchunk.out.object_files import objects_path
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt, strays_of
from parchunk.out.record_files import record_path
from parchunk.planning.plan import PartitionKey
from parchunk.wording import counted


def lost_files(output: Output, receipts: Iterable[Receipt]) -> dict[PartitionKey, list[str]]:
    """Return the files that are gone, by partition, of receipts that were read before.

    OUT is listed once for it, a request for each thousand of its files; none is read, so that one
    that was altered is none of these.
    """
    there: set[str] | None = None
    found: dict[PartitionKey, list[str]] = {}
    for receipt in receipts:
        there = set(output.paths()) if there is None else there
        paths = [strays_of(receipt.key)] if receipt.strays else []
        for file in receipt.record_files:
            paths.append(record_path(receipt.array, file.index))
            if file.objects:
                paths.append(objects_path(receipt.array, file.index))
        gone = [path for path in paths if path not in there]
        if gone:
            found[receipt.key] = gone
    return found


def lost_notes(lost: Mapping[PartitionKey, Sequence[str]]) -> tuple[str, ...]:
    """Return what a user should know of files that were gone, once they are written again."""
    return (f"{lost_text(lost)}: they were listed and written again",) if lost else ()


def lost_text(lost: Mapping[PartitionKey, Sequence[str]]) -> str:
    """Return in words which files are gone."""
    paths = [path for some in lost.values() for path in some]
    more = ", ..." if len(paths) > 3 else ""
    return (
        f"{counted(len(paths), 'file')} of {counted(len(lost), 'partition')} had gone from OUT "
        f"({', '.join(paths[:3])}{more}) though receipts say that they were written"
    )
