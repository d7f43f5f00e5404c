"""``parchunk status --watch``: how far a build is, again and again until it is published."""

from __future__ import annotations

import json
import time

import click

from parchunk.cli.tables import console, say
from parchunk.out.advance import Advance, Observer
from parchunk.out.claims import Claim
from parchunk.out.lease import RENEWAL
from parchunk.out.output import PLAN, Output
from parchunk.out.plan_file import load_plan
from parchunk.out.under_way import UnderWay, read_under_way
from parchunk.showing.pace import Rate
from parchunk.wording import count, counted, duration

#: Tasks that are named in one look.
_NAMED = 8


def watch(output: Output, every: float, as_json: bool) -> int:
    """Print a look at OUT every so many seconds, until what is under way is finished.

    Where nothing has begun yet, as on another machine, that is waited for, and said once.

    Raises
    ------
    InputError, OutputError
        When OUT holds something else than a build, or cannot be read.
    """
    rate, out = Rate(), console()
    first: int | None = None
    while True:
        if _is_to_begin(output):
            _say_that_it_waits(output, as_json)
            while _is_to_begin(output):
                time.sleep(every)
        # Read each time: an update may have another plan.
        plan = load_plan(output)
        # What is published was done before, and its claims forgotten.
        under_way = read_under_way(output, plan)
        advance = Observer(output, plan).look()
        speed = rate.take(time.monotonic(), advance.chunks)
        # An update makes what was done due again.
        first = advance.chunks if first is None else min(first, advance.chunks)
        left = _left(advance, under_way, speed, advance.chunks - first)
        finished = (
            under_way.published
            and not under_way.updating
            and advance.partitions == advance.partitions_total
        )
        if as_json:
            click.echo(json.dumps(_document(advance, under_way, speed, left, finished)))
        else:
            for line in _lines(advance, under_way, speed, left, finished):
                say(out, line)
        if finished:
            return 0
        time.sleep(every)


def _is_to_begin(output: Output) -> bool:
    """Whether OUT holds nothing yet, or no more than a build has that is still planning."""
    # Its plan is the first that a build writes.
    return output.stat(PLAN) is None and output.is_empty()


def _say_that_it_waits(output: Output, as_json: bool) -> None:
    if as_json:
        nothing = UnderWay(published=False, updating=False, holder=None)
        click.echo(json.dumps(_document(Advance(0, 0, 0, 0, (), ()), nothing, None, None, False)))
    else:
        now = time.strftime("%H:%M:%S")
        say(console(), f"{now} nothing has begun in {output.url} yet: waiting for a build of it")


def _left(advance: Advance, under_way: UnderWay, speed: float | None, came: int) -> float | None:
    """Return the seconds that the rest takes; None where nobody does it, or that is not known yet.

    That is so until as many chunks ``came`` since the first look as a partition has: a coordinate's
    one chunk says nothing.
    """
    at_work = advance.claims or under_way.holder is not None
    if not speed or not at_work or came * advance.partitions_total < advance.chunks_total:
        return None
    return (advance.chunks_total - advance.chunks) / speed


def _document(
    advance: Advance,
    under_way: UnderWay,
    speed: float | None,
    left: float | None,
    finished: bool,
) -> dict[str, object]:
    return {
        "finished": finished,
        "published": under_way.published,
        "partitions": advance.partitions_total,
        "partitions_done": advance.partitions,
        "chunks": advance.chunks_total,
        "chunks_done": advance.chunks,
        "chunks_per_second": None if speed is None else round(speed, 1),
        "seconds_left": None if left is None else round(left, 1),
        "holder": None if under_way.holder is None else str(under_way.holder),
        "at_work": [_claim(claim) for claim in advance.claims],
        "stale": [_claim(claim) for claim in advance.stale],
    }


def _claim(claim: Claim) -> dict[str, object]:
    holder = claim.holder
    return {
        "task": claim.task,
        "host": holder.host,
        "process": holder.pid,
        "partitions": claim.partitions,
        "partitions_done": claim.done,
        "keys_listed": claim.listed,
        "list_requests": claim.requests,
        "retries": claim.retries,
        "seconds": round(max(time.time() - holder.taken, 0.0), 1),
    }


def _lines(
    advance: Advance,
    under_way: UnderWay,
    speed: float | None,
    left: float | None,
    finished: bool,
) -> list[str]:
    parts = [
        f"{count(advance.partitions)} of {count(advance.partitions_total)} partitions",
        f"{count(advance.chunks)} of {count(advance.chunks_total)} chunks",
    ]
    if speed is not None and not finished:
        parts.append(f"{count(int(speed))} chunks/s")
    if left is not None and not finished:
        parts.append(f"about {duration(left)} to go")
    if finished:
        parts.append("published")
    elif advance.claims:
        at_work = counted(len(advance.claims), "task")
        parts.append(f"{at_work} at work (how far each is, it tells every {RENEWAL:.0f} s)")
    elif under_way.holder is not None:
        parts.append(f"process {under_way.holder.pid} on {under_way.holder.host} is at it")
    else:
        parts.append("nobody is at work")
    lines = [f"{time.strftime('%H:%M:%S')} {', '.join(parts)}"]
    for what, claims in (("", advance.claims), ("stale: ", advance.stale)):
        lines += [
            f"  {what}{claim}: {count(claim.done)} of {count(claim.partitions)} partitions, "
            f"{count(claim.listed)} keys listed"
            for claim in claims[:_NAMED]
        ]
        if len(claims) > _NAMED:
            lines.append(f"  {what}and {len(claims) - _NAMED:,} more")
    return lines
