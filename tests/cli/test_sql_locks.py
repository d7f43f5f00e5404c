"""`parchunk sql` reads what lies in OUT and nothing else, and writes nothing, whatever is asked."""

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import parchunk
from parchunk.cli.main import run
from parchunk.cli.sql import run_query

CANARY = "canary-in-a-file"
READERS = ("read_text", "read_blob", "read_csv", "sniff_csv", "read_json", "read_parquet", "glob")
#: Names of a file outside, {root} being OUT's parent: all must be refused, by any reader.
OUTSIDE = (
    "{root}/secret.csv",
    "file://{root}/secret.csv",
    "{out}/../secret.csv",
    "{out}/./../secret.csv",
    "{out}//../secret.csv",
    "{out}/t/../../secret.csv",
    "{out}x/secret.csv",
    "{root}/*.csv",
    "{root}/ou[t]/../secret.csv",
    "secret.csv",
    "./secret.csv",
    "{out}/link.csv",
    "/proc/self/environ",
    "http://127.0.0.1:9/x.csv",
    "s3://bucket/x.csv",
)
STATEMENTS = (
    "INSTALL httpfs",
    "FORCE INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{out}/x.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "SET enable_external_access = true",
    "SET GLOBAL allowed_directories = ['/']",
    "RESET allowed_directories",
    "RESET lock_configuration",
    "SET VARIABLE x = 1",
    "PRAGMA lock_configuration = false",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA profiling_output = '{out}/x'",
    "ATTACH '{out}/x'",
    "ATTACH '{root}/secret.csv' AS x (READ_ONLY)",
    "USE temp",
    "DETACH memory",
    "EXPORT DATABASE '{out}/x'",
    "IMPORT DATABASE '{out}/x'",
    "COPY FROM DATABASE memory TO x",
    "COPY refs FROM '{root}/secret.csv'",
    "CREATE TABLE x (a VARCHAR); COPY x FROM '{root}/secret.csv'",
    "CREATE SECRET (TYPE s3)",
    "CALL enable_logging()",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{out}/x')",
    "SELECT * FROM enable_logging(storage = 'file', storage_config = {{'path': '{out}'}})",
    "SELECT * FROM query('SELECT * FROM enable_' || 'logging(storage=''file'')')",
    "SELECT * FROM enable_profiling(save_location = '{out}/x')",
    "SELECT getenv('PLANTED')",
    "SELECT * FROM planted",
    "SELECT * FROM sqlite_scan('{root}/secret.csv', 'x')",
    "SELECT * FROM json_execute_serialized_sql('x')",
    "WITH x AS (COPY (SELECT 1) TO '{out}/x') SELECT * FROM x",
    "wItH x As (cOpY(SELECT 1)tO'{out}/x')SELECT * FROM x",
    "WITH x AS (\u00a0COPY\u00a0(SELECT 1) TO '{out}/x') SELECT * FROM x",
    "WITH/**/x AS(--\nCOPY/**/(SELECT 1)/**/TO/**/'{out}/x') SELECT * FROM x",
    "SELECT $é$'$é$, 1; WITH x AS (COPY (SELECT 1) TO '{out}/x') SELECT * FROM x",
    "CREATE TABLE x AS WITH y AS (COPY (SELECT 1) TO '{out}/x') SELECT * FROM y",
    "CREATE TABLE x (a INT); INSERT INTO x WITH y AS (COPY (SELECT 1 a) TO '{out}/x') FROM y",
    "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{out}/x') SELECT * FROM x",
    "CHECKPOINT '{out}/x'",
    "VACUUM",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("locks")
    (root / "source/t").mkdir(parents=True)
    (root / "source/.zgroup").write_text('{"zarr_format": 2}')
    document = {"zarr_format": 2, "shape": [4], "chunks": [1], "dtype": "<i4", "order": "C"}
    document |= {"fill_value": 0, "filters": None, "compressor": None}
    (root / "source/t/.zarray").write_text(json.dumps(document))
    (root / "source/t/1").write_bytes(b"1234")
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(["build", str(root / "source"), str(root / "out")]) == 0
    (root / "secret.csv").write_text(f"a,b\n{CANARY},2\n")
    (root / "outx").mkdir()
    (root / "outx/secret.csv").write_text(f"a,b\n{CANARY},2\n")
    (root / "out/link.csv").symlink_to(root / "secret.csv")
    return root


@pytest.fixture
def refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return an assertion that a query is refused in one line, shows nothing and writes nothing."""
    monkeypatch.setenv("PLANTED", CANARY)
    monkeypatch.chdir(folder)

    def check(query: str) -> None:
        query = query.format(root=folder, out=folder / "out")
        before = picture(folder)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(["sql", str(folder / "out"), query])
        assert code == 2, query
        assert err.getvalue().count("\n") == 1, query
        assert CANARY not in out.getvalue() + err.getvalue(), query
        assert picture(folder) == before, query

    return check


@pytest.fixture(scope="module")
def locked(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with parchunk.connect(folder / "out", locked=True) as made:
        yield made


@pytest.fixture
def refused_at_once(
    folder: Path, locked: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Return that assertion of the command's connection, which is made once: it takes the time."""
    monkeypatch.chdir(folder)

    def check(query: str) -> None:
        query = query.format(root=folder, out=folder / "out")
        before = picture(folder)
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), pytest.raises(parchunk.InputError) as refusal:
            run_query(locked, query, "csv")
        assert CANARY not in shown.getvalue() + str(refusal.value), query
        assert picture(folder) == before, query

    return check


