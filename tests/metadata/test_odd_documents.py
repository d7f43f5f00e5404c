"""Odd documents: whatever is built opens whole in stock readers, whatever is refused is named."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.metadata.odd_documents import ODD_V3, PLAIN_V2, PLAIN_V3, SAME_V3, V2, document
from zarr.storage import FsspecStore

import parchunk
from parchunk.cli.main import run

pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated"),
    pytest.mark.filterwarnings("ignore:The data type"),
    pytest.mark.filterwarnings("ignore:Combining a `sharding_indexed` codec"),
    pytest.mark.filterwarnings("ignore:Found an empty list of filters"),
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
]

#: How v3 documents are written.
WAYS: list[dict[str, Any]] = [{}, {"zarr_format": 3}, {"shards": "whole"}]


def ways(number: int) -> list[dict[str, Any]]:
    """Return v2 and one of those that keep v3, which differ in shards alone, by turns."""
    return [WAYS[0], WAYS[1 + number % 2]]


def name(case: Any) -> str:
    return json.dumps(case, default=str)[:80]


def make(path: Path, zarr_format: int, odd: dict[str, Any]) -> Path:
    """Write a store of one good array, and one whose document is ``odd``."""
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
    root.create_array("good", shape=(4,), chunks=(2,), dtype="<i4", fill_value=-1)[:2] = [7, 8]
    folder = path / "odd"
    folder.mkdir(exist_ok=True)
    (folder / (".zarray" if zarr_format == 2 else "zarr.json")).write_text(json.dumps(odd))
    return path


def opened(out: Path) -> zarr.Group:
    """Open OUT with stock fsspec and zarr, consolidated as readers take it."""
    references = fsspec.filesystem(
        "reference", fo=str(out), remote_protocol="file", asynchronous=True,
        skip_instance_cache=True,
    )  # fmt: skip
    with warnings.catch_warnings():
        # of a fill value that is infinite in its type
        warnings.filterwarnings("ignore", "overflow encountered in cast")
        return zarr.open_group(FsspecStore(references, read_only=True, path=""), mode="r")


def read(group: Any, array: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(group[array][...])


def same(one: Any, other: Any) -> bool:
    if one.dtype.kind in "OTSU":
        return bool(one.tolist() == other.tolist())
    return bool(
        one.dtype.newbyteorder("<") == other.dtype.newbyteorder("<")
        and one.astype(one.dtype.newbyteorder("<")).tobytes()
        == other.astype(other.dtype.newbyteorder("<")).tobytes()
    )


def refusal(source: Path, out: Path, options: dict[str, Any]) -> Exception | None:
    """Build, or return why not."""
    try:
        parchunk.build(parchunk.plan(str(source), **options), str(out))
    except parchunk.ParchunkError as error:
        return error
    return None


def check(source: Path, out: Path, options: dict[str, Any]) -> bool:
    """Build; return whether the odd array was taken. What is taken reads as in the source."""
    refused = refusal(source, out, options)
    if refused is not None:
        assert "odd" in str(refused)
        assert "\n" not in str(refused)
        skipping = isinstance(refused, parchunk.UnsupportedError)
        without: Any = {"skip_unsupported": True} if skipping else {"exclude": ["odd"]}
        parchunk.build(parchunk.plan(str(source), **without, **options), str(out))
    else:
        found = parchunk.audit(str(out)).findings
        assert not [item for item in found if item.severity == "damage"]
    refs = opened(out)
    assert refused is None or list(refs) == ["good"]
    assert read(refs, "good").tolist() == [7, 8, -1, -1]
    if refused is None:
        ours = read(refs, "odd")
        try:
            theirs = read(zarr.open_group(source, mode="r", use_consolidated=False), "odd")
        except Exception:  # what zarr-python cannot read has no values to compare with
            return True
        assert same(ours, theirs)
    return refused is None


@pytest.mark.parametrize("changes", V2, ids=name)
def test_odd_v2_documents(tmp_path: Path, changes: dict[str, Any]) -> None:
    source = make(tmp_path / "s.zarr", 2, document(PLAIN_V2, changes))
    check(source, tmp_path / "refs", {})


@pytest.mark.parametrize(("number", "changes"), list(enumerate(ODD_V3)), ids=name)
def test_odd_v3_documents(tmp_path: Path, number: int, changes: dict[str, Any]) -> None:
    source = make(tmp_path / "s.zarr", 3, document(PLAIN_V3, changes))
    for at, way in enumerate(ways(number)):
        check(source, tmp_path / f"refs{at}", way)


@pytest.mark.parametrize(("number", "pair"), list(enumerate(SAME_V3)), ids=name)
def test_v3_documents_that_mean_what_plain_ones_do(tmp_path: Path, number: int, pair: Any) -> None:
    odd, plain = (document(PLAIN_V3, changes) for changes in pair)
    source = make(tmp_path / "s.zarr", 3, plain)
    array = zarr.open_array(source, path="odd", mode="r+")
    values = np.arange(10).astype("u2").view("V2") if array.dtype.kind == "V" else np.arange(10)
    array[:7] = values[:7].astype(array.dtype)
    wanted = read(zarr.open_group(source, mode="r"), "odd")
    (source / "odd" / "zarr.json").write_text(json.dumps(odd))
    for at, way in enumerate(ways(number)):
        out = tmp_path / f"refs{at}"
        parchunk.build(parchunk.plan(str(source), **way), str(out))
        assert same(read(opened(out), "odd"), wanted), way
        found = parchunk.audit(str(out), against_source=True).findings
        assert {item.kind for item in found} <= {"missing-chunks"}


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_oddities_together(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Two oddities of different fields in one document."""
    if data.draw(st.booleans()):
        one, other = data.draw(st.sampled_from(V2)), data.draw(st.sampled_from(V2))
        made, zarr_format, way = document(PLAIN_V2, one | other), 2, {}
    else:
        cases = [*ODD_V3, *(odd for odd, _ in SAME_V3)]
        one, other = data.draw(st.sampled_from(cases)), data.draw(st.sampled_from(cases))
        made, zarr_format = document(PLAIN_V3, one | other), 3
        way = data.draw(st.sampled_from(WAYS))
    folder = tmp_path_factory.mktemp("odd")
    check(make(folder / "s.zarr", zarr_format, made), folder / "refs", way)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dtype": "f4"}, "dtype f4, which does not say its byte order"),
        ({"dtype": "<f16"}, "dtype <f16, which zarr-python does not read"),
        ({"dtype": "|u1", "fill_value": 300}, "fill_value '300', which is none for dtype |u1"),
        ({"dtype": "<i4", "fill_value": "x"}, "fill_value 'x', which is none for dtype <i4"),
        ({"dtype": "<U4", "fill_value": float("nan")}, "fill_value 'nan', which is none for dtype"),
        ({"dtype": "|S4", "fill_value": float("inf")}, "fill_value 'inf', which is none for dtype"),
        ({"compressor": {"id": "nope"}}, "codec nope, which zarr-python cannot make"),
        (
            {"dtype": "|O", "fill_value": None, "filters": [{"id": "json2"}]},
            "dtype |O with json2, which zarr-python does not read",
        ),
        ({"dtype": "|O", "fill_value": None}, "dtype |O with no filter"),
        ({"shape": [10, 10], "chunks": 5}, "chunks 5 for 2 dimensions"),
    ],
)
def test_refusals_name_the_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    source = make(tmp_path / "s.zarr", 2, document(PLAIN_V2, changes))
    assert run(["build", str(source), str(tmp_path / "refs")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "array 'odd'" in error
    assert "--skip-unsupported" in error
    assert run(["build", str(source), str(tmp_path / "refs"), "--skip-unsupported"]) == 0
    assert "odd was skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("dtype", "zero"),
    [
        ([["a", "<i4"], ["b", "<f8"]], np.zeros(10, [("a", "<i4"), ("b", "<f8")])),
        ("|S3", np.zeros(10, "S3")),
        ("<U3", np.zeros(10, "U3")),
        ("|V3", np.zeros(10, "V3")),
        ("<c8", np.zeros(10, "c8")),
    ],
    ids=str,
)
def test_zeros_of_zarr_2_are_spelled_as_readers_know_them(
    tmp_path: Path, dtype: Any, zero: Any
) -> None:
    source = make(tmp_path / "s.zarr", 2, document(PLAIN_V2, {"dtype": dtype, "fill_value": 0}))
    assert check(source, tmp_path / "refs", {})
    assert same(read(opened(tmp_path / "refs"), "odd"), zero)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_dimension_names_that_are_none_stop_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], zarr_format: int
) -> None:
    for names in (["x", "y"], 5, {"x": 1}, [5], []):
        source = make(
            tmp_path / "s.zarr",
            zarr_format,
            document(PLAIN_V2, {})
            if zarr_format == 2
            else document(PLAIN_V3, {"attributes": {"_ARRAY_DIMENSIONS": names}}),
        )
        if zarr_format == 2:
            (source / "odd" / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": names}))
        assert run(["plan", str(source)]) == 0
        assert "array 'odd': its _ARRAY_DIMENSIONS" in capsys.readouterr().out
        assert run(["build", str(source), str(tmp_path / "refs"), "--overwrite"]) == 0
        assert "array 'odd': its _ARRAY_DIMENSIONS" in capsys.readouterr().out
        assert read(opened(tmp_path / "refs"), "odd").tolist() == [0.0] * 10


def test_groups_whose_attributes_are_null(tmp_path: Path) -> None:
    source = make(tmp_path / "s.zarr", 3, document(PLAIN_V3, {}))
    group = {"zarr_format": 3, "node_type": "group", "attributes": None}
    (source / "zarr.json").write_text(json.dumps(group))
    for at, way in enumerate(WAYS):
        assert check(source, tmp_path / f"refs{at}", way)


def test_attributes_of_v2_that_are_null(tmp_path: Path) -> None:
    source = make(tmp_path / "s.zarr", 2, document(PLAIN_V2, {"shape": 10, "chunks": 5}))
    for node in ("", "good", "odd"):
        (source / node / ".zattrs").write_text("null\n")
    assert check(source, tmp_path / "refs", {})
    entries = {
        str(path.relative_to(source)): json.loads(path.read_text()) for path in source.rglob(".z*")
    }
    consolidated = {"zarr_consolidated_format": 1, "metadata": entries}
    (source / ".zmetadata").write_text(json.dumps(consolidated))
    assert check(source, tmp_path / "again", {})


def test_the_tables_are_as_large_as_they_say() -> None:
    assert len(ODD_V3) + len(SAME_V3) > 100
    assert len(V2) > 100
