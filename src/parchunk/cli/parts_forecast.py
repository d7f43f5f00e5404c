"""What a build in N parts would take: ``parchunk plan --parts N``."""

from __future__ import annotations

from parchunk.cli.prices import (
    GET_PRICE,
    GET_SECONDS,
    LIST_PRICE,
    LIST_SECONDS,
    price_text,
    time_text,
)
from parchunk.cover.dividing import parts_of
from parchunk.cover.forecast import Forecast, forecast_jobs
from parchunk.cover.room import room_for
from parchunk.cover.store_work import store_works
from parchunk.cover.walks import width_of
from parchunk.planning.plan import Plan
from parchunk.planning.stretches import partitions_in, stretch_name
from parchunk.wording import count, counted


def describe_parts(plan: Plan, parts: int, memory: int, concurrency: int) -> dict[str, object]:
    """Return what all parts cost together, and the dearest takes, were every chunk there.

    ``seconds`` are the dearest part's, with ``concurrency`` requests side by side in each;
    ``imbalance`` is how many times the mean it takes.
    """
    assert plan.source is not None
    manner = plan.source.manner
    width = width_of(manner, concurrency)
    most_held = room_for(plan, plan.partitions(), memory, concurrency)
    stretches = parts_of(plan, manner, parts)
    costs = []
    for stretch in stretches:
        pending = list(partitions_in(plan, stretch.start, stretch.stop))
        costs.append(
            Forecast.total(
                forecast_jobs(work.plan, work.jobs(most_held, width), work.beside)
                for work in store_works(plan, plan.source, pending)
            )
        )
    cost = Forecast.total(costs)
    remote = manner.remote
    seconds = [
        (one.requests * LIST_SECONDS + one.gets * GET_SECONDS) / concurrency for one in costs
    ]
    weights = seconds if remote else [stretch.cost for stretch in stretches]
    dearest = max(range(parts), key=lambda at: (weights[at], stretches[at].cost))
    mean = sum(weights) / parts
    price = (cost.requests * LIST_PRICE + cost.gets * GET_PRICE) / 1000
    return {
        "parts": parts,
        "idle": sum(not stretch.cost for stretch in stretches),
        "list_requests": cost.requests if remote else 0,
        "get_requests": cost.gets if remote else 0,
        "price_usd": round(price, 4) if remote else 0,
        "seconds": round(seconds[dearest], 1) if remote else 0,
        "imbalance": round(weights[dearest] / mean, 2) if mean else 1.0,
        "dearest": stretch_name(plan, stretches[dearest].start, stretches[dearest].stop),
    }


def parts_text(shown: dict[str, object]) -> str:
    """Return that in words."""
    idle = f", {shown['idle']} of them without work" if shown["idle"] else ""
    costs = ""
    if shown["list_requests"]:
        costs = (
            f": {count(int(str(shown['list_requests'])))} LIST and "
            f"{count(int(str(shown['get_requests'])))} GET requests, "
            f"{price_text(float(str(shown['price_usd'])))}; "
            f"the dearest takes {time_text(float(str(shown['seconds'])))}"
        )
    parts = counted(int(str(shown["parts"])), "part")
    return (
        f"in {parts}{idle}{costs}; the dearest has {shown['imbalance']} times the "
        f"mean ({shown['dearest']})"
    )
