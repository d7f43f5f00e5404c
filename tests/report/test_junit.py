"""JUnit XML, read by a parser: arrays with findings fail, the others pass, and names may be odd."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
import zarr

import parchunk
from parchunk.cli.main import run
from parchunk.report.junit import junit_xml

ODD = 'it\'s <&> "odd"'


@pytest.fixture
def out(tmp_path: Path) -> Path:
    root = zarr.open_group(tmp_path / "store", mode="w", zarr_format=3)
    for name in ("a", ODD, "whole"):
        root.create_array(name, shape=(4,), chunks=(1,), dtype="i4")[...] = 1
    for name in ("a", ODD):
        (tmp_path / "store" / name / "c/2").unlink()
    (tmp_path / "store/whole/c/junk").write_bytes(b"x")
    parchunk.build(str(tmp_path / "store"), tmp_path / "out")
    return tmp_path / "out"


def test_arrays_with_findings_fail(out, tmp_path, capfd):
    file = tmp_path / "audit.xml"
    assert run(["audit", str(out), "--junit", str(file)]) == 1
    assert f"written: {file}" in capfd.readouterr().out
    suite = ElementTree.parse(file).getroot()
    cases = {case.get("name"): case for case in suite.findall("testcase")}
    assert set(cases) == {"a", ODD, "whole", "the whole"}
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    failure = cases[ODD].find("failure")
    assert failure.get("type") == "missing-chunks"
    assert failure.get("message").startswith(f"{ODD}: chunk 2")
    assert "to do: " in failure.text
    assert cases["whole"].find("failure") is None
    assert "not a chunk key" in cases["whole"].find("system-out").text


def test_what_is_complete_passes(out):
    report = parchunk.audit(out, allow_missing="*")
    suite = ElementTree.fromstring(junit_xml(report))
    assert suite.get("failures") == "0"
    assert suite.findall("testcase/failure") == []
