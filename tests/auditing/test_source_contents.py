"""What --against-source reads again: shard indexes and inlined chunks, forged with receipts."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

import parchunk
from parchunk.auditing.against_source import compare
from parchunk.auditing.receipt_check import read_partitions
from parchunk.auditing.source_contents import ContentReader, MostRead, Reread
from parchunk.cli.main import run
from parchunk.cover.jobs import Expansion
from parchunk.keys.row_sets import RowSet
from parchunk.listing.index_reading import IndexReading
from parchunk.listing.inner_chunks import InnerChunks
from parchunk.out import inlined, record_files
from parchunk.out.opening import open_output
from parchunk.out.record_files import References, encode
from parchunk.report.page import html_page

Columns = dict[str, list[Any]]

pytestmark = pytest.mark.filterwarnings("ignore:The data type")


def sharded(path: Path) -> np.ndarray[Any, Any]:
    """Write two shards of ten inner chunks of 40 bytes, one of them of noise."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    array = root.create_array("a", shape=(800,), chunks=(40,), shards=(400,), dtype="u1")
    values = np.concatenate([np.random.default_rng(1).integers(1, 255, 400), np.full(400, 7)])
    array[...] = values
    return values


def plain(path: Path) -> None:
    root = zarr.open_group(path, mode="w", zarr_format=3)
    array = root.create_array("a", shape=(20,), chunks=(1,), dtype="i8", compressors=None)
    array[...] = np.arange(1, 21)


def built(folder: Path, **options: Any) -> Path:
    parchunk.build(parchunk.plan(str(folder / "s.zarr"), **options), str(folder / "refs"))
    return folder / "refs"


def forge(out: Path, change: Callable[[Columns], None]) -> None:
    """Change the rows of the record file, and make its receipt anew to match."""
    path = out / "a/refs.0.parq"
    columns = pq.read_table(path).to_pydict()
    change(columns)
    raw = pa.array(columns["raw"], pa.binary())
    path_column = pa.array(columns["path"], pa.string())
    offsets, sizes = np.array(columns["offset"]), np.array(columns["size"])
    path.write_bytes(encode(References(path_column, offsets, sizes, raw)))
    data = path.read_bytes()
    receipt = next((out / ".parchunk/receipts/a").glob("*.json"))
    document = json.loads(receipt.read_text())
    document["record_files"][0][3:] = [len(data), record_files.digest(data)]
    document["bytes"] = int((sizes + inlined.lengths(raw)).sum())
    receipt.write_text(json.dumps(document))


def swap_entries(columns: Columns) -> None:
    offsets, sizes = columns["offset"], columns["size"]
    assert sizes[0] == sizes[1]
    assert offsets[0] != offsets[1]
    offsets[0], offsets[1] = offsets[1], offsets[0]


def point_into_the_index(columns: Columns) -> None:
    # Of the first shard: ten entries of 16 bytes and a checksum, at its end.
    columns["offset"][3] = max(columns["offset"][:10]) + columns["size"][0] + 5
    columns["size"][3] = 30


def halve(columns: Columns) -> None:
    columns["size"][4] //= 2


def share(columns: Columns) -> None:
    columns["offset"][5] = columns["offset"][6]


@pytest.mark.parametrize("change", [swap_entries, point_into_the_index, halve, share])
def test_references_that_are_not_the_index_s_are_damage(
    tmp_path: Path, change: Callable[[Columns], None]
) -> None:
    sharded(tmp_path / "s.zarr")
    out = built(tmp_path)
    assert parchunk.audit(str(out), against_source=True).findings == ()
    forge(out, change)
    assert not [f for f in parchunk.audit(str(out)).findings if f.severity == "damage"]
    report = parchunk.audit(str(out), against_source=True)
    (found,) = [f for f in report.findings if f.severity == "damage"]
    assert (found.kind, found.key) == ("wrong-offset", "a/c/0")
    assert report.comparison is not None
    (region,) = report.comparison.to_json()["regions"]
    assert region["contradicted"] == ["a/c/0"]
    follow(out, found.remedy)
    assert parchunk.audit(str(out), against_source=True).findings == ()


def follow(out: Path, remedy: str) -> None:
    """Do what the remedy for damage says."""
    assert remedy == "run parchunk update OUT --regions 0"
    parchunk.update(str(out), regions=[0])


