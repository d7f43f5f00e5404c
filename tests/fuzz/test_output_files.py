"""Whatever lies in OUT, every command that reads it works or says one line, within its bounds."""

import contextlib
import copy
import io
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from parchunk.auditing.record_check import RecordChecker, RecordJob
from parchunk.cli.main import run
from parchunk.errors import InputError
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.out.receipt_files import read_receipts
from parchunk.out.receipts import Receipt
from parchunk.planning.joining.paths import array_paths
from parchunk.planning.plan_document import read_plan

#: PARCHUNK_FUZZ=5000 is the long form.
EXAMPLES = int(os.environ.get("PARCHUNK_FUZZ", "40"))
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SECONDS = 20

NUMBERS = st.one_of(
    st.integers(-2, 40),
    st.sampled_from([10**15, 10**18, 2**63 - 1, 2**63, 2**64, 10**30, -(10**18)]),
    st.floats(allow_nan=True, allow_infinity=True),
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *["..", "../../evil", "/etc/evil", "a/../../../evil", "", ".", "air", "\0", "a\nb"],
            *["'; DROP TABLE refs; --", "<script>alert(1)</script>", "😀" * 60, "x" * 1024],
            *[".parchunk/plan.json", ".zmetadata", "refs.0.parq", "c:", "[red]", "{{7*7}}"],
            *["a\\b", "\ud800", "%s%n"],
        ]
    ),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
#: Where to change a document: at each level, which of its entries to enter.
PATHS = st.lists(st.integers(0, 30), min_size=1, max_size=6)


def changed(document: Any, path: list[int], value: Any, remove: bool) -> Any:
    """Return a copy of a document with one entry replaced or removed."""
    document = copy.deepcopy(document)
    at = document
    for place, step in enumerate(path):
        keys: list[Any] = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return document
        key = keys[step % len(keys)]
        if place == len(path) - 1 or not isinstance(at[key], dict | list):
            if remove:
                del at[key]
            else:
                at[key] = value
            return document
        at = at[key]
    return document


def said_by(*arguments: str) -> tuple[int, str]:
    """Run the command line; return its code and what it said, which must be well-behaved."""
    out, err = io.StringIO(), io.StringIO()
    began = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(list(arguments))
    assert code in (0, 1, 2), err.getvalue()
    assert "Traceback" not in err.getvalue()
    if code == 2:
        assert err.getvalue().count("\n") == 1
    assert time.process_time() - began < SECONDS
    return code, err.getvalue()


@pytest.fixture
def copied(built: tuple[Path, Path], tmp_path: Path) -> Callable[[], tuple[Path, Path]]:
    """Return a function that returns the store and a fresh copy of its build."""

    def copy_() -> tuple[Path, Path]:
        source, out = built
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        shutil.copytree(out, tmp_path / "a/b/c/out")
        return source, tmp_path / "a/b/c/out"

    return copy_


def outside(out: Path) -> set[str]:
    """Return every path around OUT that is not in it."""
    root = out.parents[2]
    return {str(path) for path in root.rglob("*") if out not in (path, *path.parents)}


def try_everything(source: Path, out: Path) -> None:
    before = outside(out)
    said_by("status", str(out))
    said_by("status", str(out), "--json")
    said_by("build", str(source), str(out), "--region", "4")
    # What was there before must not lead --overwrite astray either.
    assert outside(out) == before


@BOUNDED
@given(path=PATHS, value=VALUES, remove=st.booleans())
@example(path=[9], value=10**18, remove=False)
def test_plan_that_was_edited(
    copied: Callable[[], tuple[Path, Path]],
    sign: Callable[[Any], Any],
    path: list[int],
    value: Any,
    remove: bool,
) -> None:
    source, out = copied()
    plan = out / ".parchunk/plan.json"
    document = changed(json.loads(plan.read_text()), path, value, remove)
    with contextlib.suppress(UnicodeEncodeError, AttributeError):
        document = sign(document)
    plan.write_text(json.dumps(document))
    try_everything(source, out)
    code, said = said_by("build", str(source), str(out), "--region", "4", "--overwrite")
    assert code == 0, said


@pytest.mark.parametrize(
    "change",
    [
        {"record_size": 10**18},
        {"record_size": True},
        {"region_length": -1},
        {"group": "../.."},
        {"source_options": {"secret_access_key": "x"}},
        {"source_options": {"endpoint": 1}},
        {"split": {"dimension": "time", "axis": 10**9}},
        {"arrays": []},
        {"shards": "some"},
        {"lone_array": 1},
        {"include": [1]},
    ],
    ids=str,
)
def test_plans_out_of_range(
    built: tuple[Path, Path], sign: Callable[[Any], Any], change: dict[str, Any]
) -> None:
    document = json.loads((built[1] / ".parchunk/plan.json").read_text())
    read_plan(sign(document))
    with pytest.raises(InputError, match="no parchunk plan"):
        read_plan(sign({**document, **change}))


