"""Record files that others deleted from OUT: updates and builds that run again write them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import zarr
from obstore.store import MemoryStore
from tests.made import grow

import parchunk
from parchunk.cli.main import run
from parchunk.out.lost_files import lost_text
from parchunk.out.remote import RemoteOutput
from parchunk.stores.opening import Location

Published = Callable[[Path], dict[str, bytes]]
IDENTITY = ".parchunk/objects/air/refs.4.parq"


@pytest.fixture
def built(tmp_path: Path, published: Published) -> Callable[..., tuple[Path, parchunk.Plan]]:
    """Return what builds OUT of a grown store."""
    source = tmp_path / "s.zarr"

    def build(identity: str = "none") -> tuple[Path, parchunk.Plan]:
        grow(source, 24)
        plan = parchunk.plan(str(source), split="time", region=8, record_size=4, identity=identity)
        out = tmp_path / "refs"
        parchunk.build(plan, str(out))
        return out, plan

    return build


def told(result: parchunk.BuildResult) -> list[str]:
    return [note for note in result.notes if "had gone" in note]


@pytest.mark.parametrize("command", ["update", "build"])
@pytest.mark.parametrize(
    ("identity", "lost"), [("none", "air/refs.2.parq"), ("time", IDENTITY), ("none", "rain")]
)
def test_a_lost_file_is_written_again(
    built: Callable[..., tuple[Path, parchunk.Plan]],
    published: Published,
    command: str,
    identity: str,
    lost: str,
) -> None:
    out, plan = built(identity)
    whole = published(out)
    gone = sorted((out / lost).iterdir()) if (out / lost).is_dir() else [out / lost]
    for path in gone:
        path.unlink()
    if command == "update":
        result = parchunk.update(str(out), gaps=False)
    else:
        result = parchunk.build(plan, str(out))
    assert published(out) == whole
    (note,) = told(result)
    assert f"{gone[0].relative_to(out).as_posix()}" in note
    assert parchunk.audit(str(out)).findings == ()
    # Of that partition alone, and the whole arrays that every update looks at.
    arrays = sum(array.axis is None for array in plan.arrays) * (command == "update")
    assert result.built == arrays + len(gone)
    assert told(parchunk.update(str(out))) == []


@pytest.mark.parametrize("command", ["update", "build"])
def test_so_is_one_that_a_killed_command_wrote_after_the_next(tmp_path: Path, command: str) -> None:
    """As a store may carry out a write whose client is gone, whenever it comes to it."""
    source = tmp_path / "s.zarr"
    grow(source, 24)
    hidden = (source / "air/9.0").rename(tmp_path / "chunk")
    output = RemoteOutput(Location("memory://out"), MemoryStore(), "out")
    plan = parchunk.plan(str(source), split="time", region=8, record_size=4)
    parchunk.build(plan, output)
    files = [path for path in output.paths() if path.endswith(".parq")]
    before = {path: output.get(path) for path in files}
    hidden.rename(source / "air/9.0")
    parchunk.update(output)
    whole = {path: output.get(path) for path in files}
    (late,) = [path for path in files if whole[path] != before[path]]
    output.put(late, before[late] or b"")
    done = parchunk.update(output) if command == "update" else parchunk.build(plan, output)
    (note,) = told(done)
    assert late in note
    assert {path: output.get(path) for path in files} == whole
    assert parchunk.audit(output).findings == ()


def test_a_lost_file_is_written_where_a_replacement_is_prepared(
    built: Callable[..., tuple[Path, parchunk.Plan]], tmp_path: Path, published: Published
) -> None:
    out, _ = built()
    root = zarr.open_group(tmp_path / "s.zarr", mode="a")
    rain = root["rain"]
    assert isinstance(rain, zarr.Array)
    rain.resize((24, 12))  # `rain` is renumbered, `air` stays where it is
    for lost in ("air/refs.2.parq", "rain/refs.1.parq"):
        (out / lost).unlink()
    (note,) = told(parchunk.update(str(out), gaps=False))
    assert "2 files of 2 partitions" in note
    fresh = parchunk.plan(str(tmp_path / "s.zarr"), split="time", region=8, record_size=4)
    parchunk.build(fresh, str(tmp_path / "fresh"))
    assert published(out) == published(tmp_path / "fresh")


def test_lost_files_are_written_by_the_update_after_one_that_was_killed(
    built: Callable[..., tuple[Path, parchunk.Plan]],
    tmp_path: Path,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, _ = built()
    whole = published(out)
    (out / "air/refs.2.parq").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.update.carry_out", _killed)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(out))
    parchunk.update(str(out), gaps=False)
    assert published(out) == whole


def test_so_are_those_that_go_before_the_receipts_that_speak_of_them_are_there(
    built: Callable[..., tuple[Path, parchunk.Plan]],
    tmp_path: Path,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, _ = built()
    grow(tmp_path / "s.zarr", 32)
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.update.carry_over", _killed)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(out))
    (out / "air/refs.1.parq").unlink()
    (note,) = told(parchunk.update(str(out), gaps=False))
    assert "air/refs.1.parq" in note
    fresh = parchunk.plan(str(tmp_path / "s.zarr"), split="time", region=8, record_size=4)
    parchunk.build(fresh, str(tmp_path / "fresh"))
    assert published(out) == published(tmp_path / "fresh")
    assert told(parchunk.update(str(out))) == []


@pytest.mark.parametrize("command", ["update", "build"])
def test_so_are_the_names_of_strays(
    built: Callable[..., tuple[Path, parchunk.Plan]], tmp_path: Path, command: str
) -> None:
    grow(tmp_path / "s.zarr", 24)
    (tmp_path / "s.zarr/air/c").mkdir(exist_ok=True)
    (tmp_path / "s.zarr/air/c/left.tmp").write_bytes(b"x")
    out, plan = built()
    (kept,) = (out / ".parchunk/strays").rglob("*.parquet")
    data = kept.read_bytes()
    kept.unlink()
    done = parchunk.update(str(out)) if command == "update" else parchunk.build(plan, str(out))
    (note,) = told(done)
    assert kept.relative_to(out).as_posix() in note
    assert kept.read_bytes() == data


def test_nothing_is_said_to_be_written_of_what_is_gone_from_the_source(
    built: Callable[..., tuple[Path, parchunk.Plan]], tmp_path: Path
) -> None:
    out, _ = built()
    (out / "rain/refs.1.parq").unlink()
    shutil.rmtree(tmp_path / "s.zarr/rain")
    result = parchunk.update(str(out), allow_gone=True)
    assert (told(result), "rain" in result.plan.by_name) == ([], False)


def test_what_lost_files_is_not_published_and_the_remedy_works(
    built: Callable[..., tuple[Path, parchunk.Plan]],
    published: Published,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Parts take what has a receipt for done; who finds all of them looks before it publishes."""
    out, plan = built()
    whole = published(out)
    (out / ".zmetadata").unlink()
    (out / "air/refs.2.parq").unlink()
    given = ["build", plan.location.url, str(out), "--split", "time", "--region", "8"]
    given += ["--record-size", "4", "--no-progress"]
    assert run([*given, "--part", "1/1"]) == 2
    said = capsys.readouterr().err
    assert "is not published: 1 file of 1 partition had gone from OUT, or had" in said
    assert "(air/refs.2.parq)" in said
    assert "run the same build as one, without parts" in said
    assert not (out / ".zmetadata").exists()
    assert run(given) == 0
    assert published(out) == whole
    assert run([*given, "--part", "1/1"]) == 0


@pytest.mark.parametrize(("count", "said"), [(3, "(f0, f1, f2)"), (4, "(f0, f1, f2, ...)")])
def test_of_many_lost_files_the_first_three_are_named(count: int, said: str) -> None:
    lost = {("a", 0): ["f0"], ("a", 1): [f"f{number}" for number in range(1, count)]}
    text = lost_text(lost)
    assert text.startswith(f"{count} files of 2 partitions had gone from OUT")
    assert text.endswith(said)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
