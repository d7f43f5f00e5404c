"""How a history ends: by its remedies, at the bytes of a fresh build, as all who read it agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import zarr

import parchunk
from benchmarks.history import History, Wrong
from benchmarks.history_commands import OUT
from benchmarks.history_readers import all_rows
from parchunk.out.opening import open_output

#: What may lie in a finished OUT beside root and record files.
_KEPT = ("plan.json", "labels.parquet", "receipts/", "blocks/", "strays/", "objects/")
#: Commands that are run in a row, at most, as the ones before say.
_MOST = 5


def end(one: History) -> None:
    """Do what is said to be done until all is well, and compare with a fresh build."""
    one.let_time_pass()
    if one.commands.has_moved:
        follow(one, one.commands.relocation())
        one.commands.place = one.source.moved
    follow(one, one.commands.everything())
    one.look_at_source()
    if all_rows(one.out) != one.fresh:  # it has finished another one, perhaps, and said so
        follow(one, one.commands.everything())
    fresh, out = one.build_fresh(there=True)
    seen = all_rows(one.out)
    odd = [at for at in {*seen, *fresh} if seen.get(at, 0) != fresh.get(at, 0)]
    if odd:
        raise Wrong(f"{len(odd)} rows differ: {odd[0]}: {seen.get(odd[0], 0)} is not "
                    f"{fresh.get(odd[0], 0)}")  # fmt: skip
    compare_files(one, out)
    audit(one, sum(row is None for row in fresh.values()))
    if not one.source.sharded:
        compare("readers", stock_readers(one), values(one))
    if one.commands.imports:
        end_import(one)


def follow(one: History, command: list[str]) -> None:
    """Run a command, and what it says to run instead, until it ends well."""
    for _ in range(_MOST):
        ended = one.run([command])
        error = ended.error
        if ended.code == 0:
            return
        if "parchunk update" in error and command[0] != "update":
            follow(one, one.commands.update("--allow-shrink", "--allow-gone"))
        elif "relocate again" in error:
            follow(one, one.commands.relocation())
        elif ("run its build again" in error or "unfinished" in error) and command[0] != "build":
            follow(one, one.commands.build())
        elif "--overwrite" in error or "no Zarr metadata" in error:  # a store of several is gone
            command = one.commands.build("--overwrite")
        elif "again" not in error:
            break
    raise Wrong(f"no way on: {command}: {error}")


def compare_files(one: History, fresh: Path) -> None:
    """Compare root and record files with those of a fresh build, and look for what is left."""
    ours, theirs = (
        {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file() and ".parchunk" not in path.parts
        }
        for out in (one.out, fresh)
    )
    sizes = [json.loads(files[".zmetadata"])["record_size"] for files in (ours, theirs)]
    if sizes[0] != sizes[1]:
        one.counts["ended with another record size"] += 1
        return
    odd = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
    if odd:
        raise Wrong(f"bytes differ: {odd[:5]}")
    own = one.out / ".parchunk"
    files = [path.relative_to(own).as_posix() for path in own.rglob("*") if path.is_file()]
    left = [path for path in files if not path.startswith(_KEPT)]
    if left:
        raise Wrong(f"left behind: {left}")


def audit(one: History, missing: int) -> None:
    """Audit, against the source, too: nothing is found but so many missing chunks."""
    report = parchunk.audit(
        open_output(OUT, one.options), against_source=True, store_options=one.options
    )
    odd = [
        f"{found.kind}: {found.message}"
        for found in report.findings
        if found.severity in ("damage", "change") or found.kind == "unfinished"
    ]
    if odd:
        raise Wrong(f"the audit says: {odd}")
    if report.missing != missing:
        raise Wrong(f"the audit counts {report.missing} missing chunks, not {missing}")


def end_import(one: History) -> None:
    """Import what there is now, compare all values, and have an audit compare the repository."""
    ended = one.run([one.commands.import_()])
    if ended.code == 2:  # it was mended, or is another one
        ended = one.run([one.commands.import_()])
    if ended.code:
        raise Wrong(f"no import: {ended.error}")
    compare("the repository", one.repository.values(), values(one))
    ended = one.run([one.commands.audit_of_import()])
    if ended.code == 2:
        raise Wrong(f"no audit of the repository: {ended.error}")


def values(one: History) -> dict[str, Any]:
    """Return the values of all arrays of the stores."""
    stores: list[Any] = [
        zarr.open_group(one.source.folder / name, mode="r") for name in one.source.names
    ]
    found = {}
    for name in stores[0].array_keys():
        theirs = [np.asarray(store[name][...]) for store in stores]
        if not one.source.joined or (one.source.stacked and name == "time"):
            found[name] = theirs[0]
        else:
            found[name] = (np.stack if one.source.stacked else np.concatenate)(theirs)
    return found


def stock_readers(one: History) -> dict[str, Any]:
    """Return the values of all arrays as fsspec and zarr-python read them."""
    remote = {"anon": True, "endpoint_url": one.server.endpoint, "asynchronous": True}
    files = fsspec.filesystem(
        "reference", fo=str(one.out), asynchronous=True, skip_instance_cache=True,
        remote_protocol="s3", remote_options=remote,
    )  # fmt: skip
    store = zarr.storage.FsspecStore(files, read_only=True, path="")
    root: Any = zarr.open_group(store, mode="r", zarr_format=2)
    return {name: np.asarray(root[name][...]) for name in values(one)}


def compare(who: str, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse other values than are wanted."""
    for name, one in wanted.items():
        if not np.array_equal(found[name], one):
            raise Wrong(f"{who}: other values of {name}")
