"""Each option of each command changes something, or is refused by name, or its help says when not.

The table has all options of all commands: who adds one says there what it needs.
"""

import json
import shlex
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest
import zarr

import parchunk
from parchunk.cli.main import COMMANDS, run

#: Options that count in every call of a command that has them.
EVERYWHERE = """
    --help --json --no-progress --memory --concurrency --workers --store-option --output-option
    --dask --split --region --record-size --inline-threshold --shards --identity --format
    --skip-unsupported --group --include --exclude --sources --concat --stack --merge
    --inline-coordinates --inventory --probe --max-lists-per-second --attempts
    --trust-listing --overwrite --part --parts
"""

#: Where something else is needed: what, and a line without it, which is refused.
OF_PLANS = {
    "--labels": ("--stack", "SRC --labels a"),
    "--join": ("--concat or --stack", "A=SRC --join inner"),
    "--static": ("--concat, --stack or --merge", "SRC --static first"),
    "--inventory-root": ("--inventory FILE", "SRC --inventory-root s3://x"),
    "--probe-limit": ("--probe", "SRC --probe-limit 7"),
    "--listing": ("sources that are listed", "SRC --inventory LIST --listing obstore"),
    "--consolidated": ("--probe", "SRC --probe --consolidated ignore"),
}
OF_SOURCES = {
    "--inventory": "--inventory LIST",
    "--inventory-root": "--inventory-root s3://x",
    "--probe": "--probe",
    "--probe-limit": "--probe-limit 7",
    "--listing": "--listing obstore",
    "--consolidated": "--consolidated only",
    "--max-lists-per-second": "--max-lists-per-second 5",
}
OF_STORES = {
    "--keep": "--keep x",
    "--split": "--split x",
    "--region": "--region 2",
    "--group": "--group g",
    "--include": "--include t",
    "--exclude": "--exclude t",
    "--skip-unsupported": "--skip-unsupported",
}
NEEDS: dict[str, dict[str, tuple[str, str]]] = {
    "plan": OF_PLANS,
    "build": {o: (needed, line.replace("SRC", "SRC OUT2", 1)) for o, (needed, line) in
              OF_PLANS.items()},
    "status": {"--every": ("--watch", "OUT --every 5")},
    "audit": {
        **{o: ("--against-source", f"OUT {line}") for o, line in OF_SOURCES.items()},
        **{o: ("the audit of a store", f"OUT {line}") for o, line in OF_STORES.items()},
        "--branch": ("--icechunk or --native", "OUT --branch b"),
        "--repo-option": ("--icechunk or --native", "OUT --repo-option region=b"),
    },
    "sql": {"--format": ("--views", "OUT --views --format csv"),
            "--to": ("--views", "OUT --views --to x.csv")},
    "update": {
        "--labels": ("--stack", "OUT --labels a"),
        "--inventory-root": ("--inventory FILE", "OUT --inventory-root s3://x"),
        "--probe-limit": ("--probe", "OUT --probe-limit 7"),
        "--listing": ("sources that are listed", "OUT --inventory LIST --listing obstore"),
    },
}  # fmt: skip

#: Options of one command that count in every call of it.
OWN = {
    "audit": "--against-source --icechunk --native --expect --allow-missing --max-missing --policy "
    "--by --decode --report --junit --markdown --since --plot",
    "status": "--watch",
    "sql": "--views",
    "update": "--regions --arrays --no-gaps --repair --allow-shrink --allow-gone",
    "relocate": "--store --sample",
    "to-icechunk": "--branch --append --publish --regions --anew --no-checksum --max-references "
    "--drop-non-finite --repo-option",
}

#: What the help says of options that change nothing beside others, or where there is nothing.
SAID = [
    ("audit", "--concurrency", "without either nothing is asked of the source"),
    ("build", "--max-lists-per-second", "none are sent for an inventory or with --probe"),
    ("build", "--no-progress", "Print JSON for programs, and no bar"),
    ("build", "--memory", "--memory and --concurrency are for each task"),
    ("update", "--no-gaps", "Implies --no-gaps"),
    ("to-icechunk", "--publish", "implies --publish"),
    ("to-icechunk", "--workers", "with --dask how many of its tasks do"),
]

