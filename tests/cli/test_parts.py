"""``build --part``: which part this is, as told or by the scheduler; what is printed."""

import json
from pathlib import Path
from typing import Any

import pytest
import zarr
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store

import parchunk
from parchunk.building.tasks import do_task
from parchunk.cli.array_jobs import parse_part
from parchunk.cli.main import run
from parchunk.cli.parts_forecast import describe_parts, parts_text

SLURM = {
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_ARRAY_TASK_COUNT": "4",
    "SLURM_ARRAY_TASK_MIN": "1",
    "SLURM_ARRAY_TASK_MAX": "7",
}
AWS = {"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "10"}
CLOUD_RUN = {"CLOUD_RUN_TASK_INDEX": "2", "CLOUD_RUN_TASK_COUNT": "3"}


@pytest.mark.parametrize(
    ("text", "environment", "wanted"),
    [
        ("3/10", {}, (3, 10)),
        ("1/1", SLURM, (1, 1)),  # what is told counts
        ("auto", SLURM, (4, 4)),
        ("auto", SLURM | {"SLURM_ARRAY_TASK_ID": "1"}, (1, 4)),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_COUNT": "1", "SLURM_ARRAY_TASK_MIN": "7"}, (1, 1)),
        ("auto", AWS, (1, 10)),
        ("auto", AWS | {"JOB_COMPLETION_INDEX": "0", "BATCH_TASK_INDEX": ""}, None),
        ("auto", {"BATCH_TASK_INDEX": "9", "BATCH_TASK_COUNT": "10"}, (10, 10)),
        ("auto", CLOUD_RUN, (3, 3)),
        ("auto/5", {"JOB_COMPLETION_INDEX": "4"}, (5, 5)),
        ("auto", CLOUD_RUN | {"JOB_COMPLETION_INDEX": "2"}, (3, 3)),  # they say the same
        ("auto/3", CLOUD_RUN | {"JOB_COMPLETION_INDEX": "2"}, (3, 3)),
        ("auto/10", AWS, (1, 10)),
    ],
)
def test_which_part(text: str, environment: dict[str, str], wanted: Any) -> None:
    if wanted is None:
        with pytest.raises(parchunk.InputError):
            parse_part(text, environment)
    else:
        assert parse_part(text, environment) == wanted


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("3", {}, "--part '3' is no part: write I/N"),
        ("0/3", {}, "no such part; they are 1/3 to 3/3"),
        ("4/3", {}, "no such part"),
        ("1/0", {}, "is no part"),
        ("auto", {}, "no array job of SLURM"),
        ("auto", {"JOB_COMPLETION_INDEX": "1"}, "give --part auto/N"),
        ("auto/5", {"JOB_COMPLETION_INDEX": "5"}, "says part 6 of 5"),
        ("auto/9", AWS, "there are 10 jobs"),
        ("auto", CLOUD_RUN | {"JOB_COMPLETION_INDEX": "1"}, "INDEX 3/3, JOB_COMPLETION_INDEX 2/?"),
        ("auto", CLOUD_RUN | {"JOB_COMPLETION_INDEX": "1"}, "or unset those"),
        ("auto/3", CLOUD_RUN | {"JOB_COMPLETION_INDEX": "1"}, "JOB_COMPLETION_INDEX 2/3"),
        ("auto", {"CLOUD_RUN_TASK_INDEX": "1"}, "give --part auto/N (Cloud Run: N is the job's"),
        ("auto", AWS | {"AWS_BATCH_JOB_ARRAY_SIZE": "ten"}, "'ten', no number"),
        ("auto", SLURM | {"SLURM_ARRAY_TASK_MAX": "9"}, "not evenly spaced"),
        ("auto", SLURM | {"SLURM_ARRAY_TASK_ID": "2"}, "not evenly spaced"),
        ("auto", SLURM | AWS, "SLURM_ARRAY_TASK_ID 4/4, AWS_BATCH_JOB_ARRAY_INDEX 1/10"),
    ],
)
def test_what_is_no_part(text: str, environment: dict[str, str], said: str) -> None:
    with pytest.raises(parchunk.InputError) as refused:
        parse_part(text, environment)
    assert said in str(refused.value)


