"""One of N parts of a build, as the array jobs of a scheduler run them: no part knows the others.

Each divides the plan for itself, in the same way, and whoever finds the last receipt publishes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import cast

from parchunk.arguments.lenient import called, lenient
from parchunk.building.effort import Effort
from parchunk.building.preflight import refuse_foreign
from parchunk.building.protocol import begin_shared, left_to_do, publish
from parchunk.building.results import BuildResult, Progress, TaskResult
from parchunk.building.tasks import do_task, task_of
from parchunk.cover.dividing import parts_of
from parchunk.cover.memory import DEFAULT_CONCURRENCY, DEFAULT_MEMORY
from parchunk.errors import InputError
from parchunk.listing.patience import Patience
from parchunk.out.kept_rows import keep_rows
from parchunk.out.opening import open_output
from parchunk.out.output import SORTING, Output
from parchunk.out.sorting_turn import Turn, sorting_turn
from parchunk.planning.apart import require_apart
from parchunk.planning.inventory import as_inventory
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source


@dataclass(frozen=True)
class PartResult:
    """What a part came to: its task, how many partitions are ``left`` to others, and the whole
    build, where this part was the last.
    """

    part: int
    of: int
    task: TaskResult = field(repr=False)
    left: int
    published: BuildResult | None


@lenient
def build_part(
    plan: Plan,
    out: str | PathLike[str] | Output,
    part: int,
    of: int,
    *,
    memory: int | str = DEFAULT_MEMORY,
    concurrency: int = DEFAULT_CONCURRENCY,
    trust_listing: bool = False,
    patience: Patience | None = None,
    output_options: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | bool | None = None,
    turn: Turn | None = None,
) -> PartResult:
    """Do what has no receipt yet of part ``part`` (from 1) of ``of``; publish if it is the last.

    A part may be repeated, and run twice at the same time. ``memory`` and ``concurrency`` are for
    this part. A ``turn`` to sort the inventory ends once its rows are kept.

    Raises
    ------
    InputError, OutputError, SourceError, SourceChangedError
        As `parchunk.build` and `parchunk.publish` do.
    """
    if not 1 <= part <= of:
        raise InputError(f"there is no part {part} of {of}: parts are numbered from 1")
    effort = Effort(
        cast(int, memory), concurrency, trust_listing=trust_listing, patience=patience, shared=True
    )
    output = open_output(out, output_options)
    plan = begin_shared(plan, output, effort)
    source = plan.source
    assert source is not None
    if of > 1 and source.objects is not None and left_to_do(plan, output):
        keep_rows(source, output)
    if turn is not None:
        turn.end()
    stretch = parts_of(plan, source.manner, of)[part - 1]
    task = task_of(plan, source, output, effort, stretch, part, of)
    done = do_task(task, source, output, called(progress))
    left = len(left_to_do(plan, output))
    return PartResult(part, of, done, left, None if left else publish(output, source=source))


@contextlib.contextmanager
def inventory_turn(
    source: str,
    out: str,
    inventory: Sequence[str],
    inventory_root: str | None,
    identity: str = "none",
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
) -> Iterator[tuple[Source | None, Turn]]:
    """Yield a source with the rows of an inventory as another part has kept them in ``out``.

    None where none has, or where the files of the inventory are others by now: it is to be read,
    and the turn that comes with it is this part's. Waits for one that reads it already.

    Raises
    ------
    InputError, OutputError, SourceError
        Naming what cannot be opened, or a file that is not there; an OUT that is none, or that lies
        in the source.
    """
    opened = replace(Source.open(source, store_options), identity=identity)
    origin = as_inventory(inventory, inventory_root).origin(opened, store_options)
    output = open_output(out, output_options)
    # Refused before anything is written, as a build is.
    require_apart("OUT", output.location, [("SRC", opened.location)])
    output.refuse_links([SORTING])
    refuse_foreign(output)
    with sorting_turn(origin, identity, output) as turn:
        yield (None if turn.rows is None else opened.listed_by(turn.rows)), turn
