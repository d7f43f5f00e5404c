"""Coverage-guided search for inputs that break a target of `tests.fuzz.targets`.

    pip install atheris                      # has wheels for some Pythons on Linux only
    python -m tests.fuzz.atheris_run TARGET [CORPUS_FOLDER] [libFuzzer options]

e.g. ``python -m tests.fuzz.atheris_run metadata /tmp/corpus -max_total_time=600``. It starts from
the seeds in the repository and keeps what reaches new code in CORPUS_FOLDER. An input that fails is
written to ``crash-...``: put it into ``tests/fuzz/seeds/TARGET/`` and mend what it shows.
"""

from __future__ import annotations

import json
import operator
import random
import sys
from pathlib import Path
from typing import Any

import atheris
from atheris.version_dependent import CMP_OP_SHIFT_AMOUNT

with atheris.instrument_imports(include=["parchunk"]):
    from tests.fuzz.targets import TARGETS

SEEDS = Path(__file__).parent / "seeds"
#: Targets whose inputs are JSON, after how many other bytes.
JSON = {"plan_json": 0, "receipt": 0, "metadata": 1, "json_page": 0}
COMPARISONS = (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge)
#: What libFuzzer learns from when it is compared.
PLAIN = frozenset({int, str, bytes, bool, float, type(None)})
LIMITS = ["-timeout=20", "-rss_limit_mb=2048", "-max_len=65536"]

VALUES: list[Any] = [
    *[None, True, False, 0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, 10**30, 10**400, 1.5, 1e308],
    *[float("nan"), float("-inf"), "", "a", "..", "a/../b", "\0", "\ud800", "\n", "😀", "c", "/"],
    *[[], {}, [[]], {"": {}}, [1], [0], [10**18], ["a", None], {"name": "bytes"}, "<i4", "|O"],
    *["<f8", "<M8[ns]", "|V16", "|S5", "int4", "string", "float16", "r16", "NaN", "0x7fc00000"],
    *["zarr.json", "sharding_indexed", "transpose", "vlen-utf8", "v2", "default", "rectilinear"],
    {"configuration": {}},
    {"name": "regular", "configuration": {"chunk_shape": [0]}},
    [{"name": "<f4", "0": 1}, ["a", "<i4"], ["b", "|V0", [2]]],
]


def mutate(data: bytes, size: int, seed: int, skip: int) -> bytes:
    """Return an input with one entry of its JSON changed; bytes are changed now and then."""
    draw = random.Random(seed)
    try:
        document = json.loads(data[skip:])
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict | list) or draw.random() < 0.2:
        return bytes(atheris.Mutate(data, size))
    for _ in range(draw.choice([1, 1, 2, 4])):
        places = list(_places(document))
        if not places:
            break
        parent, key = draw.choice(places)
        what = draw.random()
        if what < 0.15:
            del parent[key]
        elif what < 0.3 and isinstance(parent, dict):
            parent[draw.choice(["", "a/b", "name", "t/.zarray", "t/c", "..", key * 2])] = _copy(
                parent[key]
            )
        else:
            other, at = draw.choice(places)
            parent[key] = _copy(draw.choice(VALUES) if draw.random() < 0.7 else _entry(other, at))
    try:
        made = data[:skip] + json.dumps(document).encode()
    except (ValueError, RecursionError):
        return data
    return made if len(made) <= size else data


def keep_no_results() -> None:
    """Have instrumented code show comparisons of plain values only to libFuzzer.

    atheris 3.0.0 never lets go of what a comparison returns. True and False do not mind, but
    arrays are compared to arrays: the target `keys` lost 300 kB with each input.
    """
    traced = atheris._trace_cmp

    def compare(left: Any, right: Any, comparison: int, *where: Any) -> Any:
        if type(left) in PLAIN and type(right) in PLAIN:
            return traced(left, right, comparison, *where)
        return COMPARISONS[comparison >> CMP_OP_SHIFT_AMOUNT](left, right)

    # Instrumented code looks it up by this name each time.
    atheris._trace_cmp = compare


def main() -> None:
    """Run libFuzzer on the target that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz.atheris_run {{{','.join(TARGETS)}}} ...")
    name = sys.argv.pop(1)
    mutator = None
    if name in JSON:

        def mutator(data: bytes, size: int, seed: int) -> bytes:
            return mutate(bytes(data), size, seed, JSON[name])

    # libFuzzer writes into the first folder only.
    arguments = [sys.argv[0], *LIMITS, *sys.argv[1:], str(SEEDS / name)]
    if all(argument.startswith("-") for argument in sys.argv[1:]):
        sys.exit("name a folder for the corpus")

    def target(data: bytes) -> None:
        # `Fuzz` sets the comparison, so it is replaced from within.
        if atheris._trace_cmp.__name__ == "_trace_cmp":
            keep_no_results()
        TARGETS[name](data)

    atheris.Setup(arguments, target, custom_mutator=mutator)
    atheris.Fuzz()


def _places(node: Any) -> Any:
    """Yield (parent, key) of each entry of a document."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


def _entry(node: Any, key: Any) -> Any:
    """Return an entry, None when a change before this one has removed it."""
    try:
        return node[key]
    except (KeyError, IndexError):
        return None


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


if __name__ == "__main__":
    main()
