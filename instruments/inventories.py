"""Inventories of a store in every format, as their makers write them, from what it really holds."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet as pq

#: When inventories are taken here.
TAKEN = datetime(2026, 11, 1, 2, 3, 4, tzinfo=UTC)


@dataclass(frozen=True)
class Object:
    """An object of a bucket."""

    key: str
    size: int
    modified: datetime = datetime(2026, 10, 1, tzinfo=UTC)


def objects_in(store: Path, prefix: str, seed: int = 0) -> list[Object]:
    """Return what a local store holds, under the keys of a bucket, in no order."""
    found = [
        Object(
            f"{prefix}{path.relative_to(store).as_posix()}",
            path.stat().st_size,
            datetime.fromtimestamp(int(path.stat().st_mtime), UTC),
        )
        for path in sorted(store.rglob("*"))
        if path.is_file()
    ]
    random.Random(seed).shuffle(found)
    return found


Writer = Callable[[Path, Sequence[Object], str], Path]
"""Writes an inventory of a bucket's objects below a folder; returns what to give parchunk."""


def s3(kind: str, versioned: bool = False) -> Writer:
    """Return what writes S3 Inventory with parts of a kind: CSV, Parquet or ORC."""

    def write(folder: Path, objects: Sequence[Object], bucket: str) -> Path:
        columns = ["Bucket", "Key", "Size", "LastModifiedDate", "ETag"]
        if versioned:
            columns[2:2] = ["VersionId", "IsLatest", "IsDeleteMarker"]
        ending = {"CSV": "csv.gz", "Parquet": "parquet", "ORC": "orc"}[kind]
        data = folder / "reports" / bucket / "daily" / "data"
        data.mkdir(parents=True)
        half = len(objects) // 2
        parts = []
        for at, some in enumerate((objects[:half], objects[half:])):
            rows = [_s3_row(one, bucket, versioned) for one in some]
            if versioned:
                rows += _old_versions(some[:3], bucket)
            path = data / f"part-{at}.{ending}"
            _write_s3(path, columns, rows, kind)
            parts.append(
                {
                    "key": path.relative_to(folder).as_posix(),
                    "size": path.stat().st_size,
                    "MD5checksum": hashlib.md5(path.read_bytes()).hexdigest(),
                }
            )
        manifest = data.parent / "2026-11-01T02-03Z" / "manifest.json"
        manifest.parent.mkdir()
        document = {
            "sourceBucket": bucket,
            "destinationBucket": "arn:aws:s3:::elsewhere",
            "version": "2016-11-30",
            "creationTimestamp": str(round(TAKEN.timestamp() * 1000)),
            "fileFormat": kind,
            "fileSchema": ", ".join(columns) if kind == "CSV" else "message s3.inventory {}",
            "files": parts,
        }
        manifest.write_text(json.dumps(document))
        return manifest

    return write


def _s3_row(one: Object, bucket: str, versioned: bool) -> list[Any]:
    version = ["v1", True, False] if versioned else []
    return [bucket, one.key, *version, one.size, one.modified, "etag"]


def _old_versions(objects: Sequence[Object], bucket: str) -> list[list[Any]]:
    """Return an older version of each object, and an object whose latest version is no more."""
    gone = [bucket, objects[0].key + "-gone", "v2", True, True, None, TAKEN, None]
    before = [bucket, objects[0].key + "-gone", "v1", False, False, 9, TAKEN, "etag"]
    old = [[bucket, o.key, "v0", False, False, o.size + 1, o.modified, "etag"] for o in objects]
    return [*old, gone, before]


