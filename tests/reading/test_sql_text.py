"""Tables that are one text hold what they were given."""

import duckdb
import pytest

from parchunk.reading.sql_text import table

TYPES = {"name": "VARCHAR", "sizes": ["BIGINT"], "names": ["VARCHAR"], "number": "BIGINT"}
ROWS = [
    ("it's", [0, 2**63 - 1], ["x", None], 2**53),
    ('é "quoted" \\ \N{SNOWMAN} \N{CLAPPER BOARD}', [], [], None),
    ("a/b;--", [1], ["'); DROP"], -1),
]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_table_has_its_rows_in_their_types(count: int) -> None:
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT name, sizes, names, number FROM {table(TYPES, ROWS[:count])}"
        )
        assert [str(column[1]) for column in found.description] == [
            "VARCHAR", "BIGINT[]", "VARCHAR[]", "BIGINT",
        ]  # fmt: skip
        assert found.fetchall() == ROWS[:count]
