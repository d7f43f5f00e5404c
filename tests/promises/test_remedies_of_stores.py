"""What an audit says of stores with something amiss, done to the letter, makes them complete."""

import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from instruments.inventories import FORMATS, objects_in
from tests.many_stores import Made
from tests.many_stores import write as write_store
from tests.promises.damage import OF_DAMAGE, follow

import parchunk
from parchunk.auditing.findings import KINDS
from parchunk.cli.main import run

#: Daily steps of the stores here, and how many of their references are in a record file.
STEPS = 24


def write(store: Path, steps: int = STEPS, **how: Any) -> None:
    """Write a store of two arrays along time, or append to it; no value is 0."""
    root = zarr.open_group(store, mode="a", zarr_format=3)
    there = set(root)
    for name, values in (("t", np.arange(steps * 8).reshape(steps, 8) + 1), ("time", range(steps))):
        values = np.asarray(values, "i4")
        if name not in there:
            chunks = (1, 4) if name == "t" else (steps,)
            attributes = {"units": "days since 2000-01-01"} if name == "time" else {}
            array = root.create_array(
                name, shape=values.shape, chunks=chunks, dtype="i4", attributes=attributes,
                dimension_names=("time", "x")[: values.ndim], **(how if name == "t" else {}),
            )  # fmt: skip
        else:
            array = root[name]
        start = 0 if name not in there else array.shape[0]
        array.resize(values.shape)
        if start < steps:
            array[start:] = values[start:]


def mend(store: Path) -> None:
    """Write the step that is amiss."""
    zarr.open_array(store / "t", mode="r+")[7] = np.arange(8) + 57


@dataclass
class Case:
    """A store, its references, what the audit is asked, and what a producer then does."""

    store: Path
    out: Path
    produce: Callable[[], object]
    audit: tuple[str, ...] = ()
    build: tuple[str, ...] = ("--region", "6", "--split", "time")
    #: A file that a remedy is given.
    file: str = ""

    def built(self, *more: str) -> "Case":
        given = [str(self.store), str(self.out), "--no-progress", *self.build, *more]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert run(["build", *given]) == 0
        return self

    def looked_at(self) -> "Case":
        """Have nobody write anything, but an audit look at the source."""
        audit = ["audit", str(self.out), "--against-source", *self.audit]
        self.produce = lambda: assert_whole(audit)
        return self


def assert_whole(audit: list[str]) -> None:
    assert run(audit) == 0


def case(folder: Path, **how: Any) -> Case:
    store = folder / "s.zarr"
    write(store, **how)
    return Case(store, folder / "out", lambda: mend(store))


def impossible_size(folder: Path) -> Case:
    made = case(folder, compressors=None)
    (made.store / "t/c/7/1").write_bytes(b"cut")
    return made.built()


def undecodable(folder: Path) -> Case:
    made = case(folder)
    path = made.store / "t/c/7/1"
    path.write_bytes(b"x" * path.stat().st_size)
    made.audit = ("--decode", "100%")
    return made.built()


def all_fill(folder: Path) -> Case:
    made = case(folder, compressors=None)
    (made.store / "t/c/7/1").write_bytes(bytes(16))
    made.audit = ("--decode", "100%")
    return made.built()


def ends_early(folder: Path) -> Case:
    made = case(folder).built()
    made.audit = ("--expect", "time=2000-01-02:2000-01-30")
    made.produce = lambda: write(made.store, 30)
    return made


def other_spelling(folder: Path) -> Case:
    made = case(folder)
    document = made.store / "t/zarr.json"
    right = document.read_text()
    assert '"separator": "/"' in right
    document.write_text(right.replace('"separator": "/"', '"separator": "."'))
    made.produce = lambda: (document.write_text(right), made.built("--overwrite"))
    return made.built()


def new_array(folder: Path) -> Case:
    made = case(folder).built()
    shutil.copytree(made.store / "t", made.store / "came")
    made.audit = ("--against-source",)
    return made


def gone_array(folder: Path) -> Case:
    made = case(folder)
    shutil.copytree(made.store / "t", made.store / "gone")
    made.audit = ("--against-source",)
    made.built()
    shutil.move(made.store / "gone", folder / "aside")
    made.produce = lambda: shutil.move(folder / "aside", made.store / "gone")
    return made


def new_chunks(folder: Path) -> Case:
    made = case(folder)
    (made.store / "t/c/7/1").unlink()
    made.audit = ("--against-source", "--allow-missing", "t")
    made.built()
    mend(made.store)
    return made


def as_of_inventory(folder: Path) -> Case:
    made = case(folder)

    def taken(day: int) -> str:
        there = folder / f"inventory-{day}"
        there.mkdir()
        file = FORMATS["CSV"](there, objects_in(made.store, "s.zarr/"), "bucket")
        os.utime(file, (2_000_000_000 + day, 2_000_000_000 + day))
        return str(file)

    made.file = taken(2)
    return made.built("--inventory", taken(1))


def untimed(folder: Path) -> Case:
    made = case(folder).built()
    rows, file = objects_in(made.store, "s.zarr/"), folder / "keys.csv"
    made.audit = ("--against-source", "--inventory", str(file))

    def listed(times: bool) -> None:
        lines = [f"{row.key},{row.size},{row.modified if times else ''}" for row in rows]
        file.write_text("\n".join(["key,size,last_modified", *lines, ""]))

    listed(times=False)
    made.produce = lambda: listed(times=True)
    return made


