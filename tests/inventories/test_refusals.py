"""Inventories that are not what they seem are refused by name, before anything is written."""

import gzip
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import zarr
from instruments.inventories import FORMATS, Object, objects_in
from zarr.errors import ZarrUserWarning

import parchunk


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bucket = tmp_path_factory.mktemp("bucket")
    group = zarr.open_group(bucket / "s.zarr", mode="w", zarr_format=2)
    group.create_array("t", shape=(6,), chunks=(1,), dtype="i4")[:] = 1
    return bucket


@pytest.fixture(scope="module")
def objects(bucket: Path) -> list[Object]:
    return objects_in(bucket, "")


def refused(bucket: Path, file: Path, match: str, **how: object) -> None:
    with pytest.raises(parchunk.InputError, match=match) as caught:
        parchunk.plan(bucket / "s.zarr", inventory=file, **how)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def cut(path: Path, share: float = 0.6) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


CUT = {
    "CSV": "does not end with a line's end",
    "JSON lines": "cut off",
    "Parquet": "cannot be read as Parquet .* cut off",
    "rclone lsjson": "cut off",
    "list-objects-v2": "cut off",
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_was_cut_off(
    name: str, bucket: Path, objects: list[Object], tmp_path: Path
) -> None:
    refused(bucket, cut(FORMATS[name](tmp_path, objects, "bucket")), CUT[name])


@pytest.mark.parametrize("name", ["S3 CSV", "S3 Parquet", "S3 ORC", "Azure CSV", "Google Parquet"])
def test_a_part_that_was_cut_off(
    name: str, bucket: Path, objects: list[Object], tmp_path: Path
) -> None:
    manifest = FORMATS[name](tmp_path, objects, "bucket")
    part = next(path for path in tmp_path.rglob("*") if path.is_file() and path != manifest)
    cut(part)
    refused(bucket, manifest, "cut off")


def test_a_part_of_another_inventory_with_as_many_bytes(
    bucket: Path, objects: list[Object], tmp_path: Path
) -> None:
    manifest = FORMATS["S3 CSV"](tmp_path, objects, "bucket")
    part = next(tmp_path.rglob("*.csv.gz"))
    part.write_bytes(part.read_bytes()[:-1] + b"\1")
    refused(bucket, manifest, "another MD5 checksum")


def test_a_report_that_lacks_rows(bucket: Path, objects: list[Object], tmp_path: Path) -> None:
    manifest = FORMATS["Google CSV"](tmp_path, objects, "bucket")
    part = next(tmp_path.glob("*.csv"))
    part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:-1]))
    refused(bucket, manifest, r"says that it has \d+ rows, and its parts have")


def test_a_packed_table_that_was_cut_off(
    bucket: Path, objects: list[Object], tmp_path: Path
) -> None:
    path = tmp_path / "objects.csv.gz"
    path.write_bytes(gzip.compress(FORMATS["CSV"](tmp_path, objects, "bucket").read_bytes()))
    parchunk.plan(bucket / "s.zarr", inventory=path)
    refused(bucket, cut(path, 0.9), "cut off")


def test_a_table_that_was_cut_off_on_its_way_to_gzip(bucket: Path, tmp_path: Path) -> None:
    """The file is whole, and the last size is not: 12 of 128 bytes."""
    path = tmp_path / "objects.csv.gz"
    path.write_bytes(gzip.compress(b"key,size\ns.zarr/.zgroup,2\ns.zarr/t/0,12"))
    refused(bucket, path, "does not end with a line's end")


