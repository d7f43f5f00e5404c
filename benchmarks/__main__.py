"""The benchmarks by name: ``python -m benchmarks`` lists them, and with a NAME it runs one.

What follows NAME are options of that program: ``python -m benchmarks scale --help`` names them.
Before it runs, a line says what figures depend on: the day, the machine, and the versions.
"""

from __future__ import annotations

import ast
import datetime
import os
import runpy
import sys
from pathlib import Path

from parchunk.cli.version import version_text


def programs() -> dict[str, str]:
    """Return the first line of what each program says of itself, by its name; imports none."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        module = ast.parse(path.read_text())
        if any(isinstance(part, ast.If) for part in module.body):  # what is imported has none
            found[path.stem] = (ast.get_docstring(module) or "").splitlines()[0]
    return found


def heading() -> str:
    """Return the line that belongs to every figure."""
    versions = ", ".join(" ".join(line.split()) for line in version_text().splitlines())
    return f"{datetime.date.today()}, {os.cpu_count()} processors: {versions}"


def main(arguments: list[str]) -> int:
    """List the programs, or run one with its options; return the exit code."""
    known = programs()
    if not arguments or arguments[0] in {"-h", "--help"}:
        print("python -m benchmarks NAME [OPTIONS]\n")
        for name, line in known.items():
            print(f"  {name:<{max(map(len, known))}}  {line}")
        return 0
    name = arguments[0].removeprefix(".")
    if name not in known:
        print(f"no benchmark {name}: there are {', '.join(known)}", file=sys.stderr)
        return 2
    print(heading(), flush=True)
    sys.argv = [f"benchmarks.{name}", *arguments[1:]]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