def picture(root: Path) -> dict[str, Any]:
    return {
        os.path.relpath(path, root): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


@pytest.mark.parametrize("file", OUTSIDE)
def test_nothing_outside_is_read(
    refused: Callable[[str], None], refused_at_once: Callable[[str], None], file: str
) -> None:
    refused(f"SELECT * FROM '{file}'")
    for reader in READERS:
        # A list of names is all that glob gives: what a link in OUT is called is no secret.
        if not (reader == "glob" and "link" in file):
            refused_at_once(f"SELECT * FROM {reader}('{file}')")
    refused_at_once(f"SELECT * FROM query('SELECT * FROM read_text(''{file}'')')")
    refused_at_once(f"CREATE OR REPLACE VIEW x AS SELECT * FROM read_blob('{file}'); FROM x")
    refused_at_once(
        "CREATE OR REPLACE MACRO x(f) AS TABLE SELECT * FROM read_text(f); "
        f"SELECT * FROM x('{file}')"
    )
    refused_at_once(
        "CREATE OR REPLACE MACRO refs_array(f) AS "
        f"(SELECT content FROM read_text('{file}')); SELECT refs_array('x')"
    )


@pytest.mark.parametrize("query", STATEMENTS)
def test_nothing_is_opened_written_or_unlocked(refused: Callable[[str], None], query: str) -> None:
    planted = [CANARY]  # a Python variable is no table
    refused(query)
    assert planted == [CANARY]


@pytest.mark.parametrize("file", ["{out}/x.csv", "{root}/x.csv", "x.csv", "/dev/stdout"])
@pytest.mark.parametrize("how", ["", "(FORMAT parquet)", "(FORMAT json, PER_THREAD_OUTPUT)"])
def test_nothing_is_copied_out(
    refused: Callable[[str], None], refused_at_once: Callable[[str], None], file: str, how: str
) -> None:
    refused(f"COPY (SELECT 1 AS x) TO '{file}' {how}")
    for head in ("EXPLAIN ANALYZE ", "PREPARE x AS ", "CREATE MACRO x() AS TABLE "):
        refused_at_once(f"{head}COPY (SELECT 1 AS x) TO '{file}' {how}")
    refused_at_once(f"SELECT * FROM query('COPY (SELECT 1 AS x) TO ''{file}'' {how}')")


def test_files_of_out_are_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out"
    for query, wanted in [
        (f"SELECT count(path) FROM read_parquet('{out}/t/refs.*.parq')", "1"),
        (f"SELECT content FROM read_text('{out}/.parchunk/plan.json')", "parchunk_plan"),
        (f"SELECT array FROM read_json('{out}/.parchunk/receipts/t/*.json')".replace(
            "array", '"array"'), "t"),
        (f"SELECT file FROM glob('{out}/t/*')", "refs.0.parq"),
    ]:  # fmt: skip
        assert run(["sql", str(out), query, "--format", "csv"]) == 0, query
        assert wanted in capsys.readouterr().out
