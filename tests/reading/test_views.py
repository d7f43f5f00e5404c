"""The views against a reading of the same references by hand, and what queries touch."""

import gc
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from tests.reading.odd_store import ODD, build_odd

import parchunk
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.reading.sql import connect, contents
from parchunk.reading.views import COLUMNS, view_statements


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_odd(tmp_path_factory.mktemp("views"))


@pytest.fixture
def connection(folder):
    with connect(str(folder / "refs"), locked=True) as made:
        yield made


def by_hand(folder):
    """Yield what `refs` must hold, from the plan and the record files, one row at a time."""
    out = folder / "refs"
    plan = load_plan(open_output(str(out)))
    for array in plan.arrays:
        spec = array.spec
        tables = {}
        regions = {}
        for partition in array.partitions(plan.record_size):
            for at in range(partition.rows.total):
                regions[partition.rows.number(at)] = partition.region
        for number, index in enumerate(itertools.product(*map(range, spec.grid))):
            file, row = divmod(number, plan.record_size)
            if file not in tables:
                tables[file] = pq.read_table(out / spec.name / f"refs.{file}.parq").to_pylist()
            held = tables[file][row]
            size = len(held["raw"]) if held["raw"] is not None else held["size"] or None
            present = held["path"] is not None or held["raw"] is not None
            yield (
                spec.name, regions[number], number, list(index),
                f"{spec.name}/{spec.keys.tail(index)}", present, held["path"],
                0 if held["path"] else None, size, held["raw"] is not None,
            )  # fmt: skip


def test_columns_are_the_contract(connection):
    for view, columns in COLUMNS.items():
        described = connection.execute(f"SELECT * FROM {view} LIMIT 0").description
        assert tuple(column[0] for column in described) == columns


def test_refs_are_every_chunk(folder, connection):
    rows = connection.execute("SELECT * FROM refs").fetchall()
    assert sorted(rows, key=lambda r: (r[0], r[2])) == list(by_hand(folder))
    assert any(row[9] for row in rows), "some chunk is inlined"


def test_missing_are_the_chunks_that_are_not_there(connection):
    keys = {row[0] for row in connection.execute("SELECT chunk_key FROM missing").fetchall()}
    assert keys == {"t/c/5/0/1", "t/c/7/1/1", f"{ODD}/c/0/0/0", "deep/er/q/c/1/9/1"}


def test_coverage_is_every_partition(folder, connection):
    plan = load_plan(open_output(str(folder / "refs")))
    rows = connection.execute("SELECT * FROM coverage").fetchall()
    found = {(row[0], row[1]): row for row in rows}
    assert len(rows) == len(found) == sum(array.regions for array in plan.arrays)
    for partition in plan.partitions():
        row = found[partition.key]
        assert row[6] == partition.rows.total == row[7] + row[8]
    assert found[("t", 0)][2:12] == (0, 8, None, None, 32, 30, 2, 1, found[("t", 0)][10], 0)
    counted = connection.execute(
        "SELECT refs.array_name, region, count(*) FILTER (present), sum(size)::BIGINT "
        "FROM refs GROUP BY ALL"
    ).fetchall()
    assert {(a, r): (p, b) for a, r, p, b in counted} == {
        k: (v[7], v[10]) for k, v in found.items()
    }


def test_coverage_where_record_files_do_not_divide_regions(tmp_path):
    store = zarr.open_group(tmp_path / "s", mode="w", zarr_format=3)
    store.create_array("t", shape=(100, 7), chunks=(1, 1), dtype="f4", dimension_names=("a", "b"))
    store["t"][...] = 1
    plan = parchunk.plan(str(tmp_path / "s"), split="a", region=10, record_size=16)
    parchunk.build(plan, str(tmp_path / "out"))
    with connect(str(tmp_path / "out")) as made:
        rows = made.execute("SELECT region, expected, present FROM coverage ORDER BY 1").fetchall()
        counted = made.execute(
            "SELECT region, count(*), count(*) FILTER (present) FROM refs GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert rows == counted == [
        (p.region, p.rows.total, p.rows.total) for p in plan.partitions()
    ]  # fmt: skip


