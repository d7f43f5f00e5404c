"""A source whose documents are spelled anew is the same source: updates, resumes, audits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.cli.main import run
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan

Reader = Callable[..., zarr.Group]


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def as_zarr_2(document: dict[str, Any]) -> None:
    """Spell a ``.zarray`` as zarr-python 2 did."""
    document.pop("dimension_separator", None)
    document["fill_value"] = 0


def as_others(document: dict[str, Any]) -> None:
    """Spell a ``zarr.json`` as a sparing writer does."""
    document.pop("storage_transformers", None)
    document.pop("attributes", None)
    document["fill_value"] = 0
    document["chunk_key_encoding"] = {"name": "default"}
    document["codecs"] = [
        codec if codec.get("configuration") else codec["name"] for codec in document["codecs"]
    ]


def write(path: Path, zarr_format: Any, length: int = 8) -> Path:
    """Write (or lengthen) a store of one array, as zarr-python 3 spells it."""
    new = not path.exists()
    root = zarr.open_group(path, mode="a", zarr_format=zarr_format)
    if new:
        root.create_array(
            "t", shape=(0, 3), chunks=(1, 3), dtype="<f4", fill_value=0.0,
            compressors=None if zarr_format == 2 else "auto",
        )  # fmt: skip
    array = root["t"]
    assert isinstance(array, zarr.Array)
    start = array.shape[0]
    array.resize((length, 3))
    array[start:] = np.arange(start, length)[:, None] + 1
    return path


DOCUMENT = {2: ".zarray", 3: "zarr.json"}
RESPELL = {2: as_zarr_2, 3: as_others}


@pytest.fixture(params=[2, 3])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_the_first_append_of_another_writer_is_growth(
    tmp_path: Path, zarr_format: int, open_references: Reader
) -> None:
    source, out = write(tmp_path / "s.zarr", zarr_format), tmp_path / "refs"
    document = source / "t" / DOCUMENT[zarr_format]
    edit(document, RESPELL[zarr_format])
    before = document.read_text()
    parchunk.build(parchunk.plan(str(source), region=4), str(out))
    write(source, zarr_format, 12)  # zarr-python 3 spells the document in its own way
    assert set(json.loads(document.read_text())) != set(json.loads(before))
    parchunk.update(str(out))
    assert open_references(out)["t"][...].tolist() == [[n + 1.0] * 3 for n in range(12)]
    assert parchunk.audit(str(out), against_source=True).findings == ()


def test_respelled_and_not_grown(tmp_path: Path, zarr_format: int) -> None:
    source, out = write(tmp_path / "s.zarr", zarr_format), tmp_path / "refs"
    parchunk.build(parchunk.plan(str(source), region=4), str(out))
    root = (out / ".zmetadata").read_bytes()
    edit(source / "t" / DOCUMENT[zarr_format], RESPELL[zarr_format])
    assert parchunk.audit(str(out), against_source=True).findings == ()
    assert parchunk.update(str(out)).missing == 0
    assert json.loads((out / ".zmetadata").read_bytes())["metadata"].keys() == (
        json.loads(root)["metadata"].keys()
    )
    # the same build again, of a plan made since, is a no-op
    assert parchunk.build(parchunk.plan(str(source), region=4), str(out)).built == 0


def test_a_build_resumes_after_its_source_was_respelled(
    tmp_path: Path, zarr_format: int, open_references: Reader
) -> None:
    source, out = write(tmp_path / "s.zarr", zarr_format), tmp_path / "refs"
    parchunk.build(parchunk.plan(str(source), region=4), str(out))
    saved = load_plan(open_output(str(out)))
    # as if killed before its last receipt
    (out / ".zmetadata").unlink()
    (out / ".parchunk/receipts/t/1.json").unlink()
    edit(source / "t" / DOCUMENT[zarr_format], RESPELL[zarr_format])
    plan = parchunk.plan(str(source), region=4)
    assert plan.fingerprint != saved.fingerprint
    result = parchunk.build(plan, str(out))
    assert result.built == 1
    assert load_plan(open_output(str(out))).fingerprint == saved.fingerprint
    assert result.plan.fingerprint == saved.fingerprint
    assert open_references(out)["t"][...].tolist() == [[n + 1.0] * 3 for n in range(8)]
    assert parchunk.audit(str(out), against_source=True).findings == ()


def test_respelled_between_plan_and_publishing(tmp_path: Path, zarr_format: int) -> None:
    source = write(tmp_path / "s.zarr", zarr_format)
    plan = parchunk.plan(str(source), region=4)
    edit(source / "t" / DOCUMENT[zarr_format], RESPELL[zarr_format])
    assert parchunk.build(plan, str(tmp_path / "refs")).missing == 0


def test_another_meaning_is_named_with_both_values(
    tmp_path: Path, zarr_format: int, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write(tmp_path / "s.zarr", zarr_format), tmp_path / "refs"
    plan = parchunk.plan(str(source), region=4)
    parchunk.build(plan, str(out))
    edit(source / "t" / DOCUMENT[zarr_format], lambda document: document.update(fill_value=9))
    said = "fill_value 0.0, now 9.0"
    (found,) = parchunk.audit(str(out), against_source=True).findings
    assert found.kind == "source-metadata"
    assert f"array t: {said}" in found.message
    assert run(["build", str(source), str(out), "--region", "4"]) == 2
    assert f"array t: {said}" in capsys.readouterr().err
    with pytest.raises(parchunk.SourceChangedError, match=f"array t: {said}"):
        parchunk.build(plan, str(tmp_path / "other"))
    assert not (tmp_path / "other/.zmetadata").exists()
    assert run(["update", str(out), "--json"]) == 0
    assert f"t has other metadata ({said}): it was built anew" in capsys.readouterr().out


def test_another_layout_of_the_same_documents_is_another_plan(tmp_path: Path) -> None:
    source, out = write(tmp_path / "s.zarr", 2), tmp_path / "refs"
    parchunk.build(parchunk.plan(str(source), region=4), str(out))
    edit(source / "t" / ".zarray", as_zarr_2)
    for options in ({"region": 2}, {"region": 4, "inline_threshold": 5}):
        with pytest.raises(parchunk.InputError, match="another plan"):
            parchunk.build(parchunk.plan(str(source), **options), str(out))
