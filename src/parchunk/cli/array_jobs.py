"""``--part``: which of N parts this machine does, as it is told or as its scheduler says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from parchunk.errors import InputError

_WRITE = "write I/N, such as 3/10 (counted from 1), auto, or auto/N"
#: Schedulers that count array jobs from 0: the variable of the index, and of how many there are.
_FROM_ZERO = (
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    ("BATCH_TASK_INDEX", "BATCH_TASK_COUNT"),  # Google Cloud Batch
    ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
    ("JOB_COMPLETION_INDEX", ""),  # Kubernetes does not say how many completions there are
)
#: What N is, by the variable that comes without it.
_COUNTED = {
    "JOB_COMPLETION_INDEX": "Kubernetes: N is the Job's completions",
    "CLOUD_RUN_TASK_INDEX": "Cloud Run: N is the job's tasks, as CLOUD_RUN_TASK_COUNT says them",
    "BATCH_TASK_INDEX": "Google Cloud Batch: N is the group's tasks, as BATCH_TASK_COUNT says them",
    "AWS_BATCH_JOB_ARRAY_INDEX": "AWS Batch: N is the array's size",
}


def parse_part(text: str, environment: Mapping[str, str]) -> tuple[int, int]:
    """Return which part (from 1), of how many, ``3/10`` spells, or ``auto`` by the environment.

    ``auto/10`` is for schedulers that say which of their jobs this is, and not of how many.

    Raises
    ------
    InputError
        When it spells none, or the environment does not say.
    """
    auto = re.fullmatch(r"auto(?:/([1-9][0-9]{0,8}))?", text.strip())
    if auto:
        return _by_environment(int(auto[1]) if auto[1] else None, environment)
    match = re.fullmatch(r"([0-9]{1,9})/([1-9][0-9]{0,8})", text.strip())
    if not match:
        raise InputError(f"--part {text!r} is no part: {_WRITE}")
    part, of = int(match[1]), int(match[2])
    if not 1 <= part <= of:
        raise InputError(f"--part {text}: there is no such part; they are 1/{of} to {of}/{of}")
    return part, of


def _by_environment(of: int | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """Return what the schedulers say, all of which must say the same.

    One that does not say how many jobs there are takes that from another, or from ``of``.
    """
    said = list(_said(environment))
    if not said:
        raise InputError(
            "--part auto: no array job of SLURM, AWS Batch, Google Cloud Batch, Cloud Run or "
            f"Kubernetes is seen in the environment: {_WRITE}"
        )
    for variable, _, count in said:
        if of is not None and count is not None and of != count:
            raise InputError(
                f"--part auto/{of}: by {variable} there are {count} jobs: give --part auto"
            )
    totals = {one for one in (of, *(count for _, _, count in said)) if one is not None}
    if len({index for _, index, _ in said}) > 1 or len(totals) > 1:
        each = ", ".join(f"{name} {index + 1}/{count or of or '?'}" for name, index, count in said)
        raise InputError(
            f"--part auto: several schedulers say which part this is ({each}): {_WRITE}; or unset "
            "those that this job is not of"
        )
    variable, index, _ = said[0]
    if not totals:
        raise InputError(
            f"--part auto: {variable} does not come with how many jobs there are: give --part "
            f"auto/N ({_COUNTED.get(variable, 'N is how many jobs the array has')})"
        )
    (total,) = totals
    if index + 1 > total:
        raise InputError(f"--part auto: {variable} says part {index + 1} of {total}: {_WRITE}")
    return index + 1, total


def _said(environment: Mapping[str, str]) -> Iterator[tuple[str, int, int | None]]:
    """Yield by which variable, which job (from 0) of how many this is."""
    slurm = "SLURM_ARRAY_TASK_"
    if f"{slurm}ID" in environment:
        number, count, first, last = (
            _number(environment, f"{slurm}{what}") for what in ("ID", "COUNT", "MIN", "MAX")
        )
        step = max((last - first) // max(count - 1, 1), 1)
        if first + step * (count - 1) != last or (number - first) % step:
            raise InputError(
                f"--part auto: the {count} indices of this SLURM array from {first} to {last} are "
                "not evenly spaced: submit --array=1-N, or give --part I/N"
            )
        yield f"{slurm}ID", (number - first) // step, count
    for index, size in _FROM_ZERO:
        if index in environment:
            total = _number(environment, size) if size and size in environment else None
            yield index, _number(environment, index), total


def _number(environment: Mapping[str, str], variable: str) -> int:
    text = environment.get(variable, "")
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise InputError(
            f"--part auto: the environment's {variable} is {text[:40]!r}, no number: {_WRITE}"
        )
    return int(text)