def unverified(folder: Path) -> Case:
    made = case(folder)
    (made.store / "t/c/7/1").unlink()
    made.built("--trust-listing")
    made.audit = ("--allow-missing", "t")
    return made.looked_at()


def lacking(folder: Path) -> Case:
    stores = [folder / "a.zarr", folder / "b.zarr"]
    for at, path in enumerate(stores):
        time = Made(np.arange(4) + 4 * at, ("time",), None, {"units": "days since 2000-01-01"})
        air = Made(1.0 + np.arange(12.0).reshape(4, 3), ("time", "x"), (2, 1))
        write_store(path, {"time": time, "air": air, **({} if at else {"rain": air})}, 3)
    made = Case(stores[0], folder / "out", lambda: None)
    made.build = (str(stores[1]), "--concat", "time", "--join", "outer")
    plan = parchunk.plan([str(path) for path in stores], concat="time", join="outer")
    parchunk.build(plan, made.out)
    return made


def left_out(folder: Path) -> Case:
    made = case(folder)
    zarr.create_array(made.store / "old", shape=(2,), chunks=(1,), dtype="i4", zarr_format=2)
    made.produce = lambda: made.built("--overwrite", "--exclude", "old")
    return made.built()


def rewritten_chunks(folder: Path) -> Case:
    made = case(folder, compressors=None).built("--identity", "etag")
    (made.store / "t/c/7/1").write_bytes(b"written anew now")
    made.audit = ("--against-source",)
    return made


def strays(folder: Path) -> Case:
    made = case(folder)
    (made.store / "t/c/7/notes.txt").write_text("mine")
    return made.built()


def size_outliers(folder: Path) -> Case:
    made = case(folder)
    (made.store / "t/c/7/1").write_bytes(b"x" * 5_000)
    return made.built()


def uneven_labels(folder: Path) -> Case:
    made = case(folder)
    days = zarr.open_array(made.store / "time", mode="r+")
    days[:] = [*range(12), *range(13, STEPS + 1)]
    made.produce = lambda: days.__setitem__(slice(None), np.arange(STEPS))
    return made.built()


def chunkless(folder: Path) -> Case:
    made = case(folder)
    late = zarr.create_array(made.store / "late", shape=(2,), chunks=(1,), dtype="i4")
    late[:] = 1
    document = made.store / "late/zarr.json"
    right = document.read_text()
    document.write_text(json.dumps(json.loads(right) | {"shape": [0]}))
    made.produce = lambda: document.write_text(right)
    made.audit = ("--against-source",)
    return made.built()


def shared_ranges(folder: Path) -> Case:
    import google_crc32c

    made = case(folder, shards=(1, 8))
    path = made.store / "t/c/7/0"
    data = bytearray(path.read_bytes())
    table = np.frombuffer(bytes(data[-36:-4]), "<u8").reshape(2, 2).copy()
    table[1] = table[0, 0] + 4, table[0, 1]
    data[-36:-4] = table.tobytes()
    data[-4:] = google_crc32c.value(table.tobytes()).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    return made.built().looked_at()


MADE: dict[str, Callable[[Path], Case]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        impossible_size, undecodable, all_fill, ends_early, other_spelling, new_array, gone_array,
        new_chunks, rewritten_chunks, as_of_inventory, untimed, unverified, lacking, left_out,
        strays, size_outliers, shared_ranges, uneven_labels, chunkless,
    )
}  # fmt: skip
#: Notices of which nothing need be done, or that a look settles: they stay.
STAY = {"unverified", "lacking", "strays", "size-outliers", "shared-ranges", "as-of-inventory"}


def found(made: Case) -> dict[str, parchunk.auditing.Finding]:
    words = dict(zip(made.audit[::2], made.audit[1::2], strict=False))
    report = parchunk.audit(
        made.out,
        against_source="--against-source" in made.audit,
        decode=words.get("--decode"),
        inventory=made.audit[2] if "--inventory" in made.audit else (),
        expect=words.get("--expect", ()),
        allow_missing=made.audit[made.audit.index("--allow-missing") + 1 :]
        if "--allow-missing" in made.audit
        else (),
    )
    return {finding.kind: finding for finding in report.findings}


@pytest.mark.parametrize("kind", MADE)
def test_each_remedy_works(kind: str, tmp_path: Path) -> None:
    made = MADE[kind](tmp_path)
    said = found(made)[kind]
    audit = ["audit", str(made.out), *made.audit]
    assert run(audit) == (0 if KINDS[kind] == "notice" else 1)
    if re.search("correct the array|at planning|audit with|restore it", said.remedy):
        made.produce()
    follow(said, made.out, made.produce, made.file)
    assert run(audit) == 0
    assert (kind in found(made)) == (kind in STAY)
    if kind not in STAY:
        assert_whole(["audit", str(made.out), "--against-source"])


def test_the_view_names_strays(tmp_path: Path) -> None:
    made = strays(tmp_path)
    with parchunk.connect(made.out) as connection:
        paths = connection.execute("SELECT path FROM strays").fetchall()
    assert paths == [("c/7/notes.txt",)]


def test_every_kind_of_finding_is_followed() -> None:
    """An Icechunk repository is, where icechunk is there, with the damaged references."""
    assert set(KINDS) - set(OF_DAMAGE) - {"repository"} == set(MADE)
