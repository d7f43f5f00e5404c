"""``parchunk audit``: exit codes, JSON, and the files it writes."""

import json
from types import SimpleNamespace

import pytest
import zarr

import parchunk
from parchunk.cli.main import run as run_command


@pytest.fixture
def run(capsys):
    """Return a function that runs the command, and returns its exit code and what it said."""

    def audit(*arguments):
        code = run_command(["audit", *map(str, arguments)])
        said = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=said.out, stderr=said.err)

    return audit


def test_findings_exit_1_and_say_what_to_do(run, built):
    ran = run(built.out, "--no-progress")
    assert ran.returncode == 1
    assert "i.e. 2003-05-13 to 2003-05-14: all 8 chunks missing" in ran.stdout
    assert "to do:" in ran.stdout
    assert ran.stderr == ""


def test_complete_exits_0(run, built):
    assert run(built.out, "--allow-missing", "t").returncode == 0


@pytest.mark.parametrize(
    "options", [["--expect", "t"], ["--max-missing", "200"], ["--allow-missing", "none"]]
)
def test_policy_that_makes_no_sense_exits_2_in_one_line(run, built, options):
    ran = run(built.out, *options)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1


def test_no_build_exits_2(run, tmp_path):
    ran = run(tmp_path, "--json")
    assert ran.returncode == 2
    assert "holds no parchunk build" in json.loads(ran.stdout)["error"]


def test_json_holds_everything(run, own):
    (own.source / "t/c/9/1/1").unlink()
    ran = run(own.out, "--json", "--against-source", "--report", own.out.parent / "page.html")
    assert ran.returncode == 1
    document = json.loads(ran.stdout)
    assert document["expected"] == document["present"] + document["missing"]
    assert document["against_source"]["regions"][0]["gone"] == ["t/c/9/1/1"]
    assert document["latest_complete"]["latest_label"] == "2003-05-24"
    assert {finding["kind"] for finding in document["findings"]} >= {"gone-chunks", "strays"}
    assert "t/c/9/1/1" in (own.out.parent / "page.html").read_text()


def test_file_that_cannot_be_written_exits_2(run, built):
    ran = run(built.out, "--report", built.out)
    assert ran.returncode == 2
    assert "is a directory" in ran.stderr


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--report", ".zmetadata"),
        ("--junit", ".parchunk/plan.json"),
        ("--markdown", "t/refs.0.parq"),
        ("--plot", ".parchunk/x.png"),
    ],
)
def test_nothing_is_written_over_the_references(run, built, option, name):
    before = {path: path.read_bytes() for path in built.out.rglob("*") if path.is_file()}
    (built.out.parent / "link").symlink_to(built.out)
    for out in (built.out, built.out.parent / "link"):
        ran = run(built.out, option, out / name)
        assert ran.returncode == 2
        assert f"as {name}: name a file elsewhere" in ran.stderr
    assert {path: path.read_bytes() for path in built.out.rglob("*") if path.is_file()} == before
    ran = run(built.source, option, built.source / "t/zarr.json")
    assert (ran.returncode, "name a file" in ran.stderr) == (2, True)
    for native in (built.source, built.source.as_uri()):
        ran = run(native, "--native", option, built.source / "config.yaml.png")
        assert (ran.returncode, "name a file" in ran.stderr) == (2, True)
    ran = run(built.out, "--icechunk", built.source, option, built.source / "config.yaml.png")
    assert (ran.returncode, "name a file" in ran.stderr) == (2, True)
    ran = run("s3://bucket", "--native", option, built.out, "--repo-option", "nothing=1")
    assert (ran.returncode, "nothing" in ran.stderr) == (2, True)  # of the repository's options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--branch", "main"], "--branch is for --icechunk or --native"),
        (["--repo-option", "region=here"], "--repo-option is for --icechunk or --native"),
        (["--plot", "coverage.pdf"], "it is a PNG: name a file that ends with .png"),
    ],
)
def test_what_would_be_ignored_is_refused(run, built, options, said):
    ran = run(built.out, *options)
    assert (ran.returncode, said in ran.stderr) == (2, True)


@pytest.mark.parametrize("option", ["--report", "--junit", "--markdown", "--plot"])
def test_a_folder_that_is_not_there_is_said_before_anything_is_looked_at(run, tmp_path, option):
    ran = run(tmp_path / "nothing", option, tmp_path / "no/such/file")
    assert ran.returncode == 2
    assert f"cannot write {tmp_path}/no/such/file: there is no folder" in ran.stderr


def test_arrays_without_chunks_and_without_a_split(run, tmp_path):
    root = zarr.open_group(tmp_path / "s", mode="w", zarr_format=3)
    root.create_array("empty", shape=(0, 4), chunks=(1, 4), dtype="f4")
    root.create_array("flat", shape=(4, 0), chunks=(2, 1), dtype="f4")
    root.create_array("never", shape=(3,), chunks=(1,), dtype="f4")
    parchunk.build(parchunk.plan(str(tmp_path / "s")), str(tmp_path / "out"))
    report = parchunk.audit(str(tmp_path / "out"), allow_missing=["never"])
    assert report.exit_code == 0
    assert (report.expected, report.present, report.missing) == (3, 0, 3)
    ran = run(tmp_path / "out", "--report", tmp_path / "page.html")
    assert ran.returncode == 1
    assert "all 3 chunks missing" in ran.stdout
    with parchunk.connect(str(tmp_path / "out")) as connection:
        assert connection.execute("SELECT sum(expected)::INT FROM coverage").fetchone() == (3,)
        assert connection.execute("SELECT count(*) FROM missing").fetchone() == (3,)


def test_inlined_chunks_are_checked(own):
    out = own.out.parent / "inlined"
    plan = parchunk.plan(
        str(own.source), split="time", region=8, record_size=8, inline_threshold=1_000
    )
    parchunk.build(plan, str(out))
    own.out = out
    report = own.audit(against_source=True)
    assert sum(array.inlined for array in report.arrays) == report.present > 0
    assert own.kinds() == set()
    assert not report.comparison.regions

    def change(columns):
        columns["raw"][1] = columns["raw"][1] + b"more"

    own.rewrite("t/refs.4.parq", change)
    assert own.kinds() == {"wrong-digest", "receipt-mismatch"}
