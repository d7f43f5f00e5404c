"""What is fuzzed: functions of bytes that raise nothing, however hostile the bytes are.

`test_seeds` runs each of them over the inputs in ``seeds/``; `tests.fuzz.atheris_run` searches for
new ones. An input that is refused in one line is fine: only tracebacks, wrong values and bounds
that do not hold fail.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import itertools
import json
import socket
import tempfile
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from obstore.store import GCSStore, MemoryStore, S3Store
from tests.fuzz.conftest import make_store, signed

from parchunk.cli.main import run
from parchunk.cover.forecast import forecast_jobs
from parchunk.cover.scheduling import make_jobs
from parchunk.cover.walks import width_of
from parchunk.errors import InputError, ParchunkError
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.parsing import parse_paths, positions_of
from parchunk.keys.space import KeySpace
from parchunk.listing.strays import find_strays
from parchunk.listing.wire.connection import Answer, Connection
from parchunk.listing.wire.gcs import GCS, read_json
from parchunk.listing.wire.page import UnreadablePage, WirePage
from parchunk.listing.wire.page_reader import PageReader
from parchunk.listing.wire.s3 import S3
from parchunk.listing.wire.s3_place import s3_place
from parchunk.listing.wire.strict_reader import microseconds, path_of, read_strictly
from parchunk.metadata.spec import ArraySpec
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.out.receipt_files import read_receipts
from parchunk.out.receipts import Receipt
from parchunk.planning.from_source import plan as plan_of
from parchunk.planning.plan import Plan
from parchunk.planning.plan_differences import plan_differences
from parchunk.planning.plan_document import read_plan
from parchunk.reading.status import read_status
from parchunk.reading.views import Contents, view_statements
from parchunk.stores.manner import Manner
from parchunk.stores.source import Source

#: Partitions of one plan that are looked at: a hostile one may have millions.
_LOOKED_AT = 200
#: Chunks of plans whose listings are computed.
_COMPUTED = 10**6
#: Bytes of an answer that are looked at: as many as a socket takes before any is read.
_SENT = 65_536


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Let errors that parchunk raises on purpose pass, when they are one line."""
    try:
        yield
    except ParchunkError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said
    assert len(said) < 100_000


def plan_json(data: bytes) -> None:
    """A plan.json, signed as whoever edits it can sign it."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        with contextlib.suppress(UnicodeEncodeError, RecursionError):
            document = signed(document)
    with refusing():
        plan = read_plan(document)
        _look_at(plan)


def receipt(data: bytes) -> None:
    """A receipt, as a resume and `status` read it."""
    output = open_output(str(_built()))
    plan = load_plan(output)
    data = data.replace(b"@FINGERPRINT@", plan.fingerprint.encode())
    with _holding(".parchunk/receipts/air/1.json", data), refusing():
        for found in read_receipts(output, plan).values():
            assert found.present + found.missing == found.expected
            assert Receipt.from_json(json.loads(json.dumps(found.to_json()))) == found
        read_status(output)


def record_file(data: bytes) -> None:
    """A record file, as the audit and the views read it."""
    with _holding("air/refs.0.parq", data):
        _command("audit", str(_built()), "--json")
        query = "SELECT count(*), sum(size), max(path), max(chunk_key) FROM refs"
        _command("sql", str(_built()), query)


def metadata(data: bytes) -> None:
    """A metadata document: the first byte says which, the rest is its content."""
    names = ("t/.zarray", "t/.zattrs", "zarr.json", "t/zarr.json", ".zmetadata", ".zgroup")
    which = names[data[0] % len(names)] if data else names[0]
    store = MemoryStore()
    zarray = {"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i4", "order": "C"}
    zarray |= {"fill_value": 0, "filters": None, "compressor": None}
    if "zarr.json" in which:
        store.put("s/zarr.json", b'{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    else:
        store.put("s/.zgroup", b'{"zarr_format": 2}')
        store.put("s/t/.zarray", json.dumps(zarray).encode())
    store.put(f"s/{which}", data[1:])
    for skip in (False, True):
        with refusing():
            plan = plan_of(Source(store=store, prefix="s"), skip_unsupported=skip)
            again = read_plan(json.loads(json.dumps(plan.to_json())))
            assert again.fingerprint == plan.fingerprint
            _look_at(plan)


def keys(data: bytes) -> None:
    """Object keys below an array: 8 bytes choose the grid, lines are keys."""
    head, body = data[:8].ljust(8, b"\0"), data[8:]
    grid = tuple(1 + size**2 for size in head[1 : 1 + head[0] % 4])
    encoding = KeyEncoding("c" if head[5] % 2 else "", "/" if head[6] % 2 else ".", len(grid))
    base = "s/é/" if head[7] % 2 else "s/a/"
    tails = body.decode("utf-8", "replace").split("\n")
    paths = pa.array([base + tail for tail in tails], pa.string())
    parsed = parse_paths(paths, base, KeySpace(grid, encoding))
    expected, others = [], []
    for row, tail in enumerate(tails):
        index = encoding.index(tail)
        if index is None or any(at >= size for at, size in zip(index, grid, strict=True)):
            others.append(row)
        else:
            number = 0
            for at, size in zip(index, grid, strict=True):
                number = number * size + at
            expected.append(number)
    assert parsed.numbers.tolist() == expected
    assert parsed.others.tolist() == others
    spec = ArraySpec("a", 2, grid, (1,) * len(grid), "i4", 4, (None,) * len(grid), encoding, {}, {})
    ordered = sorted(tails, key=str.encode)
    positions = [KeySpace(grid, encoding).position(tail) for tail in ordered]
    assert positions == sorted(positions)
    assert all(0 <= position <= prod(grid) for position in positions)
    strays = [tail for row, tail in enumerate(tails) if row in set(others)]
    found = positions_of(pa.array(strays, pa.string()), KeySpace(grid, encoding)).tolist()
    assert found == [KeySpace(grid, encoding).position(tail) for tail in strays]
    sizes = np.array([len(tail) % 2 for tail in strays], np.int64)
    assert find_strays(spec, pa.array(strays, pa.string()), sizes).num_rows <= len(strays)


def sql(data: bytes) -> None:
    """A query: it may fail, and change nothing."""
    before = _picture(_built().parent)
    _command("sql", str(_built()), data.decode("utf-8", "replace"))
    assert _picture(_built().parent) == before


def page(data: bytes) -> None:
    """A page of a listing in XML: vectors and a parser must make the same of it."""
    assert _page_of(_read_alone, data) == _page_of(read_strictly, data)


def _read_alone(body: bytes) -> WirePage:
    reader = PageReader()
    reader.add(body)
    (page,) = reader.read()
    return page


def json_page(data: bytes) -> None:
    """A page of a listing in JSON: as vectors read it, so it is said there, object by object."""
    found = _page_of(lambda body: read_json(body, "a/b"), data)
    if found is None:
        return
    said = json.loads(data)
    items = said.get("items", [])
    items = items[1:] if items and items[0]["name"] == "a/b" else items
    times = [microseconds(item["updated"]) for item in items]
    sizes = [int(item["size"]) for item in items]
    assert found == (
        ([path_of(item["name"]) for item in items], sizes, times),
        said.get("nextPageToken") or None,
        "",
    )


def answer(data: bytes) -> None:
    """An answer over HTTP: read as by Python's own client, or refused; an error says one line."""
    ours, theirs = _heard(_of_ours, data), _heard(_of_pythons, data)
    assert ours == theirs
    if ours is None or ours.status == 200:
        return
    for dialect in _dialects():
        said = dialect.refused(ours, "").reason
        assert said
        assert said.isprintable()
        assert len(said) < 1_000