@pytest.mark.parametrize(
    "name",
    ["../evil", "/evil", "a/../../evil", "..", ".parchunk/x", ".zmetadata", "a\0b", "refs.0.parq"],
)
def test_plans_with_names_that_lead_out(
    built: tuple[Path, Path], sign: Callable[[Any], Any], name: str
) -> None:
    document = json.loads((built[1] / ".parchunk/plan.json").read_text())
    document["hierarchy"]["arrays"][0]["name"] = name
    document["arrays"][0]["array"] = name
    with pytest.raises(InputError, match="the name"):
        read_plan(sign(document))


@pytest.mark.parametrize(("shape", "regions"), [(10**15, 1), (10**30, 10**29), (10**12, 1)])
def test_plans_of_too_many_chunks_or_partitions(
    built: tuple[Path, Path], sign: Callable[[Any], Any], shape: int, regions: int
) -> None:
    document = json.loads((built[1] / ".parchunk/plan.json").read_text())
    document["hierarchy"]["arrays"][0]["shape"] = [shape]
    document["arrays"][0]["region_chunks"] = regions
    with pytest.raises(InputError, match=r"partitions|cannot be"):
        read_plan(sign(document))


@BOUNDED
@given(path=PATHS, value=VALUES, remove=st.booleans())
def test_receipt_that_was_edited(
    copied: Callable[[], tuple[Path, Path]], path: list[int], value: Any, remove: bool
) -> None:
    source, out = copied()
    receipt = out / ".parchunk/receipts/air/1.json"
    document = changed(json.loads(receipt.read_text()), path, value, remove)
    receipt.write_text(json.dumps(document))
    try_everything(source, out)


@settings(BOUNDED, max_examples=200)
@given(document=VALUES)
def test_receipts_are_receipts_or_refused(document: Any) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        Receipt.from_json(document)


@BOUNDED
@given(
    file=st.sampled_from(
        [
            ".parchunk/plan.json",
            ".parchunk/receipts/air/0.json",
            ".parchunk/lease.json",
            ".zmetadata",
            "air/refs.0.parq",
        ]
    ),
    data=st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"\xff\xfe{", b"null"]),
        st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=4).map(
            lambda value: json.dumps(value).encode()
        ),
    ),
)
def test_files_that_are_something_else(
    copied: Callable[[], tuple[Path, Path]], file: str, data: bytes
) -> None:
    source, out = copied()
    (out / file).parent.mkdir(exist_ok=True)
    (out / file).write_bytes(data)
    try_everything(source, out)


@pytest.mark.parametrize(
    "file", [".parchunk/plan.json", ".parchunk/receipts/air/0.json", ".zmetadata"]
)
@pytest.mark.parametrize("kind", ["folder", "loop", "dangling", "gone"])
def test_files_that_are_no_files(
    copied: Callable[[], tuple[Path, Path]], file: str, kind: str
) -> None:
    source, out = copied()
    path = out / file
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "dangling":
        path.symlink_to(out / "nowhere")
    try_everything(source, out)


def test_receipts_are_trusted_by_a_resume(copied: Callable[[], tuple[Path, Path]]) -> None:
    """A record file that is there is not read: one that is damaged is the audit's to find."""
    source, out = copied()
    whole = (out / "air/refs.0.parq").read_bytes()
    (out / ".zmetadata").unlink()
    (out / "air/refs.0.parq").write_bytes(b"")
    assert said_by("build", str(source), str(out), "--region", "4")[0] == 0
    assert not (out / "air/refs.0.parq").read_bytes()
    # Without its receipt, the partition is done again.
    (out / ".parchunk/receipts/air/0.json").unlink()
    assert said_by("build", str(source), str(out), "--region", "4")[0] == 0
    assert (out / "air/refs.0.parq").read_bytes() == whole


def test_receipts_and_plans_cut_at_every_byte(
    copied: Callable[[], tuple[Path, Path]],
) -> None:
    """A write that was cut short: no part of a receipt is taken for one."""
    _, out = copied()
    output = open_output(str(out))
    plan = load_plan(output)
    receipt = out / ".parchunk/receipts/air/1.json"
    whole = receipt.read_bytes()
    others = len(read_receipts(output, plan)) - 1
    for length in range(len(whole)):
        receipt.write_bytes(whole[:length])
        complete = whole[:length].rstrip() == whole.rstrip()
        assert len(read_receipts(output, plan)) == others + complete, length
    document = out / ".parchunk/plan.json"
    text = document.read_bytes()
    for length in range(0, len(text.rstrip()), 7):
        document.write_bytes(text[:length])
        with pytest.raises(InputError):
            load_plan(output)


def test_record_files_cut_at_every_byte(copied: Callable[[], tuple[Path, Path]]) -> None:
    """The audit names the file, however much of it is there."""
    _, out = copied()
    file = out / "air/refs.0.parq"
    whole = file.read_bytes()
    plan = load_plan(open_output(str(out)))
    spec, paths = plan.by_name["air"].spec, array_paths(plan, "air")
    checker = RecordChecker(spec, "/s", paths, open_output(str(out)), 0, [], 0)
    job = RecordJob(index=0, first=0, rows=4, region=0, receipt="r", promised=None)
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        kinds = {finding.kind for finding in checker.check(job).findings}
        assert kinds == {"unreadable-file"}, length
    for length in (0, 3, 4, 11, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert said_by("audit", str(out))[0] == 1
        said_by("sql", str(out), "SELECT count(*), max(path) FROM refs")
