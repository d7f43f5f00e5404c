"""One-line changes of the core, each of which some test has to notice.

    python -m benchmarks.mutants [--each N] [--seed N] [MODULE...]

Of each module a fixed choice of changes is drawn: comparisons flipped or off by one, constants off
by one, ``and`` and ``or`` exchanged, conditions negated or dropped, statements left out. Each is
made in a copy of the project, whose tests of that module are run: the quick ones, and the slow ones
where those pass. A change that all pass survives, and is printed: the tests lack a case, or the
change makes no difference. A change after which they do not end counts as noticed.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).parents[1]
#: The core's modules from where data could be lost outwards, and the tests directly about each: the
#: quickest first, as one that fails ends them.
TESTS = {
    "listing/tally": (
        "listing/test_tally.py",
        "keys/test_row_sets.py",
        "listing/test_one_array.py",
        "listing/test_many_arrays.py",
    ),
    "listing/size_vector": ("listing/test_size_vector.py", "listing/test_tally.py"),
    "listing/walker": (
        "listing/test_faults.py",
        "listing/test_one_array.py",
        "listing/test_witness.py",
    ),
    "listing/listed_rows": (
        "listing/test_listed_rows.py",
        "listing/test_faults.py",
        "listing/test_witness.py",
    ),
    "listing/one_array": (
        "listing/test_one_array.py",
        "listing/test_many_arrays.py",
        "listing/test_faults.py",
    ),
    "listing/witness": (
        "listing/test_witness.py",
        "listing/test_faults.py",
    ),
    "out/receipts": (
        "out/test_receipts.py",
        "fuzz/test_output_files.py",
        "out/test_broken_outputs.py",
    ),
    "out/receipt_files": (
        "out/test_receipt_blocks.py",
        "out/test_receipts.py",
        "building/test_receipt_blocks.py",
    ),
    "out/receipt_blocks": (
        "out/test_receipt_blocks.py",
        "building/test_receipt_blocks.py",
    ),
    "out/receipts_at_once": (
        "out/test_receipt_blocks.py",
        "building/test_tasks.py",
        "building/test_receipt_blocks.py",
    ),
    "building/carrying": (
        "building/test_carrying.py",
        "building/test_strays_of_grown.py",
        "building/test_update_many.py",
        "building/test_update.py",
        "promises/test_update_kills.py",
        "building/test_update_regions.py",
    ),
    "building/carried_strays": (
        "building/test_strays_of_grown.py",
        "building/test_update_axes.py",
    ),
    "out/many_receipts": ("out/test_many_receipts.py",),
    "out/lost_files": ("building/test_lost_files.py",),
    "out/sorting_turn": ("out/test_sorting_turn.py",),
    "keys/encoding": (
        "keys/test_parsing.py",
        "keys/test_spelling.py",
    ),
    "stores/google_files": (
        "stores/test_google_files.py",
        "listing/test_google_credentials.py",
    ),
    "planning/refitting": (
        "planning/test_growth.py",
        "building/test_update_regions.py",
    ),
    "planning/growth": (
        "planning/test_growth.py",
        "building/test_update.py",
        "building/test_update_regions.py",
    ),
    "cover/key_ranges": (
        "cover/test_key_ranges.py",
        "listing/test_many_arrays.py",
        "cover/test_many_arrays.py",
    ),
    "cover/one_array": (
        "cover/test_jobs.py",
        "planning/test_choice.py",
        "planning/test_shard_plan.py",
        "listing/test_one_array.py",
    ),
    "cover/many_arrays": ("cover/test_many_arrays.py",),
    "cover/walks": (
        "cover/test_jobs.py",
        "cover/test_intervals.py",
        "cover/test_large_grids.py",
        "listing/test_one_array.py",
    ),
    "metadata/shard_grid": (
        "planning/test_shard_plan.py",
        "writing/test_shard_rows.py",
    ),
    "metadata/shard_stretches": (
        "planning/test_shard_plan.py",
        "writing/test_long_indexes.py",
    ),
    "listing/many_arrays": (
        "listing/test_many_arrays.py",
        "cover/test_many_arrays.py",
    ),
    "writing/record_writer": (
        "writing/test_inlining.py",
        "writing/test_inline_room.py",
        "building/test_rows.py",
        "building/test_oracle.py",
    ),
    "writing/inline_room": (
        "writing/test_inline_room.py",
        "writing/test_inlining.py",
        "writing/test_coordinates.py",
    ),
    "writing/known_rows": (
        "writing/test_known_rows.py",
        "building/test_rewriting.py",
        "building/test_update_axes.py",
    ),
    "listing/shard_reading": (
        "writing/test_shard_rows.py",
        "writing/test_long_indexes.py",
        "planning/test_shard_plan.py",
        "writing/test_inlining.py",
    ),
    "out/counts": ("out/test_counts.py",),
    "out/lease": (
        "out/test_lease.py",
        "out/test_lease_conditions.py",
    ),
    "out/renewal": (
        "out/test_lease.py",
        "building/test_tasks.py",
    ),
    "building/update": (
        "building/test_update.py",
        "promises/test_update_kills.py",
    ),
    "building/build": (
        "building/test_update.py",
        "building/test_sources.py",
        "building/test_executors.py",
        "cover/test_many_arrays.py",
    ),
    "icechunk_import/compared_arrays": (
        "icechunk_import/test_comparing.py",
        "icechunk_import/test_appending.py",
    ),
    "icechunk_import/history": ("icechunk_import/test_replacing.py",),
    "icechunk_import/committing": (
        "icechunk_import/test_replacing.py",
        "icechunk_import/test_import.py",
    ),
}
#: Of the time that quick tests take without a change: what those that end need at most...
PATIENCE = 5
#: ...and at least in seconds, as other things may run beside them.
LEAST = 60.0
#: Seconds after which slow tests do not end.
SLOW_PATIENCE = 600.0
#: Tests that are run first, and those that are run where they pass.
QUICK, SLOW = "not s3 and not slow", "not s3 and slow"
#: What pytest's exit code says when it ran no test: there is no slow one.
_NO_TESTS = 5

_FLIPPED: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
}


@dataclass(frozen=True)
class Mutant:
    """A change: ``new`` in place of the characters ``[begin, end)`` of a module's text."""

    module: str
    line: int
    begin: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        """Return where and what it is, in one line."""
        old, new = (" ".join(text.split())[:60] for text in (self.old, self.new))
        return f"{self.module}.py:{self.line}: {old}  ->  {new}"


