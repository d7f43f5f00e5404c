"""Every query of docs/sql.md runs on the demo's store, and says what is so there."""

import re
from pathlib import Path

import pytest

import parchunk
from parchunk.cli.demo_store import REGION, STEPS, make_demo_store

PAGE = Path(__file__).parents[2] / "docs/sql.md"


def queries() -> list[tuple[str, str]]:
    """Return (heading, query) of the page's SQL."""
    found = []
    heading = ""
    for part in re.findall(r"^## [^\n]*$|^```sql\n.*?^```$", PAGE.read_text(), re.M | re.S):
        if part.startswith("## "):
            heading = part[3:]
        else:
            found.append((heading, part.removeprefix("```sql\n").removesuffix("```")))
    return found


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    make_demo_store(folder / "store.zarr")
    plan = parchunk.plan(str(folder / "store.zarr"), region=REGION)
    parchunk.build(plan, str(folder / "refs"))
    with parchunk.connect(str(folder / "refs"), locked=True) as made:
        yield made


@pytest.fixture(scope="module")
def results(connection):
    made: dict[str, list[list[tuple]]] = {}
    for heading, query in queries():
        made.setdefault(heading, []).append(connection.execute(query).fetchall())
    return made


def test_the_page_has_what_it_promises():
    assert len(queries()) >= 12
    views = "".join(query for _, query in queries())
    for view in ("arrays", "refs", "missing", "coverage", "receipts", "strays", "labels"):
        assert re.search(rf"\b{view}\b", views)


def test_answers(results, connection):
    assert results["How complete is each array?"][0][0] == ("temperature", 1440, 1436, 4, 99.722)
    by_region = results["Coverage by region"][0]
    assert [row[:5] for row in by_region] == [
        (0, 0, 60, 359, 1), (1, 60, 120, 360, 0), (2, 120, 180, 358, 2), (3, 180, 240, 359, 1),
    ]  # fmt: skip
    assert results["Coverage by month"][0][-1] == ("temperature", "2026-01", 1440, 1436)
    assert results["The latest complete step"][0] == [(238, 17)]
    assert results["Runs of missing steps"][0] == [
        ("temperature", 17, 17, 1), ("temperature", 130, 131, 2), ("temperature", 239, 239, 1),
    ]  # fmt: skip
    sizes = [size for _, size in results["The largest chunks"][0]]
    assert len(sizes) == 10
    assert sizes == sorted(sizes, reverse=True)
    regions = results["Bytes by region, and what a region costs to read"][0]
    assert len(regions) == STEPS // REGION
    exported, tasks = results["Missing keys, to run a producer again"]
    assert exported[0] == ("temperature/c/17/3/0/0",)
    assert len(exported) == 4
    assert [row[1] for row in tasks] == [17, 130, 131, 239]
    held = results["Which chunks hold these elements?"][0]
    assert [row[0] for row in held][:2] == ["temperature/c/100/0/0/0", "temperature/c/100/1/0/0"]
    assert len(held) == 5 * 6
    assert results["Strays by reason"][0] == [("not a chunk key", 1, 32)]
    assert sum(row[1] for row in results["What did the build cost?"][0]) == 16


def test_audit_says_the_same_latest_step(connection, tmp_path):
    make_demo_store(tmp_path / "store.zarr")
    plan = parchunk.plan(str(tmp_path / "store.zarr"), region=REGION)
    parchunk.build(plan, str(tmp_path / "refs"))
    found = parchunk.audit(str(tmp_path / "refs"))
    assert (found.completeness.latest, found.completeness.through) == (238, 16)
    assert found.exit_code == 1
