"""Updates cut short: what they were asked is done by the next, and nothing damaged stays."""

import json
import shutil
import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import zarr
from instruments.crash_process import Step
from tests.promises.updated_stores import SCENARIOS, air, grow, make, rewrite

import parchunk
from instruments import crash_process
from parchunk.cli.main import run
from parchunk.errors import InputError, SourceChangedError

Reader = Callable[..., zarr.Group]
Bits = Callable[[Any, Any], None]
Published = Callable[[Path], dict[str, bytes]]


#: Those that are killed at every step; the others at these.
THOROUGHLY = ("regions and growth",)
TELLING = (
    "after update.json",
    "after plan",
    "before record file",
    "before receipt",
    "after receipt",
    "before root",
    "after root",
)


def update(
    out: Path, folder: Path, asked: list[str], kill_at: Step | None = None
) -> tuple[int, list[str], str]:
    command = crash_process.start(["update", str(out), "--no-progress", *asked], folder, kill_at)
    code, _, error = command.end()
    return code, command.steps, error


def steps_to_kill_at(steps: list[str]) -> list[Step]:
    """Return one step of each name that stands for a write or a delete, in the middle of them."""
    names = dict.fromkeys(name for name in steps if "rename" not in name)
    return [Step(name, steps.count(name) // 2) for name in names]


def finish(out: Path, asked: list[str]) -> None:
    """Run the update again: told again what was asked only if nobody can know it any more."""
    kept = (out / ".parchunk" / "update.json").exists()
    assert run(["update", str(out), "--no-progress", *([] if kept else asked)]) == 0


def damage(out: Path, against_source: bool = True) -> list[str]:
    found = parchunk.audit(str(out), against_source=against_source).findings
    return [f.message for f in found if f.kind not in ("strays", "missing")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_any_step_an_update_is_finished_by_the_next(
    tmp_path: Path, open_references: Reader, published: Published, same_bits: Bits, name: str
) -> None:
    """Before it is finished readers see the old references, and see them whole."""
    prepare, change, asked = SCENARIOS[name]
    source, first = tmp_path / "s.zarr", tmp_path / "first"
    parchunk.build(parchunk.plan(str(source), **prepare(source)), str(first))
    change(source)
    before = open_references(first)["air"][...]
    whole = tmp_path / "whole"
    shutil.copytree(first, whole)
    code, steps, error = update(whole, tmp_path / "said", asked)
    assert code == 0, error
    wanted = published(whole)
    assert not damage(whole)
    root = (first / ".zmetadata").read_bytes()
    at_all = steps_to_kill_at(steps)
    if name not in THOROUGHLY:
        at_all = [at for at in at_all if at.name in TELLING]
    assert {"before record file", "before root"} <= {at.name for at in at_all} or "root" not in {
        step.rpartition(" ")[2] for step in steps
    }
    for number, at in enumerate(at_all):
        out = tmp_path / f"out{number}"
        shutil.copytree(first, out)
        code, _, _ = update(out, tmp_path / f"killed{number}", asked, at)
        assert code == -signal.SIGKILL, at
        if (out / ".zmetadata").read_bytes() == root:
            now = open_references(out)["air"][...]
            if name == "a gap was filled":
                assert now.shape == before.shape
            else:
                same_bits(now, before)
        finish(out, asked)
        assert published(out) == wanted, at
        assert not damage(out), at
        assert not [p.name for p in (out / ".parchunk").iterdir() if p.suffix == ".json"][1:]
        shutil.rmtree(out)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["regions and growth", "regions joined", "another split"])
def test_killed_twice_and_grown_meanwhile(tmp_path: Path, published: Published, name: str) -> None:
    """Each time at another step, and with more to do in between."""
    prepare, change, asked = SCENARIOS[name]
    source, first = tmp_path / "s.zarr", tmp_path / "first"
    parchunk.build(parchunk.plan(str(source), **prepare(source)), str(first))
    change(source)
    whole = tmp_path / "whole"
    shutil.copytree(first, whole)
    _, steps, _ = update(whole, tmp_path / "said", asked)
    at_all = [at for at in steps_to_kill_at(steps) if "lease" not in at.name][::4]
    states = []
    for number, at in enumerate(at_all):
        out = tmp_path / f"out{number}"
        shutil.copytree(first, out)
        assert update(out, tmp_path / f"killed{number}", asked, at)[0] == -signal.SIGKILL
        states.append(out)
    grow(source, 33)
    _, steps, _ = update(whole, tmp_path / "said again", asked)
    assert not damage(whole)
    wanted = published(whole)
    for number, out in enumerate(states):
        for again, at in enumerate(steps_to_kill_at(steps)[number::8]):
            kept = (out / ".parchunk" / "update.json").exists()
            folder = tmp_path / f"again{number}-{again}"
            code, _, error = update(out, folder, [] if kept else asked, at)
            assert code in (0, -signal.SIGKILL), error
        finish(out, asked)
        assert published(out) == wanted
        assert not damage(out)


def _cut_short(monkeypatch: pytest.MonkeyPatch, out: Path, **asked: Any) -> None:
    """Begin an update and end it before it has listed anything."""
    with monkeypatch.context() as patched:

        def killed(*_: Any) -> None:
            raise KeyboardInterrupt

        patched.setattr(import_module("parchunk.building.update"), "carry_out", killed)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(out), **asked)


def test_what_several_updates_were_asked_is_all_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regions, arrays and gaps of those that were cut short, and of the one that is not."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    air(source)
    make(source, "snow", 40, 6, chunks=(1, 6))
    grow(source, 40)
    (source / "air/c/13/0").rename(tmp_path / "late")
    parchunk.build(parchunk.plan(str(source), split="t", region=8), str(out))
    (tmp_path / "late").rename(source / "air/c/13/0")
    for name, step in (("air", 2), ("air", 34), ("snow", 9)):
        rewrite(source, name, step)
    _cut_short(monkeypatch, out, regions=[0], gaps=False)
    _cut_short(monkeypatch, out, arrays=["snow"])
    state = json.loads((out / ".parchunk" / "update.json").read_text())
    assert (state["begun"], state["gaps"]) == (True, True)
    result = parchunk.update(str(out), regions=[4], gaps=False)
    # Three arrays in regions 0 and 4; of `snow` the others, too; and of `air` the gap's.
    assert result.built == 3 * 2 + 3 + 1
    assert result.missing == 0
    assert not damage(out)
    assert not (out / ".parchunk" / "update.json").exists()


def test_what_was_asked_is_kept_before_anything_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    parchunk.build(parchunk.plan(str(source), **air(source)), str(out))
    rewrite(source)
    with monkeypatch.context() as patched:
        patched.setattr(import_module("parchunk.building.update"), "forget", _raise)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(out), regions=[0])
    assert parchunk.update(str(out)).built >= 2
    assert not damage(out)


