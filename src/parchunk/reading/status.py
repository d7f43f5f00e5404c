"""How far a build is, from its plan and receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike

from parchunk.arguments.lenient import lenient
from parchunk.out.inventory_date import oldest
from parchunk.out.opening import open_output
from parchunk.out.output import Output
from parchunk.out.plan_file import load_plan
from parchunk.out.receipt_files import read_receipts
from parchunk.out.receipts import Receipt, listings
from parchunk.out.under_way import UnderWay, read_under_way
from parchunk.planning.plan import Plan
from parchunk.reading.latest import LatestStep, latest_step
from parchunk.showing.values import Shown
from parchunk.wording import part_of


@dataclass(frozen=True)
class ArrayStatus:
    """Partitions done and in all, and the chunks of those done."""

    array: str
    done: int
    partitions: int
    expected: int
    present: int
    missing: int
    strays: int


@dataclass(frozen=True, repr=False)
class Status(Shown):
    """The state of the build in ``url``, of ``plan``: ``published`` when stock readers can open it.

    ``arrays`` have the counts of each. ``under_way`` says who works in OUT, and whether an update
    has begun and not ended. ``inventory`` is the date of the oldest one that partitions are of,
    None where all were listed; ``listings`` counts partitions by who listed them, and why.
    ``latest`` is the latest step at which nothing is missing, None unless finished and split.
    """

    url: str
    plan: Plan = field(repr=False)
    arrays: tuple[ArrayStatus, ...]
    published: bool
    under_way: UnderWay
    inventory: str | None = None
    latest: LatestStep | None = None
    listings: Mapping[str, int] = field(default_factory=dict)

    @property
    def in_short(self) -> str:
        """The status in one line."""
        state = "published" if self.finished else "unfinished"
        done = part_of(self.done, self.partitions, "partition is", "partitions are")
        return f"{self.url}: {state}, {done} done"

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: published, and no update begun since."""
        return self.published and not self.under_way.updating and self.done == self.partitions

    @property
    def done(self) -> int:
        """Partitions with a receipt."""
        return sum(array.done for array in self.arrays)

    @property
    def partitions(self) -> int:
        """Partitions in all."""
        return sum(array.partitions for array in self.arrays)


@lenient
def status(
    out: str | PathLike[str] | Output, *, output_options: Mapping[str, str] | None = None
) -> Status:
    """Return how far the build in ``out`` is: partitions and chunks, counted by array.

    It may be under way, on this machine or another: what is done has receipts in ``out``.

    Parameters
    ----------
    output_options
        Options to reach ``out``, as `parchunk.build` takes them.

    Raises
    ------
    InputError
        When ``out`` holds no build.
    OutputError
        When it cannot be reached, or is no longer what was written.
    """
    return read_status(open_output(out, output_options))


def read_status(output: Output) -> Status:
    """Return the status of the build in OUT.

    Raises
    ------
    InputError
        When OUT holds no build.
    """
    plan = load_plan(output)
    by_array: dict[str, list[Receipt]] = {array.spec.name: [] for array in plan.arrays}
    found = read_receipts(output, plan)
    for receipt in found.values():
        by_array[receipt.array].append(receipt)
    arrays = tuple(
        ArrayStatus(
            array=array.spec.name,
            done=len(receipts),
            partitions=array.regions,
            expected=sum(receipt.expected for receipt in receipts),
            present=sum(receipt.present for receipt in receipts),
            missing=sum(receipt.missing for receipt in receipts),
            strays=sum(receipt.strays for receipt in receipts),
        )
        for array in plan.arrays
        for receipts in [by_array[array.spec.name]]
    )
    under_way = read_under_way(output, plan)
    dated = oldest(found.values())
    listed = listings(found.values())
    status = Status(output.url, plan, arrays, under_way.published, under_way, dated, None, listed)
    return replace(status, latest=latest_step(plan, output, found)) if status.finished else status