@pytest.mark.parametrize("spelled", ["my%20air", "my+air"])
def test_keys_that_are_spelled_as_in_a_url(tmp_path: Path, spelled: str) -> None:
    """Most names are spelled alike, so that all but some arrays would be there."""
    store, table = tmp_path / "s.zarr", tmp_path / "objects.csv"
    group = zarr.open_group(store, mode="w", zarr_format=2)
    for name in ("my air", "t"):
        group.create_array(name, shape=(6,), chunks=(1,), dtype="i4")[:] = 1
    rows = "".join(f"{one.key},{one.size}\n" for one in objects_in(store, "s.zarr/"))
    table.write_text("key,size\n" + rows)
    assert [array.spec.name for array in parchunk.plan(store, inventory=table).arrays] == [
        "my air",
        "t",
    ]
    table.write_text("key,size\n" + rows.replace("my air", spelled))
    match = re.escape(f"no object of my air, and some below {spelled}: its keys are spelled as in")
    refused(tmp_path, table, match)
    # What consolidated metadata names is known to be there.
    zarr.consolidate_metadata(store)
    refused(tmp_path, table, match, consolidated="only")
    with pytest.raises(parchunk.ParchunkError, match=r"lacks .*my air, whose metadata"):
        parchunk.plan(store, inventory=table)


