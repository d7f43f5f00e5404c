"""Putting what was prepared in OUT/.parchunk/next in place of what is published.

Record files have names that readers make up by themselves, so files of another layout cannot lie
beside those that are there. They are prepared in a folder of their own, which is an OUT by itself.
Its root, written last, says that it is complete: from then on it takes the place of what is
published, whoever is killed meanwhile. The root that readers go by is deleted first, and the new
one written last: in between nobody can open OUT, so that nobody sees a mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from parchunk.metadata.names import record_number
from parchunk.out.output import (
    BLOCKS,
    LABELS,
    NEXT,
    OBJECTS,
    PLAN,
    PREPARED_ROOT,
    PREVIOUS,
    RECEIPTS,
    ROOT,
    STRAYS,
    UPDATE,
    Output,
)
from parchunk.out.plan_file import load_plan
from parchunk.out.prepared import discard_prepared, is_switching
from parchunk.out.receipt_files import read_receipts
from parchunk.out.root import is_published_root
from parchunk.out.side_by_side import of_each
from parchunk.planning.plan import Plan
from parchunk.planning.stretches import partition_count

#: Says, within NEXT, that nothing of the layout before is left in OUT.
_CLEARED = ".parchunk/cleared"
#: What is moved after record files, and vouches for them or speaks of them.
_WITH_FILES = (f"{RECEIPTS}/", f"{BLOCKS}/", f"{STRAYS}/")
#: Objects that are moved or deleted before one is waited for.
_AHEAD = 1_000


def finish_switch(output: Output, check: Callable[[], None]) -> None:
    """Finish what an update was killed in the midst of: see `switch`."""
    if not is_switching(output):
        return
    prepared = output.below(NEXT)
    has_begun = prepared.get(PLAN) is None or prepared.get(_CLEARED) is not None
    if has_begun or is_published(load_plan(prepared), prepared):
        switch(output, check)
    else:
        # Of a killed command whose write came while the next one prepared something else.
        output.delete(PREPARED_ROOT)


def is_published(plan: Plan, output: Output) -> bool:
    """Whether the root of OUT is what a finished build of ``plan`` publishes."""
    root = output.get(ROOT)
    receipts = read_receipts(output, plan)
    return (
        root is not None
        and len(receipts) == partition_count(plan)
        and is_published_root(root, plan, receipts.values())
    )


def switch(output: Output, check: Callable[[], None]) -> None:
    """Put what was prepared in place, and leave nothing of what was there before.

    Cut short anywhere, it is finished by the next call. ``check`` is called now and then, and
    raises when OUT is somebody else's by now.

    Raises
    ------
    OutputError
        When OUT cannot be written.
    """
    prepared = output.below(NEXT)
    prepared.prepare()
    has_plan, cleared = prepared.get(PLAN) is not None, prepared.get(_CLEARED) is not None
    if not (has_plan or cleared):
        # A root alone is of a killed command whose write came when the next had put all in place.
        discard_prepared(output)
        return
    # The plan goes over last but one.
    new = load_plan(prepared if has_plan else output)
    if not cleared:
        check()
        output.delete(ROOT)
        _each(output, output.delete, _of_before(output, new), check)
        prepared.put(_CLEARED, b"")
    for paths in _in_order(new, prepared.paths()):
        _each(output, lambda path: output.move(f"{NEXT}/{path}", path), paths, check)
    check()
    output.move(f"{NEXT}/{ROOT}", ROOT)
    discard_prepared(output)
    output.tidy()


def _of_before(output: Output, new: Plan) -> Iterable[str]:
    """Yield what lies in OUT and is no part of the new layout, or is replaced without notice."""
    rows = {array.spec.name: array.spec.reference_total for array in new.arrays}
    for array in load_plan(output).arrays:
        name = array.spec.name
        files = -(-rows.get(name, 0) // new.record_size)
        kept = f"{OBJECTS}/{name}"
        for folder, left in ((name, files), (kept, 0 if new.identity == "none" else files)):
            for path in output.paths(folder):
                number = record_number(path[len(folder) + 1 :])
                if number is not None and number >= left:
                    yield path
    # What vouches for record files goes before any of them is replaced.
    yield from output.paths(RECEIPTS)
    yield from output.paths(BLOCKS)
    yield from output.paths(STRAYS)
    yield from (LABELS, UPDATE, PREVIOUS)


def _in_order(plan: Plan, paths: list[str]) -> list[list[str]]:
    """Return what is moved: record files, then strays and receipts, then labels and the plan."""
    names = {array.spec.name for array in plan.arrays}
    folders = names | {f"{OBJECTS}/{name}" for name in names}
    files = [path for path in paths if path.rpartition("/")[0] in folders]
    own = [path for path in paths if path.startswith(_WITH_FILES)]
    return [files, sorted(own, reverse=True), [LABELS, PLAN]]


def _each(
    output: Output, act: Callable[[str], None], paths: Iterable[str], check: Callable[[], None]
) -> None:
    """Do something with every path, side by side where each is a request."""
    for count, _ in enumerate(of_each(output, act, list(paths), _AHEAD)):
        if count % 100 == 0:
            check()