def _write_s3(path: Path, columns: list[str], rows: list[list[Any]], kind: str) -> None:
    if kind == "CSV":
        with gzip.open(path, "wt", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            for row in rows:
                row = [*row[:1], quote_plus(row[1], safe="/"), *row[2:]]
                writer.writerow([_spelled(value) for value in row])
        return
    names = [_IN_TABLES.get(name, name.lower()) for name in columns]
    table = pa.table(
        [pa.array(values) for values in zip(*rows, strict=True)],
        names=[
            {"islatest": "is_latest", "isdeletemarker": "is_delete_marker"}.get(n, n) for n in names
        ],
    )
    if kind == "Parquet":
        pq.write_table(table, path)
    else:
        pa.orc.write_table(table, path)


#: What parts of Parquet and ORC call columns that those of CSV spell otherwise.
_IN_TABLES = {
    "LastModifiedDate": "last_modified_date",
    "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker",
    "VersionId": "version_id",
}


def _spelled(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return str(value).lower() if isinstance(value, bool) else str(value)


def google(kind: str) -> Writer:
    """Return what writes a report of Storage Insights: CSV or Parquet."""

    def write(folder: Path, objects: Sequence[Object], bucket: str) -> Path:
        table = pa.table(
            {
                "project": ["1"] * len(objects),
                "bucket": [bucket] * len(objects),
                "name": [one.key for one in objects],
                "size": [one.size for one in objects],
                "updated": [one.modified.isoformat() for one in objects],
                "timeDeleted": pa.array([None] * len(objects), pa.string()),
            }
        )
        name = f"report_0.{kind.lower()}"
        _write_table(table, folder / name)
        document = {
            "report_config": {"display_name": "daily"},
            "records_processed": len(objects),
            "snapshot_time": TAKEN.isoformat(),
            "shard_count": 1,
            "report_shards_file_names": [name],
        }
        (folder / "manifest.json").write_text(json.dumps(document))
        return folder / "manifest.json"

    return write


def azure(kind: str) -> Writer:
    """Return what writes a blob inventory: CSV, or Parquet, whose times are milliseconds."""

    def write(folder: Path, objects: Sequence[Object], bucket: str) -> Path:
        times: list[Any] = [one.modified.isoformat() for one in objects]
        if kind == "Parquet":
            times = [round(one.modified.timestamp() * 1000) for one in objects]
        rows = len(objects)
        table = pa.table(
            {
                "Name": [f"{bucket}/{one.key}" for one in objects],
                "Last-Modified": times,
                "Content-Length": [one.size for one in objects],
                "hdi_isfolder": pa.array([None] * rows, pa.bool_()),
                "VersionId": pa.array([None] * rows, pa.string()),
                "IsCurrentVersion": pa.array([None] * rows, pa.bool_()),
                "Snapshot": pa.array([None] * rows, pa.string()),
            }
        )
        folders = table.slice(0, 1).to_pylist()[0]
        folders |= {"Name": f"{bucket}/folder", "hdi_isfolder": True, "Content-Length": 0}
        table = pa.concat_tables([table, pa.Table.from_pylist([folders], table.schema)])
        part = folder / "2026" / "rule" / f"rule.{kind.lower()}"
        part.parent.mkdir(parents=True)
        _write_table(table, part)
        document = {
            "destinationContainer": "inventories",
            "endpoint": "https://account.blob.core.windows.net",
            "files": [{"blob": "2026/rule/" + part.name, "size": part.stat().st_size}],
            "inventoryCompletionTime": TAKEN.isoformat(),
            "inventoryStartTime": TAKEN.isoformat(),
            "ruleName": "rule",
            "status": "Succeeded",
            "summary": {"objectCount": rows + 1, "totalObjectSize": 1},
            "version": "1.0",
        }
        manifest = part.parent / "rule-manifest.json"
        manifest.write_text(json.dumps(document))
        return manifest

    return write


def _write_table(table: pa.Table, path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        pa.csv.write_csv(table, path)


def rclone(folder: Path, objects: Sequence[Object], bucket: str) -> Path:
    """Write what ``rclone lsjson -R remote:bucket`` prints."""
    listed = [
        {
            "Path": one.key,
            "Name": one.key.rpartition("/")[2],
            "Size": one.size,
            "MimeType": "application/octet-stream",
            "ModTime": one.modified.strftime("%Y-%m-%dT%H:%M:%S.000000000Z"),
            "IsDir": False,
        }
        for one in objects
    ]
    listed.append({"Path": "dir", "Name": "dir", "Size": -1, "ModTime": "", "IsDir": True})
    path = folder / "lsjson.txt"
    path.write_text("[\n" + ",\n".join(map(json.dumps, listed)) + "\n]\n")
    return path


def list_objects(folder: Path, objects: Sequence[Object], bucket: str) -> Path:
    """Write what ``aws s3api list-objects-v2 --output json`` prints."""
    contents = [
        {
            "Key": one.key,
            "LastModified": one.modified.isoformat(),
            "ETag": '"e"',
            "ChecksumAlgorithm": ["CRC32"],
            "Size": one.size,
            "StorageClass": "STANDARD",
        }
        for one in objects
    ]
    path = folder / "listed"
    path.write_text(json.dumps({"RequestCharged": None, "Contents": contents}, indent=4))
    return path


def table(kind: str) -> Writer:
    """Return what writes a table ``key, size, last_modified``."""

    def write(folder: Path, objects: Sequence[Object], bucket: str) -> Path:
        rows = [(one.key, one.size, one.modified) for one in objects]
        path = folder / f"objects.{kind}"
        if kind == "jsonl":
            lines = [{"key": k, "size": s, "last_modified": m.isoformat()} for k, s, m in rows]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        elif kind in ("csv", "tsv"):
            with path.open("w", newline="") as file:
                writer = csv.writer(file, delimiter="\t" if kind == "tsv" else ",")
                writer.writerow(["key", "size", "last_modified"])
                writer.writerows([k, s, m.isoformat()] for k, s, m in rows)
        else:
            keys, sizes, times = zip(*rows, strict=True)
            named = {"key": keys, "size": sizes, "last_modified": times}
            pq.write_table(pa.table({name: list(v) for name, v in named.items()}), path)
        return path

    return write


#: Every format, by what messages and tests call it.
FORMATS: dict[str, Writer] = {
    "S3 CSV": s3("CSV"),
    "S3 Parquet": s3("Parquet"),
    "S3 ORC": s3("ORC"),
    "S3 CSV, versioned": s3("CSV", versioned=True),
    "S3 Parquet, versioned": s3("Parquet", versioned=True),
    "Google CSV": google("CSV"),
    "Google Parquet": google("Parquet"),
    "Azure CSV": azure("CSV"),
    "Azure Parquet": azure("Parquet"),
    "rclone lsjson": rclone,
    "list-objects-v2": list_objects,
    "CSV": table("csv"),
    "TSV": table("tsv"),
    "JSON lines": table("jsonl"),
    "Parquet": table("parquet"),
}