@pytest.mark.parametrize("write", [plain, sharded])
def test_other_bytes_than_the_chunk_s_are_damage(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    write(tmp_path / "s.zarr")
    out = built(tmp_path, inline_threshold=8 if write is plain else 100)
    report = parchunk.audit(str(out), against_source=True)
    assert report.findings == ()
    assert report.comparison is not None
    assert report.comparison.to_json(changes=False)["inlined_read"] == 20

    def swap(columns: Columns) -> None:
        columns["raw"][2], columns["raw"][3] = columns["raw"][3], columns["raw"][2]

    forge(out, swap)
    assert parchunk.audit(str(out)).complete
    report = parchunk.audit(str(out), against_source=True)
    (found,) = report.findings
    assert (found.kind, found.severity) == ("wrong-path", "damage")
    assert found.key == ("a/c/2" if write is plain else "a/c/0")
    follow(out, found.remedy)
    assert parchunk.audit(str(out), against_source=True).findings == ()


def test_objects_that_changed_are_changes_and_not_read(tmp_path: Path) -> None:
    sharded(tmp_path / "s.zarr")
    out = built(tmp_path)
    shard = tmp_path / "s.zarr/a/c/0"
    later = shard.stat().st_mtime + 3600
    data = bytearray(shard.read_bytes())
    data[-40:-20] = data[-60:-40]  # entries of its index
    shard.write_bytes(bytes(data))
    os.utime(shard, (later, later))
    report = parchunk.audit(str(out), against_source=True)
    assert [(f.kind, f.key) for f in report.findings] == [("changed-chunks", "a/c/0")]
    assert report.comparison is not None
    assert report.comparison.indexes == Reread(1, 1)


def test_a_damaged_index_ends_no_audit(tmp_path: Path) -> None:
    sharded(tmp_path / "s.zarr")
    out = built(tmp_path)
    shard = tmp_path / "s.zarr/a/c/0"
    before = shard.stat()
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(bytes(data))
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    forge(out, lambda columns: columns["offset"].__setitem__(slice(10, 12), [3, 3]))
    report = parchunk.audit(str(out), against_source=True)
    said = {found.kind: found for found in report.findings if found.severity != "notice"}
    assert said["changed-chunks"].key == "a/c/0"
    assert "indexes of 1 shard are damaged" in said["changed-chunks"].message
    assert said["wrong-offset"].key == "a/c/1"


@pytest.mark.parametrize("ahead", [0, 16 * 30])
def test_indexes_that_are_read_again_in_several_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """Slices of four inner chunks end within the shards, of ten each; three entries a request."""
    sharded(tmp_path / "s.zarr")
    out = built(tmp_path, record_size=4)
    check, read = ContentReader.check_shards, IndexReading.read
    slices = []

    def by_four(self: ContentReader, *arguments: Any) -> Any:
        return check(self, *arguments[:-1], Expansion(4, 16 * 3, ahead))

    def noted(self: IndexReading, rows: RowSet) -> InnerChunks:
        slices.append(rows.number(0))
        return read(self, rows)

    monkeypatch.setattr(ContentReader, "check_shards", by_four)
    monkeypatch.setattr(IndexReading, "read", noted)
    assert parchunk.audit(str(out), against_source=True).findings == ()
    assert slices == [0, 4, 8, 12, 16]
    # The checksum, of which the third slice learns.
    shard = tmp_path / "s.zarr/a/c/0"
    before, data = shard.stat(), bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(bytes(data))
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    (found,) = parchunk.audit(str(out), against_source=True).findings
    assert found.kind == "changed-chunks"
    assert "indexes of 1 shard are damaged" in found.message


def test_above_the_bound_a_sample_is_read_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sharded(tmp_path / "s.zarr")
    out = built(tmp_path, inline_threshold=100)
    whole = parchunk.audit(str(out))
    output = open_output(str(out))
    done, _, _ = read_partitions(whole.plan, output)
    read = set()
    for _ in range(20):
        comparison = compare(
            whole.plan, output, done, None, None, 1 << 29, 2, most_read=MostRead(objects=10)
        )
        assert comparison.findings == ()
        assert (comparison.indexes.read, comparison.indexes.of) == (2, 2)
        assert comparison.inlined.of == 20
        read.add(comparison.inlined.read)
        said = f"read again: 2 of 2 indexes of shards, {comparison.inlined.read} of 20 inlined"
        sample = " (a sample)" if comparison.inlined.read < 20 else ""
        assert comparison.read_text == f"{said} chunks{sample}"
        assert said.capitalize() in html_page(replace(whole, comparison=comparison))
    assert 0 < sum(read) / len(read) < 20
    assert run(["audit", str(out), "--against-source"]) == 0
    assert "read again: 2 of 2 indexes of shards" in capsys.readouterr().out


def twice(path: Path, second: int, size: int) -> None:
    """Have the index of the first shard give its second inner chunk another range."""
    import google_crc32c

    data = bytearray(path.read_bytes())
    table = np.frombuffer(bytes(data[-164:-4]), "<u8").reshape(10, 2).copy()
    table[1] = (int(table[0, 0]) + second, int(table[0, 1]) + size)
    data[-164:-4] = table.tobytes()
    data[-4:] = google_crc32c.value(table.tobytes()).to_bytes(4, "little")
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(("second", "size"), [(0, 0), (40, 0), (10, 0), (0, -10), (10, -10)])
def test_ranges_that_an_index_names_twice_are_no_damage(
    tmp_path: Path, second: int, size: int
) -> None:
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    array = root.create_array(
        "a", shape=(400,), chunks=(40,), shards=(400,), dtype="u1", compressors=None
    )
    array[...] = np.arange(400) % 251
    twice(tmp_path / "s.zarr/a/c/0", second, size)
    out = built(tmp_path)
    for against_source in (False, True):
        report = parchunk.audit(str(out), against_source=against_source)
        # An inner chunk of another size than its neighbours cannot be: they are not compressed.
        assert report.exit_code == (1 if size else 0)
        kinds = {found.kind for found in report.findings}
        assert ("impossible-size" in kinds) == bool(size)
        kinds -= {"size-outliers", "impossible-size"}
        assert kinds == (set() if (second, size) in ((0, 0), (40, 0)) else {"shared-ranges"})


def test_a_chunk_written_anew_before_an_update_is_not_said_to_be_unchanged(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    array = root.create_array("a", shape=(4, 4), chunks=(1, 2), dtype="i4", compressors=None)
    array[...] = np.arange(1, 17).reshape(4, 4)
    out = built(tmp_path, split=0, region=2, inline_threshold=100)
    array[0] = [91, 92, 93, 94]
    array.resize((4, 6))  # along a later axis: what is there gets other numbers
    array[:, 4:] = 7
    parchunk.update(str(out))
    report = parchunk.audit(str(out), against_source=True)
    (found,) = [f for f in report.findings if f.severity == "damage"]
    assert (found.kind, found.count, found.key) == ("wrong-path", 2, "a/c/0/0")
    assert "though no size or time in the listing says that they changed" in found.message
    follow(out, found.remedy)
    assert parchunk.audit(str(out), against_source=True).findings == ()
