"""Names, keys and links that a store may hold, from the merely odd to the hostile."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

import parchunk
from parchunk.cli.main import run
from parchunk.errors import ParchunkError
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.space import KeySpace
from parchunk.listing.strays import find_strays
from parchunk.metadata.spec import ArraySpec

EXAMPLES = int(os.environ.get("PARCHUNK_FUZZ", "40"))
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ZARRAY = {"zarr_format": 2, "shape": [30], "chunks": [1], "dtype": "<i4", "order": "C"}
ZARRAY |= {"fill_value": 0, "filters": None, "compressor": None}


def one_line(capsys: pytest.CaptureFixture[str], *arguments: str) -> int:
    code = run(list(arguments))
    said = capsys.readouterr().err
    assert code in (0, 1, 2)
    assert "Traceback" not in said
    assert said.count("\n") == (code == 2)
    return code


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        ("it's", True),
        ('say "t"', True),
        ("'; DROP TABLE refs; --", True),
        ("<b>t</b>&amp;", True),
        ("[red]t[/red]", True),
        ("💾" * 40, True),
        ("%2e%2e", True),
        ("a%b#c?d", True),
        ("x" * 255, True),
        ("line\nbreak", False),
        ("..", False),
        ("a/../../b", False),
        ("nul\0", False),
        ("x" * 1024, False),
        (".parchunk", False),
        ("refs.0.parq", False),
        ("back\\slash", False),
    ],
)
def test_names(tmp_path: Path, name: str, usable: bool) -> None:
    """By consolidated metadata, which can claim names that no folder could have."""
    store = MemoryStore()
    consolidated = {".zgroup": {"zarr_format": 2}, f"{name}/.zarray": ZARRAY}
    document = {"zarr_consolidated_format": 1, "metadata": consolidated}
    store.put("s/.zgroup", b'{"zarr_format": 2}')
    store.put("s/.zmetadata", json.dumps(document).encode())
    source = parchunk.Source(store=store, prefix="s")
    before = {str(path) for path in tmp_path.rglob("*")}
    out = tmp_path / "deep/er/out"
    if not usable:
        with pytest.raises(ParchunkError) as error:
            parchunk.build(parchunk.plan(source), str(out))
        assert "\n" not in str(error.value)
        assert {str(path) for path in tmp_path.rglob("*")} == before
        return
    result = parchunk.build(parchunk.plan(source), str(out))
    assert result.missing == 30
    assert (out / name / "refs.0.parq").exists()
    assert run(["status", str(out)]) == 0
    inside = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(out in path.parents for path in inside)


def test_names_that_begin_alike(store_of: Callable[..., Path], tmp_path: Path) -> None:
    names = {"air": 30, "air_temp": 20, "air.2": 10, "air-": 5, "ai": 7, "air temp": 3}
    source = store_of(tmp_path / "source", names)
    result = parchunk.build(parchunk.plan(str(source)), str(tmp_path / "out"))
    present = {receipt.array: 0 for receipt in result.receipts}
    for receipt in result.receipts:
        present[receipt.array] += receipt.present
    assert present == {name: count - -(-count // 3) for name, count in names.items()}


@pytest.mark.parametrize("where", ["t/loop", "loop", "t/31"])
def test_links_that_go_round(
    store_of: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: str,
) -> None:
    source = store_of(tmp_path / "source", {"t": 30})
    (source / where).symlink_to(source)
    code = one_line(capsys, "build", str(source), str(tmp_path / "out"))
    if code == 0:
        assert one_line(capsys, "status", str(tmp_path / "out")) == 0
    else:
        assert not (tmp_path / "out/.zmetadata").exists()


@pytest.mark.parametrize("where", [".zgroup", "t/.zarray", ".zmetadata", "zarr.json"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_metadata_that_is_no_file(
    store_of: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: str,
    kind: str,
) -> None:
    """A pipe would be waited for, and /dev/zero read, for ever."""
    source = store_of(tmp_path / "source", {"t": 30})
    (source / where).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(source / where)
    else:
        (source / where).symlink_to("/dev/zero")
    assert run(["build", str(source), str(tmp_path / "out")]) == 2
    assert "no regular file" in capsys.readouterr().err
    assert not (tmp_path / "out/.zmetadata").exists()


def test_inlined_chunks_that_are_no_files(store_of: Callable[..., Path], tmp_path: Path) -> None:
    source = store_of(tmp_path / "source", {"t": 30})
    (source / "t/4").unlink()
    os.mkfifo(source / "t/4")
    assert run(["build", str(source), str(tmp_path / "out"), "--inline-threshold", "100"]) in (0, 2)


def test_attributes_that_are_no_unicode(store_of: Callable[..., Path], tmp_path: Path) -> None:
    """JSON can spell half of a surrogate pair, which UTF-8 cannot: it stays spelled."""
    source = store_of(tmp_path / "source", {"t": 30})
    (source / "t/.zattrs").write_text(r'{"units": "\ud800", "é": "💾"}')
    assert run(["build", str(source), str(tmp_path / "out")]) == 0
    root = json.loads((tmp_path / "out/.zmetadata").read_text())
    assert root["metadata"]["t/.zattrs"] == {"units": "\ud800", "é": "💾"}
    assert run(["status", str(tmp_path / "out"), "--json"]) == 0


TAILS = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"c?[/.]?[0-9]{1,30}([/.][0-9]{0,30}){0,4}.?", fullmatch=True),
    st.integers(1, 6000).map(lambda n: "9" * n),
    st.sampled_from(["", "/", "c", "c/", "0.", ".0", "00", "0.00", "٣.١", "１", "1e3", "-1", "+1"]),
)


@settings(BOUNDED, max_examples=5 * EXAMPLES)
@given(
    tail=TAILS,
    grid=st.lists(st.integers(1, 10**6), max_size=3).map(tuple),
    marker=st.sampled_from(["", "c"]),
    separator=st.sampled_from(["/", "."]),
    size=st.integers(0, 1),
)
def test_keys(tail: str, grid: tuple[int, ...], marker: str, separator: str, size: int) -> None:
    keys = KeyEncoding(marker, separator, len(grid))  # type: ignore[arg-type]
    spec = ArraySpec("t", 2, grid, (1,) * len(grid), "int32", 4, (None,) * len(grid), keys, {}, {})
    index = keys.index(tail)
    if index is not None:
        assert keys.tail(index) == tail
    find_strays(spec, pa.array([tail]), np.array([size]))
    assert 0 <= KeySpace(grid, keys).position(tail) <= spec.total