@pytest.fixture
def source(tmp_path: Path) -> str:
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    root.create_array("v", shape=(6, 2), chunks=(1, 1), dtype="u1", dimension_names=["t", "x"])[
        ...
    ] = 7
    return str(tmp_path / "s.zarr")


def test_the_last_part_publishes(
    source: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "refs"
    build = ["build", source, str(out), "--region", "2", "--no-progress"]
    assert run([*build, "--part", "2/4", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["partitions_built"], first["partitions_left"], first["published"]) == (1, 2, None)
    assert run([*build, "--part", "2/4"]) == 0
    assert "(0 built now)" in capsys.readouterr().out
    assert run([*build, "--part", "4/4"]) == 0  # there are three partitions
    assert "part 4 of 4 (nothing): 0 partitions" in capsys.readouterr().out
    for number in ("0", "2"):
        monkeypatch.setenv("CLOUD_RUN_TASK_INDEX", number)
        monkeypatch.setenv("CLOUD_RUN_TASK_COUNT", "4")
        assert run([*build, "--part", "auto"]) == 0
    said = capsys.readouterr().out
    assert "1 partition is left to other parts" in said
    assert "all parts are done: published" in said
    assert run([*build, "--part", "1/4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["published"]["present"] == 12
    assert run(["status", str(out)]) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--overwrite"], "delete OUT first"),
        (["--workers", "2"], "run more parts"),
        (["--dask", "tcp://127.0.0.1:1"], "give one of both"),
    ],
)
def test_what_parts_cannot_have(
    source: str, tmp_path: Path, capsys: Any, options: list[str], said: str
) -> None:
    assert run(["build", source, str(tmp_path / "refs"), "--part", "1/2", *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "refs").exists()


def test_a_part_of_another_plan_is_refused(source: str, tmp_path: Path, capsys: Any) -> None:
    build = ["build", source, str(tmp_path / "refs"), "--no-progress", "--part"]
    assert run([*build, "1/2", "--region", "2"]) == 0
    zarr.open_group(source, mode="r+")["v"].resize((8, 2))
    assert run([*build, "2/2", "--region", "2"]) == 2
    assert "holds a build of another plan" in capsys.readouterr().err


def test_the_forecast_for_parts_is_what_they_cost(tmp_path: Path, capsys: Any) -> None:
    store = zarr_store([("t", (4000, 5), (1, 1), ("time", "x")), ("u", (700,), (1,), ("time",))])
    source = parchunk.Source(FormulaListing(store), "", "s3://b")  # type: ignore[arg-type]
    plan = parchunk.plan(source, split="time", region=400)
    shown = describe_parts(plan, 4, 512 << 20, 8)
    assert (shown["parts"], shown["idle"]) == (4, 1)  # region 0 is as dear as all others
    tasks = parchunk.tasks(plan, tmp_path / "refs", parts=4)
    done = [do_task(task, source=source) for task in tasks]
    assert sum(result.requests for result in done) == shown["list_requests"]
    assert max(result.requests for result in done) * 0.15 / 8 == pytest.approx(
        shown["seconds"], abs=0.06
    )
    assert parts_text(shown).startswith("in 4 parts, 1 of them without work: 42 LIST")
    assert parchunk.publish(tmp_path / "refs", source=source).present == 20_700


def test_the_dearest_part_of_a_local_store_is_no_cheaper_than_the_mean(source: str) -> None:
    for parts in (1, 2, 3):
        shown = describe_parts(parchunk.plan(source, region=2), parts, 512 << 20, 8)
        assert float(str(shown["imbalance"])) >= 1
        assert parts_text(shown).startswith("in 1 part;" if parts == 1 else f"in {parts} parts")
