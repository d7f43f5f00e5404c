"""The sql command: formats, files that it writes, and what it says of queries that fail."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from unittest import mock

import duckdb
import pyarrow.parquet as pq
import pytest
from tests.reading.odd_store import build_odd

from parchunk.cli.main import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_odd(tmp_path_factory.mktemp("sql"))


def sql(folder, *arguments, stdin=b"", encoding="utf-8"):
    """Run the command in this process; starting Python takes longer than any query here."""
    given, error = (io.TextIOWrapper(io.BytesIO(data)) for data in (stdin, b""))
    said = io.TextIOWrapper(io.BytesIO(), encoding)
    with (
        mock.patch("sys.stdin", given),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(error),
    ):
        code = run(["sql", str(folder / "refs"), *arguments])
        said.flush()
        error.flush()
    return subprocess.CompletedProcess(
        arguments, code, said.buffer.getvalue(), error.buffer.getvalue()
    )


def test_command_prints_every_format(folder, tmp_path):
    query = "SELECT chunk_key, chunk_index FROM missing WHERE missing.array_name = 't' ORDER BY ALL"
    table = sql(folder, query)
    assert table.returncode == 0
    program = [sys.executable, "-c", "from parchunk.cli import main; main()"]
    started = subprocess.run(
        [*program, "sql", str(folder / "refs")], capture_output=True, input=f"{query};".encode()
    )
    assert (started.returncode, started.stdout) == (0, table.stdout)
    assert "t/c/5/0/1" in table.stdout.decode()
    csv = sql(folder, query, "--format", "csv").stdout.decode()
    assert csv == 'chunk_key,chunk_index\nt/c/5/0/1,"[5, 0, 1]"\nt/c/7/1/1,"[7, 1, 1]"\n'
    rows = json.loads(sql(folder, query, "--json").stdout)
    assert rows[0] == {"chunk_key": "t/c/5/0/1", "chunk_index": [5, 0, 1]}
    sql(folder, query, "--format", "parquet", "--to", str(tmp_path / "x.parquet"))
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == rows
    assert sql(folder, stdin=f"{query};".encode()).stdout == table.stdout
    with duckdb.connect() as plain:
        plain.execute(sql(folder, "--views").stdout.decode())
        assert plain.execute(query).fetchall() == [tuple(row.values()) for row in rows]


def test_columns_of_one_name_are_told_apart(folder, tmp_path):
    """A join has such columns; of two JSON would hold the last."""
    query = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a"
    wanted = {"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}
    for name in ("x.json", "x.csv", "x.parquet"):
        assert run(["sql", str(folder / "refs"), query, "--to", str(tmp_path / name)]) == 0
    assert json.loads((tmp_path / "x.json").read_text()) == [wanted]
    assert (tmp_path / "x.csv").read_text() == "a,a_2,a_1,a_3\n1,2,3,4\n"
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == [wanted]


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{out}/x.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}/x.csv'",
        "EXPLAIN EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}/x.csv'",
        "--EXPLAIN\nEXPLAIN ANALYZE COPY (SELECT 1) TO '{out}/x.csv'",
        "-- SELECT 1 --\nEXPLAIN ANALYZE COPY (SELECT 1) TO '{out}/x.csv'",
        "EXPLAIN /**/ ANALYZE COPY (SELECT 1) TO '{out}/x.csv'",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{out}/x.csv'",
        "EXPLAIN (ANALYZE, FORMAT JSON) COPY (SELECT 1) TO '{out}/x.csv'",
        "EXPLAIN (FORMAT JSON) EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{out}/x.csv'",
        "EXPLAIN (/*)*/ ANALYZE) COPY (SELECT 1) TO '{out}/x.csv'",
        "CREATE PERSISTENT SECRET x (TYPE s3)",
        "ATTACH '{out}/x.csv'",
        "PREPARE p AS COPY (SELECT 1) TO '{out}/x.csv'; EXECUTE p",
        "EXPORT DATABASE '{out}/x.csv'",
        "SELECT 1; COPY (SELECT 1) TO '{out}/x.csv'",
    ],
)
def test_command_writes_nothing_into_out(folder, query):
    ran = sql(folder, query.format(out=folder / "refs"))
    assert ran.returncode == 2
    assert ran.stderr.decode().count("\n") == 1
    assert not (folder / "refs/x.csv").exists()


def test_statements_before_the_last_are_run_to_their_end(folder):
    ran = sql(folder, "SELECT * FROM refs; CREATE TABLE x AS SELECT 7 AS a; SELECT 1; FROM x")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"7" in ran.stdout


def test_command_explains_queries_in_any_format(folder):
    ran = sql(folder, "EXPLAIN (FORMAT JSON) SELECT count(*) FROM missing", "--format", "json")
    assert ran.returncode == 0
    assert json.loads(json.loads(ran.stdout)[0]["explain_value"])
    drawn = sql(folder, "EXPLAIN SELECT 1 AS x").stdout.decode()
    assert len(drawn.splitlines()) > 3
    assert "\\n" not in drawn
    assert max(map(len, drawn.splitlines())) <= 80


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.txt"])
def test_a_file_is_replaced_by_a_whole_result_and_by_nothing_else(folder, tmp_path, name):
    path, part = tmp_path / name, tmp_path / f"{name}.part"
    path.write_text("before")
    part.write_text("somebody's")
    for query in (
        "SELECT nothing FROM missing",
        "CREATE TABLE x AS SELECT 1",
        "",
        "SELECT 1; DROP TABLE IF EXISTS x",
    ):
        assert sql(folder, query, "--to", str(path)).returncode == 2
        assert path.read_text() == "before"
    assert sql(folder, "SELECT 1 AS one", "--to", str(path)).returncode == 0
    assert path.read_bytes() != b"before"
    assert set(tmp_path.iterdir()) == {path, part}
    assert part.read_text() == "somebody's"


def test_no_file_of_out_is_replaced(folder):
    for name in (".zmetadata", ".parchunk/new.json", "t/refs.0.parq"):
        said = sql(folder, "SELECT 1", "--format", "json", "--to", str(folder / "refs" / name))
        assert (said.returncode, b"name a file elsewhere" in said.stderr) == (2, True)
    assert sql(folder, "SELECT count(*) FROM refs").returncode == 0


def test_what_is_the_prompts_is_said_to_be(folder):
    ran = sql(folder, stdin=b".tables\n")
    assert ran.returncode == 2
    assert b".tables and the like are the prompt's" in ran.stderr


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT array FROM arrays", "array_name"),
        ("SELECT refs.array FROM refs", "array_name"),
        ("SELECT offset FROM refs", '"offset" in double quotes'),
        ("SELECT arry_name FROM refs", 'Candidate bindings: "array_name"'),
        ("SELECT * FROM ref", 'Did you mean "refs"?'),
        ("SELECT coutn(*) FROM refs", 'Did you mean "count"?'),
        ("SELECT sum(array_name) FROM refs", "explicit type casts"),
        ("SELECT array_name FROM refs, arrays", "refs.array_name"),
    ],
)
def test_command_says_what_duckdb_suggests(folder, query, said):
    ran = sql(folder, query)
    assert ran.returncode == 2
    assert said in ran.stderr.decode()
    assert ran.stderr.count(b"\n") == 1
    assert b"LINE 1" not in ran.stderr


@pytest.mark.parametrize(
    ("name", "begins"),
    [("x.parquet", b"PAR1"), ("x.PQ", b"PAR1"), ("x.csv", b"n\n4"), ("x.json", b'[\n{"n": 4}')],
)
def test_to_writes_what_its_name_says(folder, tmp_path, name, begins):
    ran = sql(folder, "SELECT count(*) AS n FROM missing", "--to", str(tmp_path / name))
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_to_and_format(folder, tmp_path):
    query = "SELECT count(*) AS n FROM missing"
    for name in ("x", "x.txt"):
        assert sql(folder, query, "--to", str(tmp_path / name)).returncode == 0
        assert "int64" in (tmp_path / name).read_text()
    assert sql(folder, query, "--to", str(tmp_path / "x.csv"), "--json").returncode == 0
    assert json.loads((tmp_path / "x.csv").read_text()) == [{"n": 4}]
    odd = tmp_path / "x.feather"
    ran = sql(folder, query, "--to", str(odd))
    assert ran.returncode == 2
    assert b"give --format" in ran.stderr
    assert not odd.exists()
    assert sql(folder, query, "--to", str(odd), "--format", "csv").returncode == 0
    assert odd.read_text() == "n\n4\n"
    assert sql(folder, "--to", str(tmp_path / "y.csv"), stdin=query.encode()).returncode == 0
    assert (tmp_path / "y.csv").read_text() == "n\n4\n"


def test_a_query_that_is_no_text_is_refused(folder):
    for arguments, stdin in (([], b"SELECT '\xff'"), (["SELECT '\udcff'"], b"")):
        ran = sql(folder, *arguments, stdin=stdin)
        assert (ran.returncode, ran.stderr.count(b"\n")) == (2, 1)
        assert b" is no text in " in ran.stderr


def test_a_name_of_bytes_that_are_no_text_is_not_laid_on_the_encoding(folder, tmp_path):
    shutil.copytree(folder / "refs", tmp_path / "\udcff" / "refs")
    ran = sql(tmp_path / "\udcff", "--views")
    assert ran.returncode == 2
    said = b"parchunk: '\\udcff' is a byte of a name that is no text in UTF-8: rename it\n"
    assert ran.stderr == said


def test_what_the_encoding_of_a_terminal_lacks_is_spelled_and_of_data_refused(folder, tmp_path):
    query = "SELECT 'ü→' AS x"
    table = sql(folder, query, encoding="ascii")
    assert table.returncode == 0
    shown = table.stdout.decode("ascii").splitlines()
    assert shown[0] == "+---------+"
    assert shown[4].startswith(r"| \xfc\u2192 ")
    polish = sql(folder, "SELECT 'ñ→ł' AS x", encoding="iso8859-2")
    assert polish.returncode == 0
    assert "\\xf1\\u2192ł" in polish.stdout.decode("iso8859-2")
    polish = sql(folder, "SELECT 'ñ' AS x", "--format", "csv", encoding="iso8859-2")
    assert b"standard output (iso8859-2) has no '\\xf1'" in polish.stderr
    for form in ("csv", "json"):
        ran = sql(folder, query, "--format", form, encoding="ascii")
        assert ran.returncode == 2
        assert ran.stderr.startswith(b"parchunk: the encoding of standard output (ascii) has no ")
        assert ran.stderr.endswith(b": set PYTHONIOENCODING=utf-8\n")
        ran = sql(folder, query, "--to", str(tmp_path / f"x.{form}"), encoding="ascii")
        assert ran.returncode == 0
        assert "ü→" in (tmp_path / f"x.{form}").read_text("utf-8")