def mutants(module: str, text: str) -> list[Mutant]:
    """Return all changes of a module."""
    tree = ast.parse(text)
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    raw = text.encode()

    def make(node: ast.expr | ast.stmt, new: str, *, after: ast.expr | None = None) -> Mutant:
        first = after or node
        begin = (
            starts[(first.end_lineno or 0) - 1] + (first.end_col_offset or 0)
            if after
            else starts[node.lineno - 1] + node.col_offset
        )
        end = (
            starts[node.lineno - 1] + node.col_offset
            if after
            else starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        )
        return Mutant(module, node.lineno, begin, end, raw[begin:end].decode(), new)

    found = []
    for node in ast.walk(tree):
        for target, new, left in _changes(node, text):
            found.append(make(target, new, after=left))
    return sorted(set(found), key=lambda one: (one.begin, one.end, one.new))


def _changes(
    node: ast.AST, text: str
) -> Iterator[tuple[ast.expr | ast.stmt, str, ast.expr | None]]:
    """Yield what to change, into what; what stands after an expression where that is given."""
    if isinstance(node, ast.Compare):
        left = node.left
        for sign, right in zip(node.ops, node.comparators, strict=True):
            for new in _FLIPPED.get(type(sign), ()):
                yield right, f" {new} ", left
            left = right
    elif isinstance(node, ast.BoolOp):
        words = " or " if isinstance(node.op, ast.And) else " and "
        for first, second in zip(node.values, node.values[1:], strict=False):
            yield second, words, first
    elif isinstance(node, ast.Constant) and type(node.value) is int and node.value < 1000:
        yield node, str(node.value + 1), None
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, f"({ast.get_source_segment(text, node.operand)})", None
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        test = node.test
        yield test, f"(not ({ast.get_source_segment(text, test)}))", None
        if isinstance(node, ast.If):
            yield test, "False", None
    elif isinstance(node, ast.Raise | ast.AugAssign | ast.Delete | ast.Break | ast.Continue) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield node, "pass", None


def chosen(module: str, text: str, each: int, seed: int) -> list[Mutant]:
    """Return a fixed choice of a module's changes that still is Python."""
    drawn: list[Mutant] = []
    pool = mutants(module, text)
    random.Random(f"{seed} {module}").shuffle(pool)
    for one in pool:
        if len(drawn) == each:
            break
        # a parenthesis between two operands is cut off with what stands between them
        if one.old.count("(") == one.old.count(")"):
            try:
                compile(changed(text, one), one.module, "exec")
            except SyntaxError:
                continue
            drawn.append(one)
    return sorted(drawn, key=lambda one: one.begin)


def changed(text: str, mutant: Mutant) -> str:
    """Return a module's text with a change."""
    raw = text.encode()
    return (raw[: mutant.begin] + mutant.new.encode() + raw[mutant.end :]).decode()


def passes(copy: Path, module: str, marks: str, patience: float = SLOW_PATIENCE) -> bool:
    """Whether the tests of a module with these marks pass in a copy of the project, in time."""
    tests = [str(copy / "tests" / name) for name in TESTS[module]]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", marks, *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(patience) in (0, _NO_TESTS)
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def patience_for(copy: Path, module: str) -> float:
    """Return the seconds in which the quick tests of a module end, if they do."""
    began = time.monotonic()
    if not passes(copy, module, QUICK):
        raise SystemExit(f"the tests of {module} fail without any change: mend them first")
    return max(PATIENCE * (time.monotonic() - began), LEAST)


def main() -> None:
    """Print the changes that no test noticed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="Default: all.")
    parser.add_argument("--each", type=int, default=12, help="Changes of each module.")
    parser.add_argument("--seed", type=int, default=0, help="Draws others.")
    given = parser.parse_args()
    unknown = sorted(set(given.modules) - TESTS.keys())
    if unknown:
        parser.error(f"no module {unknown[0]}: there are {', '.join(TESTS)}")
    console = Console(width=120, highlight=False, markup=False)
    began = time.monotonic()
    noticed, survived = 0, list[Mutant]()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        left_out = shutil.ignore_patterns(".*", "__pycache__", "demo")
        shutil.copytree(ROOT, copy, ignore=left_out)
        for module in given.modules or TESTS:
            path = copy / "src/parchunk" / f"{module}.py"
            text = path.read_text()
            patience = patience_for(copy, module)
            for mutant in chosen(module, text, given.each, given.seed):
                path.write_text(changed(text, mutant))
                if passes(copy, module, QUICK, patience) and passes(
                    copy, module, SLOW, SLOW_PATIENCE
                ):
                    survived.append(mutant)
                    console.print(f"survived: {mutant}")
                else:
                    noticed += 1
            path.write_text(text)
            console.print(f"{module}: done, {time.monotonic() - began:.0f} s")
    console.print(f"{noticed} of {noticed + len(survived)} changes noticed, seed {given.seed}:")
    for mutant in survived:
        console.print(f"  {mutant}")


if __name__ == "__main__":
    main()
