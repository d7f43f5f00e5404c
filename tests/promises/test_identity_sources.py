"""Where identities come from beside listings: inventories, given objects and probes say them."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pyarrow as pa
import pytest
import zarr
from instruments.http_server import served
from obstore.store import LocalStore
from tests.promises.identities import KINDS, anew, changed, kept, write, write_all
from zarr.errors import ZarrUserWarning

import parchunk


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, and references of it for each kind of identity."""
    return write_all(tmp_path_factory.mktemp("identity"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def inventory(store: Path, file: Path, *columns: str) -> str:
    """Write an inventory of a local store, with times and entity tags as it has them."""
    lines = [",".join(("key", "size", *columns))]
    for page in LocalStore(str(store)).list():
        for one in page:
            said = {"last_modified": one["last_modified"].isoformat(), "etag": one["e_tag"]}
            values = [one["path"], str(one["size"]), *(str(said[name]) for name in columns)]
            lines.append(",".join(value.replace('"', "") for value in values))
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def test_inventories_say_it_or_are_refused(made: Path, kind: str, tmp_path: Path) -> None:
    source, root = made / "store", {"inventory_root": str(made / "store")}
    listed = inventory(source, tmp_path / "all.csv", "last_modified", "etag")
    how = {"split": "time", "region": 4, "record_size": 4, "identity": kind, **root}
    parchunk.build(parchunk.plan(str(source), inventory=listed, **how), str(tmp_path / "out"))
    assert kept(tmp_path / "out") == kept(made / kind)
    report = parchunk.audit(str(tmp_path / "out"), against_source=True)
    assert not changed(report), "the store itself says the same"
    if kind == "none":
        return
    other = {"time": "etag", "etag": "last_modified"}[kind]
    lacking = inventory(source, tmp_path / "lacking.csv", other)
    with pytest.raises(parchunk.InputError, match=f"no column of .*--identity {kind} keeps"):
        parchunk.plan(str(source), inventory=lacking, **how)
    text = Path(listed).read_text().splitlines()
    column = {"time": 2, "etag": 3}[kind]
    row = text[-1].split(",")
    row[column] = ""
    (tmp_path / "hole.csv").write_text("\n".join([*text[:-1], ",".join(row)]) + "\n")
    with pytest.raises(parchunk.InputError, match=f"has no .*--identity {kind} keeps"):
        parchunk.plan(str(source), inventory=str(tmp_path / "hole.csv"), **how)


def test_times_of_inventories_to_the_second_are_no_change(tmp_path: Path) -> None:
    source = write(tmp_path / "store")
    listed = Path(inventory(source, tmp_path / "all.csv", "last_modified"))
    listed.write_text(re.sub(r"\.\d{6}\+", "+", listed.read_text()))
    out = tmp_path / "out"
    plan = parchunk.plan(
        str(source), identity="time", inventory=str(listed), inventory_root=str(source)
    )
    parchunk.build(plan, str(out))
    assert not changed(parchunk.audit(str(out), against_source=True))
    anew(source / "t/c/2/1")
    assert set(changed(parchunk.audit(str(out), against_source=True))) == {"rewritten-chunks"}


def test_given_objects_say_it_or_are_refused(made: Path) -> None:
    rows = pa.table({"key": ["t/c/0/0", "zarr.json"], "size": [16, 1], "etag": ["a", "b"]})
    store = LocalStore(str(made / "store"))
    source = parchunk.Source(store, "", str(made / "store"), objects=rows)
    with pytest.raises(parchunk.InputError, match="give it identity='etag', too"):
        parchunk.plan(source, identity="etag")
    with pytest.raises(parchunk.InputError, match="no column of times"):
        parchunk.Source(store, "", str(made / "store"), objects=rows, identity="time")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_probed_chunks_say_it(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "www"
    folder.mkdir()
    write(folder / "s.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(folder / "s.zarr")
    how = {"split": "time", "region": 4, "identity": kind}
    with served(folder) as server:
        url = f"{server.url}/s.zarr"
        parchunk.build(parchunk.plan(url, probe=True, **how), str(tmp_path / "out"))
    said = [one for column in kept(tmp_path / "out").values() for one in column if one]
    assert len(said) == 10 + 10 + 1
    if kind == "time":
        assert all(one.microsecond == 0 for one in said)
    else:
        # As the server makes them; of files that are written fast, some have the same.
        chunks = [path.stat() for path in (folder / "s.zarr").rglob("*") if path.is_file()]
        assert set(said) <= {f"{chunk.st_size}-{chunk.st_mtime_ns}" for chunk in chunks}
        assert len(set(said)) > 1