TABLES: dict[str, tuple[str, str]] = {
    "no sizes": ("key,length\ns.zarr/t/0,4\n", r"no column of sizes .*it has 'key', 'length'"),
    "no keys": ("object,size\ns.zarr/t/0,4\n", "no column of keys"),
    "no header": ("s.zarr/t/0,4\ns.zarr/t/1,4\n", "no column of keys"),
    "no key of one": ("key,size\ns.zarr/.zgroup,2\n,4\n", "a row has no key: repair that row"),
    "no yes": (
        "key,size,is_latest\ns.zarr/.zgroup,2,T\ns.zarr/t/0,4,newest\n",
        "is_latest is newest, which is neither true nor false",
    ),
    "a delete marker of who knows which version": (
        "key,size,is_delete_marker\ns.zarr/.zgroup,2,\ns.zarr/t/0,4,false\ns.zarr/t/0,,true\n",
        "t/0 is a delete marker, .* no column is_latest",
    ),
    "two buckets": (
        "bucket,key,size\nmine,s.zarr/.zgroup,2\nmine,s.zarr/t/0,4\nits,s.zarr/t/1,4\n",
        r"rows of several buckets \(its, mine\) below 's.zarr/'",
    ),
    "two columns of sizes": (
        "key,Size,size_1\ns.zarr/.zgroup,2,2\n",
        r"2 columns of sizes \('Size', 'size_1'\)",
    ),
    "no size of one": ("key,size\ns.zarr/.zgroup,2\ns.zarr/t/0,\n", "s.zarr/t/0 has no size"),
    "a size in words": ("key,size\ns.zarr/.zgroup,2\ns.zarr/t/0,4 kB\n", "has no size"),
    "a broken size": ("key,size\ns.zarr/.zgroup,2\ns.zarr/t/0,4.7\n", "has no size"),
    "a negative size": ("key,size\ns.zarr/.zgroup,2\ns.zarr/t/0,-1\n", "has no size"),
    "two sizes": (
        "key,size\ns.zarr/.zgroup,2\ns.zarr/t/0,4\ns.zarr/t/0,5\n",
        r"t/0 comes twice, with two sizes \(4 and 5\)",
    ),
    "two times": (
        "key,size,mtime\ns.zarr/.zgroup,2,2026-01-01T00:00\ns.zarr/.zgroup,2,2026-01-02T00:00\n",
        "comes twice, with two modifieds",
    ),
    "versions of which none is said to be the latest": (
        "key,size,version_id\ns.zarr/.zgroup,2,a\ns.zarr/t/0,4,a\ns.zarr/t/0,4,b\n",
        "1 rows are in it twice, of versions, and nothing says which one is the latest",
    ),
    "a size beyond all": (f"key,size\ns.zarr/.zgroup,2\ns.zarr/t/0,{2**63}\n", "has no size"),
    "a day": ("key,size,mtime\ns.zarr/.zgroup,2,2026-01-01\n", "cannot be read, or is a day"),
    "no time": ("key,size,mtime\ns.zarr/.zgroup,2,soon\n", "the time of .*.zgroup cannot be read"),
    "an empty segment": ("key,size\ns.zarr/.zgroup,2\ns.zarr/t//0,4\n", "empty, '.' or '..'"),
    "dots": ("key,size\ns.zarr/.zgroup,2\ns.zarr/../t/0,4\n", "empty, '.' or '..'"),
    "another place": ("key,size\nother/t/0,4\n", "has no zarr.json, .zgroup"),
    "two roots": ("key,size\ns.zarr/.zgroup,2\n.zgroup,4\n", "each may be"),
    "columns that vary": ("key,size\ns.zarr/.zgroup,2,3\n", "cannot be read"),
    "nothing": ("", "is empty"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_with_a_fault(name: str, bucket: Path, tmp_path: Path) -> None:
    text, match = TABLES[name]
    path = tmp_path / "objects.csv"
    path.write_text(text)
    refused(bucket, path, match)


DOCUMENTS: dict[str, tuple[object, str]] = {
    "a part of a listing": ({"Contents": [], "NextToken": "x"}, "a part of a listing"),
    "spelled as in a URL": (
        {"Contents": [], "EncodingType": "url"},
        "EncodingType is 'url'.: list without --encoding-type",
    ),
    "one level": (
        {"Contents": [], "CommonPrefixes": [{"Prefix": "s.zarr/"}]},
        "a listing of one level .*without --delimiter",
    ),
    "one level, of folders alone": (
        {"RequestCharged": None, "CommonPrefixes": [{"Prefix": "s.zarr/"}]},
        "a listing of one level .*without --delimiter",
    ),
    "truncated": ({"IsTruncated": True, "Contents": []}, "a part of a listing"),
    "versions": ({"Versions": [{"Key": "k", "Size": 1}]}, "no column of keys"),
    "numbers": ([1, 2], "an object of keys and sizes was expected"),
    "pending": (
        {"inventoryStartTime": "2026-01-01T00:00:00Z", "files": [], "status": "Pending"},
        "status is 'Pending'",
    ),
    "no time": ({"fileSchema": "Key", "files": [], "fileFormat": "CSV"}, "no manifest"),
    "a part that is not there": (
        {"report_shards_file_names": ["a.csv"], "snapshot_time": "2026-01-01T00:00:00Z"},
        "names the part a.csv, which is neither",
    ),
    "a part elsewhere": (
        {"report_shards_file_names": ["../a.csv"], "snapshot_time": "2026-01-01T00:00:00Z"},
        "which is no key",
    ),
    "no parts": (
        {"report_shards_file_names": [], "snapshot_time": "2026-01-01T00:00:00Z"},
        "names no parts",
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_with_a_fault(name: str, bucket: Path, tmp_path: Path) -> None:
    document, match = DOCUMENTS[name]
    path = tmp_path / "document"
    path.write_text(json.dumps(document))
    refused(bucket, path, match)


OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "zstd": (lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd\0\0"), "packed by zstd"),
    "binary": (lambda path: path.write_bytes(b"\xff\xfe\0\1\n"), "no text"),
    "a folder": (lambda path: path.mkdir(), "there is no such file"),
    "nothing": (lambda path: None, "there is no such file"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_inventory(name: str, bucket: Path, tmp_path: Path) -> None:
    make, match = OTHERS[name]
    make(tmp_path / "file")
    refused(bucket, tmp_path / "file", match)


def test_what_keys_are_relative_to_may_be_said(
    bucket: Path, objects: list[Object], tmp_path: Path
) -> None:
    chunks = [one for one in objects if one.key.rpartition("/")[2].isdecimal()]
    file = FORMATS["CSV"](tmp_path, chunks, "bucket")
    refused(bucket, file, "--inventory-root URL")
    plan = parchunk.plan(bucket / "s.zarr", inventory=file, inventory_root=str(bucket))
    made = parchunk.build(plan, tmp_path / "out")
    assert made.present == 6
    assert any("check --inventory-root" in note for note in made.notes)
    refused(bucket, file, "is not below it", inventory_root="/elsewhere")
    refused(bucket, file, "no arrays in the Zarr group", inventory_root=str(bucket / "s.zarr"))
    with pytest.raises(parchunk.InputError, match="is for --inventory FILE"):
        parchunk.plan(bucket / "s.zarr", inventory_root=str(bucket))


@pytest.mark.parametrize("lacking", ["s.zarr/g/zarr.json", "s.zarr/t/"])
def test_what_can_be_read_and_is_not_in_it(lacking: str, tmp_path: Path) -> None:
    """A listing that lacks it may be asked for again; an inventory stays as it is."""
    group = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    group.create_array("t", shape=(2,), chunks=(1,), dtype="i4")[:] = 1
    group.create_array("g/u", shape=(2,), chunks=(1,), dtype="i4")[:] = 1
    if lacking.endswith("/"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZarrUserWarning)
            zarr.consolidate_metadata(tmp_path / "s.zarr")
    every = objects_in(tmp_path, "")
    part = [one for one in every if not one.key.startswith(lacking)]
    assert len(part) < len(every)
    file = FORMATS["CSV"](tmp_path, part, "bucket")
    named = lacking.rstrip("/")
    with pytest.raises(
        parchunk.SourceError, match=rf"the inventory of 20.* lacks .*/{named}, .*; give a later one"
    ):
        parchunk.plan(tmp_path / "s.zarr", inventory=file)
    whole = FORMATS["CSV"](tmp_path, every, "bucket")
    assert len(parchunk.plan(tmp_path / "s.zarr", inventory=whole).arrays) == 2


def test_rows_twice_count_once(bucket: Path, objects: list[Object], tmp_path: Path) -> None:
    file = FORMATS["CSV"](tmp_path, objects + objects[:4], "bucket")
    made = parchunk.build(parchunk.plan(bucket / "s.zarr", inventory=file), tmp_path / "out")
    assert made.present == 6
    assert any("4 rows are in it twice" in note for note in made.notes)


def test_an_inventory_of_another_bucket(bucket: Path, tmp_path: Path) -> None:
    manifest = FORMATS["S3 CSV"](tmp_path, [Object("s.zarr/.zgroup", 2)] * 2, "theirs")
    with pytest.raises(parchunk.InputError, match="is the inventory of theirs, and s3://mine/s"):
        parchunk.plan("s3://mine/s.zarr", inventory=manifest, store_options={"region": "x"})


def test_objects_that_are_no_table(bucket: Path) -> None:
    with pytest.raises(parchunk.InputError, match="no Arrow stream or table"):
        parchunk.Source(parchunk.Source.open(str(bucket)).store, url="/x", objects=[1])


def test_inventories_of_several_times_or_buckets(
    bucket: Path, objects: list[Object], tmp_path: Path
) -> None:
    def taken(name: str, some: list[Object], seconds: int, of: str = "bucket") -> str:
        (tmp_path / name).mkdir()
        manifest = FORMATS["S3 CSV"](tmp_path / name, some, of)
        document = json.loads(manifest.read_text())
        document["creationTimestamp"] = str(1_700_000_000_000 + seconds * 1000)
        manifest.write_text(json.dumps(document))
        return str(manifest)

    def given(*files: str) -> parchunk.Plan:
        return parchunk.plan(bucket / "s.zarr", inventory=files)

    halves = [taken("one", objects[:4], 0), taken("other", objects[4:], 9)]
    assert given(*halves).inventory.objects == len(objects)
    # What was deleted between is in the older one alone.
    older, newer = taken("older", objects, 0), taken("newer", objects[1:], 9)
    with pytest.raises(parchunk.InputError, match=r"at several times, .*: give the newest alone"):
        given(older, newer)
    assert given(newer).inventory.objects == len(objects) - 1
    with pytest.raises(parchunk.InputError, match="are inventories of two buckets"):
        given(newer, taken("theirs", objects, 9, "theirs"))
