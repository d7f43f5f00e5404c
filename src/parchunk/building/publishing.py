"""Publishing: the root is written last, if the source is still what it was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from parchunk.errors import SourceChangedError
from parchunk.metadata.meaning import differences, same_meaning
from parchunk.out.labels import keep_labels
from parchunk.out.output import ROOT, Output
from parchunk.out.receipts import Receipt
from parchunk.out.root import format_notes, mask_notes, published_root
from parchunk.out.shard_notes import shard_notes
from parchunk.out.size_notes import size_notes
from parchunk.out.spelling_notes import spelling_notes
from parchunk.planning.joining.regions import record_file_notes
from parchunk.planning.plan import Plan
from parchunk.planning.source_again import read_again
from parchunk.stores.source import Source


def publish_root(
    plan: Plan,
    source: Source,
    output: Output,
    receipts: Collection[Receipt],
    confirm: Callable[[], None] | None = None,
) -> None:
    """Write the root, which makes the references a store, if the source is still what it was.

    The labels of the split dimension are written before. ``confirm`` is called right before the
    root is, and raises when OUT is somebody else's by now.

    Raises
    ------
    SourceChangedError
        When the source's metadata has changed since the plan: nothing is published.
    OutputError
        When OUT cannot be written.
    """
    _refuse_changed(plan, source)
    root = published_root(plan, receipts)
    keep_labels(plan, output, source, receipts)
    if confirm is not None:
        confirm()
    if output.get(ROOT) != root:
        output.put(ROOT, root)
    output.tidy()


def _refuse_changed(plan: Plan, source: Source) -> None:
    now = read_again(plan, source, arrays_to_come=False)
    if not same_meaning(plan.hierarchy, now):
        changed = "; ".join(differences(plan.hierarchy, now)[:3])
        raise SourceChangedError(
            f"the metadata of {source.url} changed since it was planned ({changed}): nothing was "
            "published; "
            "run parchunk update if it grew; else build again (--overwrite, or another OUT)"
        )


def notes_of(
    plan: Plan, output: Output, receipts: Sequence[Receipt], run: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return lines that a user should read of a finished build, among them those of its ``run``."""
    return (
        *plan.hierarchy.warnings,
        *plan.notes,
        *record_file_notes(plan),
        *format_notes(plan),
        *shard_notes(plan),
        *run,
        *mask_notes(plan, receipts),
        *size_notes(plan, receipts),
        *spelling_notes(plan, receipts, output).values(),
    )