def test_arrays_and_regions(connection):
    row = connection.execute(
        "SELECT * FROM arrays WHERE arrays.array_name = 'deep/er/q'"
    ).fetchone()
    assert row == ("deep/er/q", 3, "<f4", [4, 24, 6], [2, 1, 3], [2, 24, 2], ["y", "time", "x"],
                   1, 8, 96)  # fmt: skip
    assert connection.execute("SELECT * FROM regions").fetchall() == [
        (at, 0, "time", at * 8, at * 8 + 8, None, None) for at in range(3)
    ]  # fmt: skip
    (store,) = connection.execute("SELECT store, start, stop FROM stores").fetchall()
    assert store == (0, None, None)
    assert connection.execute("SELECT * FROM strays").fetchall() == [
        ("t", "c/junk", 1, "not a chunk key")
    ]
    receipts = connection.execute("SELECT count(*), sum(zero_sized) FROM receipts").fetchone()
    assert receipts == (4 * 3 + 2, 1)


def files_read(connection, query: str) -> int:
    plan = connection.execute(f"EXPLAIN ANALYZE {query}").fetchone()[1]
    return sum(map(int, re.findall(r"Total Files Read: ([0-9]+)", plan)))


@pytest.mark.parametrize(
    ("where", "files"),
    [
        ("refs.array_name = 't' AND region = 1", 4),
        ("refs.array_name = 'deep/er/q' AND region = 1", 4),
        ("refs.array_name = 't_it''s *[odd]' AND region = 2", 4),
        ("refs.array_name = 't'", 12),
        ("refs.array_name = 'crs'", 1),
        ("refs.array_name IN ('t', 'crs') AND region IS NULL", 1),
        ("refs.array_name = 'none'", 0),
    ],
)
def test_a_query_reads_only_the_files_of_its_array_and_region(connection, where, files):
    for columns in ("count(*)", "max(chunk_key), sum(size)", "max(path)"):
        assert files_read(connection, f"SELECT {columns} FROM refs WHERE {where}") == files


def test_missing_of_one_region_reads_only_its_files(connection):
    query = "SELECT chunk_key FROM missing WHERE missing.array_name = 't' AND region = 0"
    assert files_read(connection, query) == 4
    assert len(connection.execute(query).fetchall()) == 2


def test_other_files_are_not_opened_at_all(folder, tmp_path):
    shutil.copytree(folder / "refs", tmp_path / "refs")
    # DuckDB reads the columns off the first file of each layout, whatever is asked.
    needed = {f"{first}/refs.0.parq" for first in ("50%", "crs", "deep/er/q", "t", "y")}
    needed |= {f"t/refs.{index}.parq" for index in range(4, 8)}
    for path in (tmp_path / "refs").rglob("refs.*.parq"):
        if path.relative_to(tmp_path / "refs").as_posix() not in needed:
            path.write_bytes(b"no parquet")
    with connect(str(tmp_path / "refs")) as made:
        query = "SELECT count(*) FROM refs WHERE refs.array_name = 't' AND region = 1"
        assert made.execute(query).fetchone() == (32,)


def test_unfinished_build_has_views(folder, tmp_path):
    out = tmp_path / "refs"
    (out / ".parchunk").mkdir(parents=True)
    plan = (folder / "refs/.parchunk/plan.json").read_bytes()
    (out / ".parchunk/plan.json").write_bytes(plan)
    with connect(str(out)) as made:
        for view, columns in COLUMNS.items():
            relation = made.execute(f"SELECT * FROM {view}")
            assert tuple(column[0] for column in relation.description) == columns
            rows = relation.fetchall()
            assert bool(rows) == (view in ("arrays", "stores", "regions", "coverage"))


def test_types_are_the_same_with_and_without_files(folder, tmp_path):
    (tmp_path / "refs/.parchunk").mkdir(parents=True)
    plan = (folder / "refs/.parchunk/plan.json").read_bytes()
    (tmp_path / "refs/.parchunk/plan.json").write_bytes(plan)
    with connect(str(folder / "refs")) as full, connect(str(tmp_path / "refs")) as empty:
        for view in COLUMNS:
            described = [c.execute(f"DESCRIBE {view}").fetchall() for c in (full, empty)]
            assert described[0] == described[1]


