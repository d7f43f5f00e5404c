"""References kept in Zarr v3 (`--shards whole`, `--format v3`), and arrays that are skipped."""

import json
import warnings
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray
import zarr
from packaging.version import Version
from zarr.codecs import BytesCodec, ShardingCodec, TransposeCodec, ZstdCodec
from zarr.storage import FsspecStore

import parchunk
from parchunk.building.build import build
from parchunk.cli.main import run
from parchunk.errors import InputError, SourceChangedError, UnsupportedError
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan

pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated"),
    pytest.mark.filterwarnings("ignore:The data type"),
    # zarr-python on a sharding codec that is written with others around it
    pytest.mark.filterwarnings("ignore:Combining a `sharding_indexed` codec"),
]

LITTLE = BytesCodec(endian="little")


def open_v3(out: Path) -> zarr.Group:
    references = fsspec.filesystem(
        "reference", fo=str(out), remote_protocol="file", asynchronous=True
    )
    return zarr.open_group(FsspecStore(references, read_only=True, path=""), mode="r")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A v3 store: shards, nested shards, a transpose v2 lacks, and a plain array in a group."""
    root = tmp_path / "s.zarr"
    group = zarr.open_group(root, mode="w", zarr_format=3, attributes={"title": "all sorts"})
    random = np.random.default_rng(1)
    data = random.random((12, 10, 9))
    names = ("time", "y", "x")
    chunks = {"shape": data.shape, "dtype": "f8", "dimension_names": names, "fill_value": 0.5}
    group.create_array("plain", chunks=(2, 10, 9), **chunks)[...] = data
    sharded = group.create_array("sharded", chunks=(1, 5, 3), shards=(4, 10, 9), **chunks)
    sharded[:8] = data[:8]
    nested = ShardingCodec(
        chunk_shape=(2, 5, 9), codecs=(ShardingCodec(chunk_shape=(1, 5, 3), codecs=(LITTLE,)),)
    )
    plain: dict[str, Any] = {"filters": [], "compressors": []}
    group.create_array("nested", chunks=(4, 10, 9), serializer=nested, **plain, **chunks)[...] = (
        data
    )
    group.create_array(
        "deep/turned",
        chunks=(2, 5, 9),
        filters=[TransposeCodec(order=(1, 0, 2))],
        compressors=[ZstdCodec()],
        **chunks,
    )[...] = data
    group.create_array(
        "turned_shards",
        chunks=(4, 10, 9),
        serializer=ShardingCodec(
            chunk_shape=(2, 5, 3), codecs=(TransposeCodec(order=(1, 0, 2)), LITTLE)
        ),
        **plain,
        **chunks,
    )[...] = data
    group.create_array("time", data=np.arange(12), chunks=(12,), dimension_names=("time",))
    return root


ARRAYS = ("plain", "sharded", "nested", "deep/turned", "turned_shards", "time")


def test_all_refusals_come_at_once_each_with_its_remedy(source: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        parchunk.plan(str(source))
    message = str(caught.value)
    assert message.startswith("3 arrays cannot be referenced: deep/turned: transpose [1, 0, 2]")
    assert "nested: nested shards" in message
    assert "turned_shards: transpose" in message
    assert message.count("--shards whole") == 2
    assert message.count("--format v3") == 1
    assert message.count("--skip-unsupported") == 3


def test_shards_kept_whole_read_back_bit_for_bit(source: Path, tmp_path: Path) -> None:
    plan = parchunk.plan(str(source), shards="whole", split="time", region=4)
    result = build(plan, str(tmp_path / "refs"))
    assert any("zarr-python 3" in note for note in result.notes)
    group, opened = zarr.open_group(source, mode="r"), open_v3(tmp_path / "refs")
    for name in ARRAYS:
        assert opened[name][...].tobytes() == group[name][...].tobytes(), name
        assert opened[name].metadata.codecs == group[name].metadata.codecs
        # zarr before 3.1.6 reads no part of nested shards, of this store or of any other.
        if name != "nested" or Version(zarr.__version__) >= Version("3.1.6"):
            assert (opened[name][3:5, ...] == group[name][3:5, ...]).all()
    (sharded,) = [r for r in result.receipts if r.array == "sharded" and r.region == 2]
    assert (sharded.expected, sharded.missing, sharded.shards_expected) == (1, 1, 0)
    assert opened.attrs["title"] == "all sorts"
    assert load_plan(open_output(str(tmp_path / "refs"))) == plan


def test_v3_references_of_expanded_shards_read_back(source: Path, tmp_path: Path) -> None:
    plan = parchunk.plan(str(source), zarr_format=3, exclude=["nested"])
    build(plan, str(tmp_path / "refs"))
    group, opened = zarr.open_group(source, mode="r"), open_v3(tmp_path / "refs")
    for name in ARRAYS:
        if name != "nested":
            assert opened[name][...].tobytes() == group[name][...].tobytes(), name
    assert opened["turned_shards"].chunks == (2, 5, 3)
    assert opened["turned_shards"].shards is None


@pytest.mark.parametrize("how", [{"shards": "whole"}, {"zarr_format": 3, "exclude": ["nested"]}])
def test_v3_references_open_in_xarray(source: Path, tmp_path: Path, how: dict[str, Any]) -> None:
    build(parchunk.plan(str(source), **how), str(tmp_path / "refs"))
    wanted = xarray.open_dataset(source, engine="zarr", consolidated=False)
    wanted = wanted.drop_vars("nested") if "exclude" in how else wanted
    xarray.testing.assert_identical(
        parchunk.open_dataset(str(tmp_path / "refs")).load(), wanted.load()
    )
    stock = xarray.open_dataset(
        "reference://",
        engine="zarr",
        backend_kwargs={
            "storage_options": {"fo": str(tmp_path / "refs"), "remote_protocol": "file"}
        },
    )
    xarray.testing.assert_identical(stock.load(), wanted)


def test_v2_arrays_have_no_v3_references(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "s.zarr", name="a", shape=(4,), dtype="i4", zarr_format=2)
    with pytest.raises(UnsupportedError, match="a Zarr v2 array among references in Zarr v3"):
        parchunk.plan(str(tmp_path / "s.zarr"), zarr_format=3)


def test_impossible_formats_are_refused(source: Path) -> None:
    with pytest.raises(InputError, match="--shards whole needs --format v3"):
        parchunk.plan(str(source), shards="whole", zarr_format=2)
    with pytest.raises(InputError, match="--shards half"):
        parchunk.plan(str(source), shards="half")


def test_skipped_arrays_are_left_out_and_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "refs")

    def said(*arguments: str) -> str:
        assert run(list(arguments)) == 0
        return capsys.readouterr().out

    assert run(["build", str(source), out]) == 2
    assert "3 arrays cannot be referenced" in capsys.readouterr().err
    assert "skipped: nested: nested shards" in said("plan", str(source), "--skip-unsupported")
    built = said("build", str(source), out, "--skip-unsupported", "--json")
    assert sum("was skipped" in note for note in json.loads(built)["notes"]) == 3
    assert "skipped: turned_shards: transpose" in said("status", out)
    skipped = json.loads(said("status", out, "--json"))["skipped"]
    assert [name for name, _ in skipped] == ["deep/turned", "nested", "turned_shards"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = open_v3(tmp_path / "refs")
        assert sorted(opened.array_keys()) == ["plain", "sharded", "time"]
        group = zarr.open_group(source, mode="r")
        assert (opened["sharded"][...] == group["sharded"][...]).all()


def test_a_skipped_array_may_not_change_its_mind(source: Path, tmp_path: Path) -> None:
    plan = parchunk.plan(str(source), skip_unsupported=True)
    document = json.loads((source / "sharded/zarr.json").read_text())
    document["codecs"].append({"name": "crc32c"})
    (source / "sharded/zarr.json").write_text(json.dumps(document))
    with pytest.raises(SourceChangedError):
        build(plan, str(tmp_path / "refs"))


def test_a_store_of_which_nothing_is_left_is_refused(source: Path) -> None:
    with pytest.raises(InputError, match="--skip-unsupported leaves no array: nested: nested"):
        parchunk.plan(str(source), include=["nested"], skip_unsupported=True)


def test_another_format_is_another_plan(source: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "refs")
    build(parchunk.plan(str(source), include=["sharded"]), out)
    with pytest.raises(
        InputError, match="--shards 'expand' there, 'whole' now; --format v2 there, v3 now"
    ):
        build(parchunk.plan(str(source), include=["sharded"], shards="whole"), out)
