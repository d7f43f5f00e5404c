"""How such a history ends: all is listed again, and OUT is what its source is."""

from __future__ import annotations

from benchmarks.history_requests import let_time_pass
from benchmarks.quiet import judging
from benchmarks.quiet.course import Course, Wrong


def end(one: Course) -> None:
    """List all arrays again, or build anew where an update is refused, and compare all."""
    let_time_pass(one.out)
    done = one.is_published and everything(one)
    if not done:
        one.counts["ended by a new build"] += 1
        one.tries, one.settled = [], {}
        code, said = one.run(one.manner.build("--overwrite"))
        if code == 2:
            one.counts["ended with no build"] += 1
            return
    one.tries, one.settled = [], {}  # nothing may be stale any more
    one.settle("end")
    one.cut_short = False
    code, said = one.run(one.manner.audit())
    odd = {found["kind"] for found in said["findings"]} - judging.CLEAN
    if odd:
        raise Wrong(f"in the end the audit finds {odd}: {said['findings'][:3]}")


def everything(one: Course) -> bool:
    """Update with all arrays listed again; return whether that was done."""
    arrays = [f"--arrays={name}" for name in one.arrays() & one.truth().keys()]
    before = len(one.refusals)
    code, _ = one.run(one.manner.update("--allow-shrink", "--allow-gone", *arrays))
    return code == 0 and len(one.refusals) == before