def test_views_run_in_a_plain_duckdb(folder):
    output = open_output(str(folder / "refs"))
    plan = load_plan(output)
    sql = ";\n".join(view_statements(plan, output.url, contents(output, plan)))
    with duckdb.connect() as plain:
        plain.execute(sql)
        assert plain.execute("SELECT count(*) FROM missing").fetchone() == (4,)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/parchunk-should-not-be-there.csv'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "ATTACH '/tmp/parchunk-should-not-be-there.db'",
        "SELECT * FROM 'http://127.0.0.1:1/x.parquet'",
    ],
)
def test_locked_connection_reads_nothing_else(connection, query):
    with pytest.raises(duckdb.Error):
        connection.execute(query)


def test_remote_output_through_obstore(folder):
    from obstore.store import MemoryStore

    from parchunk.out.remote import RemoteOutput
    from parchunk.stores.opening import Location

    store = MemoryStore()
    root = folder / "refs"
    for path in root.rglob("*"):
        if path.is_file():
            store.put(f"a [b]/refs/{path.relative_to(root).as_posix()}", path.read_bytes())
    output = RemoteOutput(Location("s3://bucket/a [b]/refs"), store, "a [b]/refs")
    with connect(output, locked=True) as made:
        rows = made.execute("SELECT * FROM refs").fetchall()
        assert sorted(rows, key=lambda r: (r[0], r[2])) == list(by_hand(folder))
        assert made.execute("SELECT sum(present) FROM coverage").fetchone()[0] == sum(
            r[5] for r in rows
        )
        assert (
            files_read(made, "SELECT max(path) FROM refs WHERE refs.array_name='t' AND region=1")
            == 4
        )
        assert made.execute("SELECT count(*) FROM strays").fetchone() == (1,)
        with pytest.raises((duckdb.Error, PermissionError)):
            made.execute("COPY (SELECT 1 AS x) TO 's3://bucket/a [b]/refs/x.csv'")
    assert not any("x.csv" in o["path"] for page in store.list() for o in page)


def test_columns_need_no_quotes():
    with duckdb.connect() as plain:
        for columns in COLUMNS.values():
            for column in set(columns) - {"offset"}:  # the name that kerchunk gives it
                plain.execute(f"SELECT {column} FROM (SELECT 1 AS {column})")


@pytest.mark.parametrize("locked", [True, False])
def test_large_sorts_spill_into_a_private_folder(folder, tmp_path, monkeypatch, locked):
    monkeypatch.chdir(tmp_path)
    with connect(str(folder / "refs"), locked=False) as made:
        (spilled,) = made.execute("SELECT current_setting('temp_directory')").fetchone()
        made.execute("SET memory_limit = '60MB'; SET threads = 1")
        if locked:
            made.execute("SET enable_external_access = false")
        sort = "SELECT hash(i) AS h, repeat('x', 90) FROM range(3_000_000) AS t(i) ORDER BY h"
        rows = made.execute(sort)
        assert rows.fetchone() is not None
        files = [path for path in Path(spilled).rglob("*") if path.name != "lock"]
        assert files
        assert Path(spilled).stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []
    del made, rows
    gc.collect()
    assert not Path(spilled).exists()


def test_a_forked_process_leaves_the_folder_of_sorts_to_its_parent(folder):
    script = """
import os, pathlib, sys, weakref
import parchunk
made = parchunk.connect(sys.argv[1])
(spilled,) = made.execute("SELECT current_setting('temp_directory')").fetchone()
child = os.fork()
if not child:
    # What gives things up at the end of a process. Not all of its end: DuckDB waits there for
    # threads of its parent, which no fork has.
    weakref.finalize._exitfunc()
    os._exit(0)
os.waitpid(child, 0)
print(pathlib.Path(spilled).is_dir(), spilled)
"""
    program = [sys.executable, "-W", "ignore", "-c", script, str(folder / "refs")]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    there, spilled = told.split()
    assert there == "True"
    assert not Path(spilled).exists()  # the parent has ended


