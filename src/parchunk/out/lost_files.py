"""Record files that receipts speak of and that are not in OUT: others deleted them.

Or replaced them: a store may carry out a write of a command that was killed after the next command
wrote the same file. Such a file is seen where it has another size, and the store lists sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from parchunk.out.object_files import objects_path
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt, strays_of
from parchunk.out.record_files import record_path
from parchunk.planning.plan import PartitionKey
from parchunk.wording import counted


def lost_files(output: Output, receipts: Iterable[Receipt]) -> dict[PartitionKey, list[str]]:
    """Return the files that are gone, or are others, by partition; the receipts were read before.

    OUT is listed once for it, a request for each thousand of its files; none is read, so that one
    that was altered and has the size that it had is none of these.
    """
    there: dict[str, int | None] | None = None
    found: dict[PartitionKey, list[str]] = {}
    for receipt in receipts:
        there = output.sizes() if there is None else there
        paths = [strays_of(receipt.key)] if receipt.strays else []
        others = []
        for file in receipt.record_files:
            path = record_path(receipt.array, file.index)
            paths.append(path)
            if there.get(path) not in (None, file.bytes):
                others.append(path)
            if file.objects:
                paths.append(objects_path(receipt.array, file.index))
        gone = [path for path in paths if path not in there] + others
        if gone:
            found[receipt.key] = gone
    return found


def lost_notes(lost: Mapping[PartitionKey, Sequence[str]]) -> tuple[str, ...]:
    """Return what a user should know of files that were lost, once they are written again."""
    return (f"{lost_text(lost)}: they were listed and written again",) if lost else ()


def lost_text(lost: Mapping[PartitionKey, Sequence[str]]) -> str:
    """Return in words which files are lost."""
    paths = [path for some in lost.values() for path in some]
    more = ", ..." if len(paths) > 3 else ""
    return (
        f"{counted(len(paths), 'file')} of {counted(len(lost), 'partition')} had gone from OUT, "
        f"or had not the size that receipts say ({', '.join(paths[:3])}{more})"
    )