def _heard(ask: Callable[[http.client.HTTPConnection], Answer], data: bytes) -> Answer | None:
    """Return the answer that these bytes are, without its headers; None where they are none."""
    here, there = socket.socketpair()
    made = http.client.HTTPConnection("store.example")
    made.sock = here
    with here, there:
        there.sendall(data[:_SENT])
        there.shutdown(socket.SHUT_WR)
        try:
            return ask(made)
        except (OSError, http.client.HTTPException, ValueError, OverflowError):
            return None
        finally:
            made.close()


def _of_ours(made: http.client.HTTPConnection) -> Answer:
    connection = Connection(made)
    connection.send("/", {})
    connection.begin()
    said, _ = connection.answer(lambda: None, lambda: None)
    return Answer(said.status, said.phrase, said.body)


def _of_pythons(made: http.client.HTTPConnection) -> Answer:
    made.request("GET", "/")
    response = made.getresponse()
    if (response.length or 0) > _SENT:  # it would make room for all of them
        raise http.client.IncompleteRead(b"")
    phrase = "".join(filter(str.isprintable, response.reason))
    bodiless = response.status < 200 or response.status in (204, 304)
    return Answer(response.status, phrase, b"" if bodiless else response.read())


@functools.cache
def _dialects() -> tuple[S3, GCS]:
    plain = S3Store("b", skip_signature=True, region="us-east-1")
    return S3(s3_place(plain)), GCS.of(GCSStore("b", skip_signature=True))


def _page_of(read: Callable[[bytes], WirePage], data: bytes) -> Any:
    """Return the rows of a page and what follows it, or None where it is refused in one line."""
    try:
        found, said = read(data), ""
    except UnreadablePage as error:
        found, said = None, str(error)
    assert "\n" not in said
    if found is None:
        return None
    listed = found.listed
    listed.paths.validate(full=True)
    rows = (listed.paths.to_pylist(), listed.sizes.tolist(), listed.modified.tolist())
    assert len({len(column) for column in rows}) == 1
    return rows, found.token, found.fault


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (plan_json, receipt, record_file, metadata, keys, sql, page, json_page, answer)
}


def _look_at(plan: Plan) -> None:
    """Do with a plan what commands do before they list anything."""
    for partition in itertools.islice(plan.partitions(), _LOOKED_AT):
        assert str(partition)
        assert partition.rows.total >= 0
    assert plan_differences(plan, plan) == []
    view_statements(plan, "/out", Contents(frozenset(plan.by_name), ["*.json"], True, True, True))
    if plan.chunks <= _COMPUTED and sum(array.regions for array in plan.arrays) <= _LOOKED_AT:
        width = width_of(Manner(), 8)
        with contextlib.suppress(InputError):
            forecast_jobs(plan, make_jobs(plan, plan.partitions(), 10**7, width))


def _command(*arguments: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(list(arguments))
    said = err.getvalue()
    assert code in (0, 1, 2), said
    assert said.count("\n") == (code == 2), said


@functools.cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="parchunk-fuzz-")
    _folder.__dict__["kept"] = folder  # removed with the process
    return Path(folder.name)


@functools.cache
def _built() -> Path:
    """Return a finished build of two small arrays."""
    source = make_store(_folder() / "source", {"air": 12, "air_temp": 4})
    _command("build", str(source), str(_folder() / "out"), "--region", "4")
    return _folder() / "out"


@contextlib.contextmanager
def _holding(file: str, data: bytes) -> Iterator[None]:
    """Have a file of the build hold ``data`` meanwhile."""
    path = _built() / file
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


def _picture(root: Path) -> dict[str, Any]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }
