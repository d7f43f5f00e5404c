"""Shards that are damaged, or change while they are read: named, and nothing is published."""

from dataclasses import replace
from pathlib import Path

import pytest
import zarr
from tests.writing.shards import DAMAGE, LITTLE, Breaking, Case, Changing, overwrite_size, write
from zarr.codecs import (
    Crc32cCodec,
)

import parchunk
from parchunk.building.build import build
from parchunk.cli.main import run
from parchunk.errors import DamagedShardError, SourceError
from parchunk.listing.patience import Patience

# fsspec reads references through pandas and fastparquet; zarr-python warns of types beyond v3.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated"),
    pytest.mark.filterwarnings("ignore:The data type"),
]


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_names_the_shard_and_publishes_nothing(tmp_path: Path, kind: str) -> None:
    checksum, damage, reason = DAMAGE[kind]
    codecs = (LITTLE, Crc32cCodec()) if checksum else (LITTLE,)
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0, index_codecs=codecs)
    write(tmp_path / "s.zarr", case)
    damage(tmp_path / "s.zarr/a/c/3/1")
    with pytest.raises(DamagedShardError, match=r"a/c/3/1 is damaged: ") as caught:
        build(parchunk.plan(str(tmp_path / "s.zarr")), str(tmp_path / "refs"))
    assert reason in str(caught.value)
    assert isinstance(caught.value, SourceError)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "refs/.zmetadata").exists()
    write(tmp_path / "t.zarr", case)
    (tmp_path / "s.zarr/a/c/3/1").write_bytes((tmp_path / "t.zarr/a/c/3/1").read_bytes())
    build(parchunk.plan(str(tmp_path / "s.zarr")), str(tmp_path / "refs"))
    assert (tmp_path / "refs/.zmetadata").exists()


def test_an_array_with_a_damaged_shard_is_left_out_as_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0)
    write(tmp_path / "s.zarr", case)
    zarr.create_array(tmp_path / "s.zarr/b", shape=(2,), chunks=(1,), dtype="i4")[:] = 1
    (tmp_path / "s.zarr/a/c/3/1").write_bytes(b"cut")
    command = ["build", str(tmp_path / "s.zarr"), str(tmp_path / "refs"), "--no-progress"]
    assert run(command) == 2
    said = capsys.readouterr().err
    assert "build with --exclude, and --overwrite where OUT has begun" in said
    assert run([*command, "--exclude", "a", "--overwrite"]) == 0


def test_shards_that_change_after_they_were_listed_end_the_build(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0)
    root = tmp_path / "s.zarr"
    write(root, case)
    plan = parchunk.plan(str(root))
    assert plan.source is not None
    for change, said in (
        (lambda: overwrite_size(root / "a/c/3/1"), "bytes and has"),
        (lambda: (root / "a/c/3/1").unlink(), "is gone now"),
    ):
        store = Changing(plan.source.store, change)
        changed = replace(plan, source=replace(plan.source, store=store))
        with pytest.raises(SourceError, match=said):
            build(changed, str(tmp_path / "refs"))


def test_broken_reads_are_tried_again(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0)
    write(tmp_path / "s.zarr", case)
    plan = parchunk.plan(str(tmp_path / "s.zarr"))
    assert plan.source is not None
    store = Breaking(plan.source.store)
    broken = replace(plan, source=replace(plan.source, store=store))
    patience = Patience(first_wait=0.001)
    result = build(broken, str(tmp_path / "refs"), patience=patience)
    assert result.missing == 0
    assert result.retries > 0
    assert result.receipts[0].index_requests > 10