def test_what_a_killed_process_has_sorted_is_removed_by_the_next(folder, tmp_path, monkeypatch):
    script = """
import os, signal, sys
import parchunk
made = parchunk.connect(sys.argv[1])
print(*made.execute("SELECT current_setting('temp_directory')").fetchone(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    program = [sys.executable, "-c", script, str(folder / "refs")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    told = subprocess.run(program, capture_output=True, text=True, env=environment).stdout
    left = Path(told.strip())
    assert list(tmp_path.iterdir()) == [left]
    (left / "duckdb_temp_storage.tmp").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with connect(str(folder / "refs")):
        assert not left.exists()


@pytest.mark.parametrize("name", ["refs*", "a?", "x[1]", "back\\slash"])
def test_paths_that_duckdb_takes_for_patterns_are_said_to_be_that(folder, tmp_path, name):
    shutil.copytree(folder / "refs", tmp_path / name)
    with pytest.raises(parchunk.InputError, match="pattern"):
        connect(str(tmp_path / name))


@pytest.mark.parametrize(
    ("split", "region", "shards", "inner", "keys"),
    [
        ("time", 4, (4, 6, 6), (2, 3, 2), ("default", "/")),
        ("y", 6, (4, 6, 6), (2, 3, 2), ("v2", ".")),
        ("x", 6, (4, 6, 6), (4, 6, 6), ("default", ".")),
        (None, None, (14, 12, 10), (7, 6, 5), ("default", "/")),
    ],
)
def test_views_of_shards_agree_with_each_other_and_the_store(
    tmp_path, split, region, shards, inner, keys
):
    shape = (13, 11, 9)
    source = tmp_path / "store.zarr"
    array = zarr.open_group(source, mode="w", zarr_format=3).create_array(
        "g/a", shape=shape, chunks=inner, shards=shards, dtype="i4", fill_value=0,
        dimension_names=("time", "y", "x"), config={"write_empty_chunks": False},
        chunk_key_encoding={"name": keys[0], "separator": keys[1]},
    )  # fmt: skip
    values = np.random.default_rng(1).integers(1, 9, shape).astype("i4")
    values[: inner[0], : inner[1], : inner[2]] = 0
    array[...] = values
    plan = parchunk.plan(str(source), split=split, region=region)
    parchunk.build(plan, str(tmp_path / "refs"))
    con = parchunk.connect(str(tmp_path / "refs"))
    grid = tuple(-(-size // chunk) for size, chunk in zip(shape, inner, strict=True))
    extent = [shard // chunk for shard, chunk in zip(shards, inner, strict=True)]
    rows = con.execute(
        "SELECT chunk_index, chunk_key, path, present FROM refs ORDER BY chunk_number"
    ).fetchall()
    assert [tuple(row[0]) for row in rows] == list(np.ndindex(grid))
    prefix = f"c{keys[1]}" if keys[0] == "default" else ""
    for index, key, path, present in rows:
        shard = keys[1].join(str(i // e) for i, e in zip(index, extent, strict=True))
        assert key == f"g/a/{prefix}{shard}"
        box = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, inner, strict=True))
        assert present == bool(values[box].any())
        assert path == (f"{source}/{key}" if present else None)
    differing = con.execute(
        "SELECT * FROM (SELECT region, count(*) AS n, count(*) FILTER (present) AS p FROM refs "
        "GROUP BY region) r FULL JOIN coverage c ON r.region IS NOT DISTINCT FROM c.region "
        "WHERE n IS DISTINCT FROM expected OR p IS DISTINCT FROM c.present"
    ).fetchall()
    assert differing == []
    (shards_present,) = con.execute("SELECT sum(shards_present) FROM coverage").fetchone()
    files = [p for p in (source / "g/a").rglob("*") if p.is_file() and p.name != "zarr.json"]
    assert shards_present == len(files)
    findings = parchunk.audit(str(tmp_path / "refs"), against_source=True).findings
    assert {found.severity for found in findings} <= {"gap", "notice"}