BOTH = [
    ("audit", "OUT --against-source --inventory-root s3://x", "--inventory-root is for"),
    ("audit", "OUT --against-source --probe-limit 7", "--probe-limit is for --probe"),
    ("audit", "OUT --against-source --inventory LIST --probe", "give one of them"),
    ("audit", "OUT --against-source --inventory LIST --listing obstore", "--listing obstore is"),
    ("audit", "OUT --native --store-option a=b --listing auto", "--listing and --store-option"),
    ("audit", "SRC --probe-limit 7", "--probe-limit is for --probe"),
    ("audit", "SRC --inventory LIST --listing obstore", "--listing obstore is for"),
    ("sql", "OUT --json --format csv 'SELECT 1'", "--json and --format csv"),
    ("sql", "OUT --json --views", "--json"),
    ("sql", "OUT --views 'SELECT 1'", "QUERY"),
    ("build", "SRC OUT2 --part 1/2 --workers 2", "--part with --workers"),
    ("build", "SRC OUT2 --part 1/2 --overwrite", "--part with --overwrite"),
    ("build", "SRC OUT2 --part 1/2 --dask tcp://x:1", "--part with --dask"),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("idle")
    root = zarr.open_group(folder / "store", mode="w", zarr_format=3)
    for name, shape, shards in (("t", (4, 4), None), ("g/s", (4, 4), (2, 2)), ("x", (4,), None)):
        root.create_array(
            name, shape=shape, chunks=(1,) * len(shape), shards=shards, dtype="i1",
            dimension_names=("time", "x")[-len(shape) :],
        )[...] = np.ones(shape)  # fmt: skip
    listed = [p for p in (folder / "store").rglob("*") if p.is_file()]
    lines = (f"{p.relative_to(folder / 'store')},{p.stat().st_size}" for p in listed)
    (folder / "list.csv").write_text("\n".join(["key,size", *lines, ""]))
    parchunk.build(folder / "store", folder / "out")
    names = {"SRC": "store", "OUT2": "none", "OUT": "out", "LIST": "list.csv"}
    return {name: str(folder / file) for name, file in names.items()}


def refused(capfd: pytest.CaptureFixture[str], places: dict[str, str], line: str) -> str:
    words = shlex.split(line)
    for name, path in places.items():
        words = [path if w == name else w.replace(f"={name}", f"={path}") for w in words]
    assert run(words) == 2, line
    said = capfd.readouterr().err
    assert said.count("\n") == 1, "one line"
    assert not Path(places["OUT2"]).exists(), "nothing was written"
    return said


CHANGES = (
    "--split time", "--region 2", "--record-size 2", "--inline-threshold 9", "--shards whole",
    "--identity time", "--format v3", "--include t", "--exclude t", "--group g",
    "--no-inline-coordinates", "--inventory LIST", "--memory 1GiB", "--parts 2", "--stack new",
    "--merge", "--stack new --labels a",
)  # fmt: skip


@pytest.mark.parametrize("options", CHANGES)
def test_what_is_asked_of_a_plan_is_seen_in_it(options, places, capfd) -> None:
    before = "--stack new" if "--labels" in options else ""
    said = []
    for asked in (before, options):
        words = [places.get(word, word) for word in shlex.split(f"plan SRC --json {asked}")]
        assert run(words) == 0, words
        said.append(json.loads(capfd.readouterr().out))
    assert said[0] != said[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_table_has_every_option(command: str) -> None:
    found = import_module(f"parchunk.cli.{COMMANDS[command]}").command
    options = {p.opts[0] for p in found.params if isinstance(p, click.Option)}
    own = {*NEEDS.get(command, {}), *OWN.get(command, "").split()}
    assert own <= options, "and no other"
    assert options <= own | {*EVERYWHERE.split()}


@pytest.mark.parametrize("command", NEEDS)
def test_what_an_option_is_for_must_be_asked(command, places, capfd) -> None:
    for option, (needed, line) in NEEDS[command].items():
        said = refused(capfd, places, f"{command} {line}")
        assert needed in said, option
        assert option in said or option in ("--labels", "--consolidated")


@pytest.mark.parametrize(("command", "line", "said"), BOTH)
def test_what_contradicts_itself_is_refused(command, line, said, places, capfd) -> None:
    assert said in refused(capfd, places, f"{command} {line}")


@pytest.mark.parametrize(("command", "option", "said"), SAID)
def test_the_help_says_where_an_option_changes_nothing(command, option, said, capfd) -> None:
    assert run([command, "--help"]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert option in shown
    assert said in shown


def test_functions_refuse_what_the_command_line_does(places) -> None:
    for given in (
        {"listing": "obstore"},
        {"consolidated": "only"},
        {"max_lists_per_second": 5},
        {"inventory": places["LIST"]},
        {"inventory_root": "s3://x"},
        {"probe": True},
        {"probe_limit": 7},
        {"source": places["SRC"]},
        {"branch": "b"},
        {"repo_options": {"region": "b"}},
    ):
        with pytest.raises(parchunk.InputError, match=r"(is|are) for --(against-source|icechunk)"):
            parchunk.audit(places["OUT"], **given)
    listed = parchunk.plan(places["SRC"], inventory=places["LIST"])
    with pytest.raises(parchunk.InputError, match="--listing obstore is for"):
        parchunk.build(listed, places["OUT2"], listing="obstore")
    assert not Path(places["OUT2"]).exists()
