"""Source and OUT with Google and Azure, as a server on loopback speaks as they do, page by page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from instruments.recorder import CLOUDS, recorder
from tests.many_small import plan_of, write_arrays

import parchunk
from parchunk.errors import HeldError
from parchunk.out.lease import held
from parchunk.out.opening import open_output
from parchunk.out.output import LEASE


def files_of(folder: Path) -> dict[str, bytes]:
    """Return what readers see, and the receipts."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.name == ".zmetadata" or path.suffix == ".parq"
    }


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_a_build_is_updated_there(tmp_path: Path, scheme: str) -> None:
    """Its receipts lie in blocks, of which an update writes those anew that it saw."""
    served = tmp_path / "served"
    source = write_arrays(served / "bucket" / "s.zarr")
    with recorder(served) as server:
        server.modified, server.page = None, 40
        options = CLOUDS[scheme](server.endpoint)
        plan = parchunk.plan(
            f"{scheme}://bucket/s.zarr",
            split="time",
            region=2,
            record_size=2,
            store_options=options,
        )
        out = f"{scheme}://bucket/refs"
        built = parchunk.build(plan, out, output_options=options)
        assert (built.present, built.missing) == (63, 0)
        assert list((served / "bucket/refs/.parchunk/blocks").rglob("*"))
        write_arrays(source, steps=7)
        (source / "g1/a1/c/6").unlink()
        done = parchunk.update(out, store_options=options, output_options=options)
        assert (done.present, done.missing) == (89, 1)
        assert done.listing.startswith("obstore")
        (source / "g1/a1/c/6").write_bytes((source / "g1/a1/c/5").read_bytes())
        done = parchunk.update(out, store_options=options, output_options=options)
        assert (done.present, done.missing) == (90, 0)
        report = parchunk.audit(
            out, against_source=True, store_options=options, output_options=options
        )
        assert {found.kind for found in report.findings} <= {"changed-chunks"}  # written anew
        with parchunk.connect(out, output_options=options) as connection:
            ((count,),) = connection.sql("SELECT count(*) FROM refs WHERE present").fetchall()
        assert count == 90
        parchunk.build(plan_of(source), tmp_path / "local")
        ours, local = files_of(served / "bucket" / "refs"), files_of(tmp_path / "local")
        assert ours.keys() == local.keys()
    assert not any("service_account" in path.read_text("latin-1") for path in _written(served))


def _written(served: Path) -> list[Path]:
    return [path for path in (served / "bucket" / "refs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_a_lease_is_renewed_there(tmp_path: Path, scheme: str) -> None:
    """That is a write on the condition that nobody has written; with Google, by generation."""
    (tmp_path / "bucket").mkdir()
    with recorder(tmp_path) as server:
        server.modified = None
        output = open_output(f"{scheme}://bucket/refs", CLOUDS[scheme](server.endpoint))
        with held(output, expiry=60.0, renewal=0.05) as lease:
            assert lease.notes == ()
            file, until = tmp_path / "bucket/refs" / LEASE, time.monotonic() + 200
            while server.generations[file] < 3 and time.monotonic() < until:
                time.sleep(0.01)
            assert server.generations[file] >= 3
            lease.confirm()
            with pytest.raises(HeldError), held(output):
                pass
        assert output.paths() == []
