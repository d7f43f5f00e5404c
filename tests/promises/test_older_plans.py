"""References of many stores that an older parchunk began: its plan.json is read as it was meant.

That one had record files of one store's rows, and no coordinates inline but those it had joined.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from tests.many_stores import Made, write

import parchunk
from parchunk.cli.main import run
from parchunk.metadata.spec import canonical

#: What it wrote for the stores here; FOLDER is where they lie.
PLAN = Path(__file__).parent / "older_plan_of_stores.json"
#: Entries that the fingerprint is not over.
FREE = ("parchunk_plan", "regions", "chunks", "source_options")


def store(folder: Path, at: int, begin: int, stop: int) -> str:
    steps = np.arange(begin, stop)
    arrays = {
        "air": Made(np.stack([2 * steps + 1, 2 * steps + 2], 1), ("time", "x"), (1, 2)),
        "time": Made(steps, ("time",)),
    }
    for name, made in arrays.items():
        options = {"compressors": None, "fill_value": 0}
        arrays[name] = Made(made.values, made.dimensions, made.chunks, options=options)
    return str(write(folder / f"{at}.zarr", arrays))


@pytest.fixture
def begun(tmp_path: Path) -> tuple[list[str], Path]:
    """Two stores, and OUT as a build of them is left that is killed before its first chunk."""
    paths = [store(tmp_path, 0, 0, 9), store(tmp_path, 1, 9, 14)]
    document = json.loads(PLAN.read_text().replace("FOLDER", str(tmp_path)))
    content = {key: value for key, value in document.items() if key not in FREE}
    document["fingerprint"] = hashlib.sha256(canonical(content).encode()).hexdigest()
    saved = tmp_path / "out" / ".parchunk" / "plan.json"
    saved.parent.mkdir(parents=True)
    saved.write_text(json.dumps(document))
    return paths, tmp_path / "out"


def check(out: Path, steps: int) -> None:
    with parchunk.open_dataset(out, mask_and_scale=False) as opened:
        assert opened.air.values.tolist() == (np.arange(2 * steps).reshape(steps, 2) + 1).tolist()
        assert opened.time.values.tolist() == list(range(steps))
    assert parchunk.audit(out, against_source=True).findings == ()


def test_it_is_gone_on_with_audited_and_updated(
    begun: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """By the options that the refusal names, where the defaults are others today."""
    paths, out = begun
    asked = ["build", *paths, str(out), "--concat", "time", "--no-progress"]
    assert run(asked) == 2
    refused = capsys.readouterr().err
    assert "record size 1 there" in refused
    remedy = shlex.split(refused.partition("give ")[2].partition(" to go on")[0])
    assert remedy == ["--record-size", "1"]
    assert run([*asked, *remedy]) == 0
    assert "not kept" not in capsys.readouterr().out  # the coordinate is, as it was joined
    check(out, 14)
    assert run(["update", str(out), store(out.parent, 2, 14, 21)]) == 0
    check(out, 21)
    assert sorted(path.name for path in (out / "air").iterdir())[-1] == "refs.9.parq"


def test_another_record_size_is_no_remedy_where_more_differs(
    begun: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    paths, out = begun
    assert run(["build", *paths, str(out), "--concat", "time", "--region", "1"]) == 2
    refused = capsys.readouterr().err
    assert "--record-size" not in refused
    assert "--overwrite" in refused
