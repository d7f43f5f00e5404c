"""What a source holds and references do not have is named: by plan, build, update and audit."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from instruments.synthetic.zarr_stores import zarr_store
from tests.made import source_of

import parchunk
from parchunk.cli.main import run

pytestmark = pytest.mark.usefixtures("quiet_zarr")


def add(store: Path, name: str, zarr_format: int, value: float = 1.0) -> None:
    group = zarr.open_group(store, mode="a", zarr_format=zarr_format, use_consolidated=False)  # type: ignore[call-overload]
    group.create_array(name, shape=(6, 4), chunks=(2, 2), dtype="f4")[...] = value


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the command line; return its exit code and all that it printed."""

    def tell(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return tell


def test_a_plate_without_documents_above_its_wells(
    tmp_path: Path, open_references: Callable[..., zarr.Group], told: Any
) -> None:
    store, out = tmp_path / "plate", tmp_path / "out"
    for number, well in enumerate(("A/1", "A/2", "B/1"), 1):
        add(store, well, 3, number)
    for row in "AB":
        (store / row / "zarr.json").unlink()
    code, said = told("build", store, out, "--no-progress")
    assert code == 0
    assert "folders without zarr.json are taken for groups" in said
    group = open_references(out)
    for number, well in enumerate(("A/1", "A/2", "B/1"), 1):
        np.testing.assert_array_equal(group[well][...], np.full((6, 4), number, "f4"))
    assert told("audit", out, "--against-source")[0] == 0


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_every_command_names_what_is_left_out(tmp_path: Path, zarr_format: int, told: Any) -> None:
    store, out = tmp_path / "s", tmp_path / "out"
    add(store, "mine", zarr_format)
    other = 5 - zarr_format
    add(store / "deep", "theirs", other)
    add(store, "lost", zarr_format)
    (store / "lost" / (".zarray" if zarr_format == 2 else "zarr.json")).unlink()
    commands = (
        ("plan", store),
        ("build", store, out, "--no-progress"),
        ("update", out, "--no-progress"),
        ("audit", out),
    )
    for command in commands:
        code, said = told(*command)
        assert code == 0
        assert f"a Zarr v{other} array in a Zarr v{zarr_format} group" in said, command
        assert "looks like chunks of an array" in said, command
        document = json.loads(told(*command, "--json")[1])
        if command[0] == "audit":
            left = {f["array"] for f in document["findings"] if f["kind"] == "left-out"}
            assert "left out" in document["verdict"]
        else:
            left = {entry["name"] for entry in document["left_out"]}
        assert left == {"deep/theirs", "lost"} or left == {"deep/theirs", "lost/c"}
    # what the message says is to be done works
    alone = tmp_path / "alone"
    assert told("build", store / "deep/theirs", alone, "--no-progress")[0] == 0
    assert told("audit", alone, "--against-source")[0] == 0
    quiet = tmp_path / "quiet"
    excluded = ("--exclude", "deep/theirs", "--exclude", "lost*")
    assert told("build", store, quiet, "--no-progress", *excluded)[0] == 0
    assert "left" not in told("audit", quiet)[1]


def consolidated(store: Path, zarr_format: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(store, zarr_format=zarr_format)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_that_came_to_a_consolidated_store(
    tmp_path: Path, zarr_format: int, open_references: Callable[..., zarr.Group], told: Any
) -> None:
    store, out, only = tmp_path / "s", tmp_path / "out", tmp_path / "only"
    add(store, "a", zarr_format)
    consolidated(store, zarr_format)
    assert told("build", store, out, "--no-progress")[0] == 0
    assert told("build", store, only, "--no-progress", "--consolidated", "only")[0] == 0
    add(store, "g/came", zarr_format, 7)
    code, said = told("audit", out, "--against-source")
    assert code == 1
    assert "g/came is in the source, and not in the references" in said
    code, said = told("update", out, "--no-progress")
    assert code == 0
    assert "newer than the consolidated metadata, and taken in: group 'g', array 'g/came'" in said
    assert told("audit", out, "--against-source")[0] == 0
    assert open_references(out)["g/came"][0, 0] == 7
    # what is excluded is not taken in, nor said to be
    assert "taken in" not in told("plan", store, "--exclude", "g/*")[1]
    # who asked for no more than is consolidated gets no more, and is told so
    for command in (("update", only, "--no-progress"), ("plan", store, "--consolidated", "only")):
        code, said = told(*command)
        assert code == 0
        assert "was not looked for" in said
    assert told("audit", only, "--against-source")[0] == 0
    assert told("audit", only, "--against-source", "--consolidated", "ignore")[0] == 1
    plan = json.loads((only / ".parchunk/plan.json").read_text())
    assert plan["consolidated"] == "only"
    assert "consolidated" not in json.loads((out / ".parchunk/plan.json").read_text())


@pytest.mark.parametrize(("zarr_format", "lost"), [(2, "b"), (3, "g/b")])
def test_an_array_that_went_from_a_consolidated_store(
    tmp_path: Path, zarr_format: int, lost: str, told: Any
) -> None:
    store, out = tmp_path / "s", tmp_path / "out"
    add(store, "a", zarr_format)
    add(store, lost, zarr_format)
    consolidated(store, zarr_format)
    plan = parchunk.plan(str(store))
    assert told("build", store, out, "--no-progress")[0] == 0
    shutil.rmtree(store / lost.partition("/")[0])
    code, said = told("update", out, "--no-progress")
    assert code == 2
    assert f"{lost} is gone" in said
    code, said = told("audit", out, "--against-source")
    assert code == 1
    assert f"{lost} is in the references, and not in the source any more" in said
    assert f"array '{lost}' is in the consolidated metadata only" in told("plan", store)[1]
    with pytest.raises(parchunk.SourceChangedError):
        parchunk.build(plan, str(tmp_path / "late"))
    # the remedies
    for _ in range(2):  # what is gone stays so, whatever goes on naming it
        code, said = told("update", out, "--no-progress", "--allow-gone")
        assert code == 0
        assert "consolidate the store again" in said
        assert "used as it is there" not in said  # of a group that went with its arrays
        assert told("audit", out, "--against-source")[0] == 0
    add(store, lost, zarr_format, 3)
    assert told("update", out, "--no-progress")[0] == 0
    assert lost in parchunk.status(out).plan.by_name
    shutil.rmtree(store / lost.partition("/")[0])
    consolidated(store, zarr_format)
    assert told("build", store, out, "--no-progress", "--overwrite")[0] == 0
    assert told("audit", out, "--against-source")[0] == 0


@pytest.mark.parametrize(
    ("zarr_format", "written", "said_to_be"), [(2, "/", "."), (2, ".", "/"), (3, "/", ".")]
)
def test_a_lost_separator_is_said_to_be_that(
    tmp_path: Path, zarr_format: int, written: str, said_to_be: str, told: Any
) -> None:
    store, out = tmp_path / "s", tmp_path / "out"
    group = zarr.open_group(store, mode="w", zarr_format=zarr_format)
    keys: Any = {"name": "v2" if zarr_format == 2 else "default", "separator": written}
    group.create_array(
        "t", shape=(30, 4), chunks=(1, 2), dtype="f4", chunk_key_encoding=keys, fill_value=0
    )[...] = 1
    path = store / "t" / (".zarray" if zarr_format == 2 else "zarr.json")
    right = path.read_text()
    document = json.loads(right)
    if zarr_format == 2:
        document["dimension_separator"] = said_to_be
    else:
        document["chunk_key_encoding"]["configuration"]["separator"] = said_to_be
    path.write_text(json.dumps(document))
    words = f"60 chunk keys are spelled with '{written}', where its metadata says '{said_to_be}'"
    assert words in told("build", store, out, "--no-progress")[1]
    code, said = told("audit", out)
    assert code == 1
    assert words in said
    assert told("audit", out, "--allow-missing", "t")[0] == 0
    path.write_text(right)  # the remedy
    assert told("build", store, out, "--no-progress", "--overwrite")[0] == 0
    assert told("audit", out)[0] == 0


def test_what_is_no_store(tmp_path: Path, told: Any) -> None:
    store = tmp_path / "x.zarr"
    add(store, "a", 3)
    shutil.make_archive(str(tmp_path / "y.zarr"), "zip", store)
    (tmp_path / "file.nc").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/today.txt").write_text("x")
    for version, mark in (("ice1", "refs/branch.main/ref.json"), ("ice2", "repo")):
        for file in (mark, "snapshots/1CECHNKREP0F1RSTCMT0"):
            (tmp_path / version / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / version / file).write_text("x")
    for name, words in (
        ("y.zarr.zip", "is an archive"),
        ("file.nc", "is one object, not a Zarr store"),
        ("empty", "nothing is there"),
        ("nowhere", "nothing is there"),
        ("notes", "there are today.txt"),
        ("ice1", f"parchunk audit {tmp_path}/ice1 --native tells"),
        ("ice2", f"parchunk audit {tmp_path}/ice2 --native tells"),
        ("", f"give for example {store}"),
        ("x.zarr/a/c", "what looks like chunks of an array"),
    ):
        code, said = told("plan", tmp_path / name)
        assert (code, said.count("\n")) == (2, 1)
        assert words in said
    # folders only: file systems keep names that Windows takes for drives
    add(store, "t:mean", 3)
    code, said = told("plan", store)
    assert code == 2
    assert "array t:mean: its name has the segment 't:mean'" in said
    assert told("plan", store, "--exclude", "t:mean")[0] == 0


@pytest.mark.s3
def test_on_a_real_server(tmp_path: Path, bucket: Any) -> None:
    store = tmp_path / "s"
    add(store, "a", 3)
    consolidated(store, 3)
    add(store, "b", 3)
    add(store, "lost", 3)
    (store / "lost/zarr.json").unlink()
    bucket.upload(store, "s")
    bucket.put("y.zarr.zip", b"x")
    url, options = f"s3://{bucket.name}", bucket.options
    plan = parchunk.plan(f"{url}/s", store_options=options)
    assert sorted(plan.by_name) == ["a", "b"]
    assert [name for name, _ in plan.hierarchy.left_out] == ["lost"]
    for name, words in (
        (f"{url}/y.zarr.zip", "is an archive"),
        (f"{url}/nowhere", "nothing is there"),
        (url, f"give for example {url}/s"),
        (f"{url}-not/s", "no such bucket: check the URL"),
    ):
        with pytest.raises(parchunk.ParchunkError, match=words):
            parchunk.plan(name, store_options=options)


@pytest.mark.parametrize("style", [{}, {"zarr_format": 3, "separator": "/"}])
@pytest.mark.parametrize("mode", ["auto", "only", "ignore"])
def test_planning_lists_groups_and_no_chunks(style: dict[str, Any], mode: str) -> None:
    arrays = [(name, (40_000,), (1,), ("time",)) for name in ("a", "b", "g/c", "g/h/d")]
    with source_of(zarr_store(arrays, **style)) as (server, source):
        plan = parchunk.plan(source, consolidated=mode)
        made = len(server.lists())
    assert sorted(plan.by_name) == ["a", "b", "g/c", "g/h/d"]
    assert plan.hierarchy.left_out == ()
    # the root, g and g/h
    assert made == (0 if mode == "only" else 3)


BROKEN: dict[str, str] = {
    "no JSON": '{"zarr_format": ',
    "no object": "[1]",
    "no shape": '{"zarr_format": 2}',
    "bytes": "\0\1\2",
}


@pytest.mark.parametrize("with_consolidated", [False, True])
@pytest.mark.parametrize("document", BROKEN)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_broken_arrays_are_left_out_by_name(
    tmp_path: Path,
    zarr_format: int,
    document: str,
    with_consolidated: bool,
    told: Any,
    open_references: Callable[..., zarr.Group],
) -> None:
    store, out = tmp_path / "s", tmp_path / "out"
    name = ".zarray" if zarr_format == 2 else "zarr.json"
    add(store, "a", zarr_format, 3)
    add(store, "g/bad", zarr_format)
    whole = (store / "g/bad" / name).read_text()
    if with_consolidated:
        consolidated(store, zarr_format)
    (store / "g/bad" / name).write_text(BROKEN[document])
    code, said = told("build", store, out, "--no-progress")
    assert code == 2
    assert f"s/g/bad/{name}: " in said
    assert "leave it out with --exclude or --skip-unsupported" in said
    assert not out.exists()
    code, said = told("build", store, out, "--no-progress", "--skip-unsupported")
    assert code == 0
    assert f"s/g/bad/{name}: " in said
    assert sorted(open_references(out).array_keys()) == ["a"]
    assert open_references(out)["a"][0, 0] == 3
    # What was left out is so again, and said, until it is repaired.
    code, said = told("update", out, "--no-progress")
    assert code == 0
    assert f"s/g/bad/{name}: " in said
    code, said = told("audit", out, "--against-source")
    assert code == 0
    assert "g/bad is in the source, and left out of the references" in said
    (store / "g/bad" / name).write_text(whole)
    code, said = told("update", out, "--no-progress")
    assert (code, "g/bad" in open_references(out)) == (0, True), said


@pytest.mark.parametrize("with_consolidated", [False, True])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_whose_names_cannot_be_those_of_folders_are_left_out(
    tmp_path: Path, zarr_format: int, with_consolidated: bool, told: Any
) -> None:
    """To publish and to resume, too, is to read the source again."""
    store, out = tmp_path / "s", tmp_path / "out"
    names = ("x:y/t", "g/refs.0.parq")
    for name in ("a", *names):
        add(store, name, zarr_format)
    if with_consolidated:
        consolidated(store, zarr_format)
    for command in ("build", "build", "update"):
        arguments = (out, "--no-progress") if command == "update" else (
            store, out, "--no-progress", "--skip-unsupported"
        )  # fmt: skip
        code, said = told(command, *arguments)
        assert code == 0, said
        for name in names:
            assert name in said, command
    assert told("audit", out, "--against-source")[0] == 0
    # one that went is no reason to refuse anything
    shutil.rmtree(store / "x:y")
    assert told("update", out, "--no-progress")[0] == 0


def test_an_array_that_broke_since_is_no_array_that_may_be_left_out(
    tmp_path: Path, told: Any
) -> None:
    store, out = tmp_path / "s", tmp_path / "out"
    for name in ("a", "b", "c"):
        add(store, name, 2)
    (store / "c/.zarray").write_text("{")
    assert told("build", store, out, "--no-progress", "--skip-unsupported")[0] == 0
    (store / "b/.zarray").write_text("{")
    code, said = told("update", out, "--no-progress")
    assert code == 2
    assert "b is gone" in said


def test_broken_arrays_alone_are_nothing_to_build(tmp_path: Path, told: Any) -> None:
    add(tmp_path / "s", "a", 2)
    (tmp_path / "s/a/.zarray").write_text("{")
    code, said = told("plan", tmp_path / "s", "--skip-unsupported")
    assert code == 2
    assert "--skip-unsupported leaves no array: a: " in said