def _raise(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_finishing_update_keeps_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store with gaps everywhere is not begun anew each time; what is left out is said."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    make(source, "big", 2_000, 1, chunks=(1, 1))
    for number in range(0, 2_000, 20):
        (source / f"big/c/{number}/0").unlink()
    plan = parchunk.plan(str(source), split="t", region=1_000, record_size=100)
    parchunk.build(plan, str(out))
    built: list[Any] = []

    def stop_after_one(run_: Any, *arguments: Any) -> None:
        done = write_receipt(run_, *arguments)
        built.append(done)
        if len(built) == 1:
            raise KeyboardInterrupt
        return done

    module = import_module("parchunk.building.receipting")
    write_receipt = module.write_receipt
    with monkeypatch.context() as patched:
        patched.setattr(module, "write_receipt", stop_after_one)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(out))
    result = parchunk.update(str(out))
    assert result.built == 1
    assert "run parchunk update again" in " ".join(result.notes)
    # The next one looks for all of them.
    result = parchunk.update(str(out))
    assert result.built == 2
    assert "again" not in " ".join(result.notes)


def test_the_plan_before_stays_until_the_new_root_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_references: Reader
) -> None:
    """An update that fails when it would publish; and what grew again meanwhile."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    parchunk.build(parchunk.plan(str(source), **air(source)), str(out))
    before = (out / ".parchunk" / "plan.json").read_bytes()
    root = (out / ".zmetadata").read_bytes()
    grow(source, 27)
    module = import_module("parchunk.building.publishing")
    read = module.read_again
    with monkeypatch.context() as patched:

        def grow_meanwhile(*arguments: Any, **named: Any) -> Any:
            grow(source, 33)
            return read(*arguments, **named)

        patched.setattr(module, "read_again", grow_meanwhile)
        with pytest.raises(SourceChangedError, match="parchunk update"):
            parchunk.update(str(out))
    for steps in (33, 41):
        assert (out / ".parchunk" / "previous.json").read_bytes() == before
        assert (out / ".zmetadata").read_bytes() == root
        grow(source, steps)
        _cut_short(monkeypatch, out)
    assert parchunk.update(str(out)).missing == 0
    assert open_references(out)["air"].shape == (41, 6)
    assert not (out / ".parchunk" / "previous.json").exists()
    assert not damage(out)


def test_the_plan_before_is_that_of_the_root_after_a_kill_behind_publishing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    parchunk.build(parchunk.plan(str(source), **air(source)), str(out))
    grow(source, 27)
    with monkeypatch.context() as patched:
        patched.setattr(import_module("parchunk.building.build"), "finish_update", _raise)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(out))
    published = (out / ".parchunk" / "plan.json").read_bytes()
    assert (out / ".parchunk" / "previous.json").read_bytes() != published
    grow(source, 33)
    _cut_short(monkeypatch, out)
    assert (out / ".parchunk" / "previous.json").read_bytes() == published
    parchunk.update(str(out))
    assert not damage(out)


def test_a_build_does_not_end_what_an_update_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build of the same plan is fine, and leaves to the update what only that knows."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    plan = parchunk.plan(str(source), **air(source))
    parchunk.build(plan, str(out))
    rewrite(source)
    with monkeypatch.context() as patched:
        patched.setattr(import_module("parchunk.building.update"), "forget", _raise)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(out), regions=[0])
    assert parchunk.build(plan, str(out)).built == 0
    assert parchunk.update(str(out)).built >= 2
    assert not damage(out)
    _cut_short(monkeypatch, out, regions=[1])
    assert parchunk.build(plan, str(out)).built >= 2
    assert not (out / ".parchunk" / "update.json").exists()


def _build_shared(plan: Any, out: str) -> None:
    for task in parchunk.tasks(plan, out, parts=1):
        parchunk.run_task(task)


@pytest.mark.parametrize("shared", [False, True])
def test_a_build_that_goes_on_is_not_vouched_for_by_receipts_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """Cut short itself behind a record file, it leaves none that the next update would believe."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    options = air(source)
    parchunk.build(parchunk.plan(str(source), **options), str(out))
    grow(source)
    with monkeypatch.context() as patched:
        patched.setattr(import_module("parchunk.building.update"), "carry_over", _raise)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(str(out))
    for number in range(3):
        rewrite(source, step=8 * number)
    plan = parchunk.plan(str(source), **options)
    with monkeypatch.context() as patched:
        patched.setattr(import_module("parchunk.building.receipting"), "check_counts", _raise)
        build = _build_shared if shared else parchunk.build
        with pytest.raises(KeyboardInterrupt):
            build(plan, str(out))
    assert not parchunk.update(str(out)).missing
    assert not damage(out, against_source=False)
    parchunk.update(str(out), regions=[0, 1, 2])
    assert not damage(out)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"parchunk_update": 1, "regions": ["0"]}', "\x00"]
)
def test_a_request_that_is_none_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    parchunk.build(parchunk.plan(str(source), **air(source)), str(out))
    path = out / ".parchunk" / "update.json"
    path.write_text(text)
    with pytest.raises(InputError, match="delete it"):
        parchunk.update(str(out))
    assert run(["update", str(out)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    path.unlink()
    assert run(["update", str(out)]) == 0
