"""Uncompressed chunks have one possible size: any other is a finding, and said by the build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec

import parchunk
from parchunk.cli.main import run
from parchunk.metadata.fixed_size import fixed_chunk_bytes

pytestmark = [
    pytest.mark.filterwarnings("ignore:The data type"),
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
    pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated"),
]

NUMCODECS: dict[str, Any] = {
    "crc32": numcodecs.CRC32(),
    "adler32": numcodecs.Adler32(),
    "fletcher32": numcodecs.Fletcher32(),
    "jenkins": numcodecs.JenkinsLookup3(),
    "shuffle": numcodecs.Shuffle(4),
    "delta": numcodecs.Delta("<f4"),
    "delta to f8": numcodecs.Delta("<f4", "<f8"),
    "bitround": numcodecs.BitRound(5),
    "quantize": numcodecs.Quantize(2, "<f4"),
    "zlib": numcodecs.Zlib(),
    "lz4": numcodecs.LZ4(),
    "fixedscaleoffset": numcodecs.FixedScaleOffset(0, 1, "<f4", "<i2"),
}
VARIABLE = {"zlib", "lz4", "delta to f8", "fixedscaleoffset"}


def sizes(path: Path) -> set[int]:
    return {
        file.stat().st_size
        for file in (path / "a").rglob("*")
        if file.is_file() and not file.name.startswith((".z", "zarr"))
    }


def fixed(path: Path, **options: Any) -> int | None:
    return fixed_chunk_bytes(parchunk.plan(str(path), **options).by_name["a"].spec)


@pytest.mark.parametrize("codec", NUMCODECS)
@pytest.mark.parametrize("role", ["filters", "compressors"])
def test_v2_codecs(tmp_path: Path, codec: str, role: str) -> None:
    root = zarr.open_group(tmp_path, mode="w", zarr_format=2)
    given: Any = {"filters": None, "compressors": None}
    given[role] = [NUMCODECS[codec]] if role == "filters" else NUMCODECS[codec]
    if role == "compressors" and codec in ("delta", "delta to f8", "bitround", "quantize"):
        return
    if role == "compressors" and codec == "fixedscaleoffset":
        return
    array = root.create_array("a", shape=(7, 5), chunks=(3, 2), dtype="<f4", **given)
    array[...] = np.random.default_rng(1).random((7, 5))
    if codec in VARIABLE:
        assert fixed(tmp_path) is None
    else:
        assert sizes(tmp_path) == {fixed(tmp_path)}


@pytest.mark.parametrize(
    "dtype", ["|b1", "<i2", ">f8", "<c16", "|S3", "<U2", "<M8[ns]", [("a", "<i4"), ("b", "<f8")]]
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_data_types(tmp_path: Path, dtype: Any, zarr_format: Any) -> None:
    root = zarr.open_group(tmp_path, mode="w", zarr_format=zarr_format)
    root.create_array(
        "a", shape=(7, 5), chunks=(3, 2), dtype=np.dtype(dtype), compressors=None,
        config={"write_empty_chunks": True},
    )[...] = np.zeros((7, 5), np.dtype(dtype))  # fmt: skip
    assert sizes(tmp_path) == {fixed(tmp_path)}


def test_v3_codecs(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    made: dict[str, Any] = {"shape": (6, 4, 5), "chunks": (3, 2, 5), "dtype": "<f4"}
    data = np.random.default_rng(1).random((6, 4, 5))
    bytes_ = BytesCodec(endian="big")
    for overwrite, (given, length) in enumerate(
        [
            ({"compressors": None, "serializer": bytes_}, 120),
            ({"compressors": Crc32cCodec()}, 124),
            ({"compressors": GzipCodec()}, None),
            ({"compressors": None, "filters": TransposeCodec(order=(1, 0, 2))}, 120),
        ]
    ):
        root.create_array("a", overwrite=bool(overwrite), **made, **given)[...] = data
        assert fixed(tmp_path, zarr_format=3) == length
        if length is not None:
            assert sizes(tmp_path) == {length}


def test_shards(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    root.create_array(
        "a", shape=(8,), chunks=(2,), shards=(4,), dtype="<f4", compressors=Crc32cCodec()
    )[...] = np.arange(8)
    assert fixed(tmp_path) == 12
    assert fixed(tmp_path, shards="whole") is None


def test_text_has_any_size(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path, mode="w", zarr_format=2)
    root.create_array("a", shape=(4,), chunks=(2,), dtype=str, compressors=None)[...] = "x"
    assert fixed(tmp_path) is None


@pytest.mark.parametrize("bad", [b"short", b"\0" * 100], ids=["cut", "longer"])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("threshold", [0, 200])
def test_other_sizes_are_findings_and_their_remedy_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: bytes, zarr_format: Any, threshold: int
) -> None:
    source, out = tmp_path / "s.zarr", str(tmp_path / "refs")
    root = zarr.open_group(source, mode="w", zarr_format=zarr_format)
    array = root.create_array("a", shape=(40, 2), chunks=(1, 2), dtype="<f8", compressors=None)
    array[...] = np.arange(80).reshape(40, 2) + 1
    chunk = source / "a" / ("c/13/0" if zarr_format == 3 else "13.0")
    whole = chunk.read_bytes()
    chunk.write_bytes(bad)
    inline = ["--inline-threshold", str(threshold)] if threshold else []
    options = ["--region", "10", *inline]
    assert run(["build", str(source), out, *options]) == 0
    summary = capsys.readouterr().out
    assert "a: some chunks have not the 16 bytes" in summary
    assert "region 1)" in summary
    assert run(["audit", out, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    (found,) = report["findings"]
    assert (found["kind"], found["region"], found["count"]) == ("impossible-size", 1, 1)
    assert found["key"] == "a/" + ("c/13/0" if zarr_format == 3 else "13.0")
    assert f"({len(bad)} bytes)" in found["message"]
    assert "parchunk update OUT --regions" in found["remedy"]
    assert (report["arrays"][0]["fixed_size"], report["arrays"][0]["impossible_sizes"]) == (16, 1)
    # the remedy, followed
    chunk.write_bytes(whole)
    assert run(["update", out, "--regions", "1"]) == 0
    assert "have not" not in capsys.readouterr().out
    assert run(["audit", out]) == 0


def test_many_wrong_sizes_are_counted_and_the_first_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "s.zarr", str(tmp_path / "refs")
    root = zarr.open_group(source, mode="w", zarr_format=2)
    array = root.create_array("a", shape=(300,), chunks=(1,), dtype="<i8", compressors=None)
    array[...] = np.arange(300) + 1
    wrong = [*range(50, 300, 7)]
    for number in wrong:
        (source / "a" / str(number)).write_bytes(b"x" * (number % 5 + 1))
    parchunk.build(parchunk.plan(str(source), record_size=16), out)
    (found,) = parchunk.audit(out).findings
    assert (found.kind, found.count) == ("impossible-size", len(wrong))
    assert found.key == f"a/{wrong[0]}"
    named = ", ".join(f"a/{number} ({number % 5 + 1} bytes)" for number in wrong[:5])
    assert found.message.endswith(f"cannot be read: {named}")
