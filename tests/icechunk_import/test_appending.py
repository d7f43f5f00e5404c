"""Appending behind what a repository holds, whoever wrote that, against xarray's own concat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from tests.many_stores import Made, write

import icechunk
import parchunk
from parchunk.errors import InputError, OutputError
from parchunk.icechunk_import import adapter, compare_with_repo
from parchunk.icechunk_import.committing import Committer


def made(begin: int, length: int, unit: str = "hours", **more: Any) -> dict[str, Made]:
    """Return arrays of hours ``begin`` to ``begin + length`` since the century began."""
    air = np.random.default_rng(begin).random((length, 3)).astype("f4")
    since = f"{unit} since 2000-01-{1 + begin // 24:02d} {begin % 24:02d}:00"
    step = {"hours": 1, "minutes": 60}[unit]
    return {
        "air": Made(air, ("time", "y"), (2, 3), {"units": "K"}, None, {"fill_value": 0}),
        "time": Made(step * np.arange(length), ("time",), (4,), {"units": since}),
        "y": Made(np.arange(3.0), ("y",)),
        **more,
    }


def native(folder: Path, arrays: dict[str, Made]) -> Path:
    """Write a repository as others do, with no thought of parchunk."""
    path = write(folder / "native.zarr", arrays, 3)
    storage = icechunk.local_filesystem_storage(str(folder / "repo"))
    config = icechunk.RepositoryConfig.default()
    prefix = f"file://{folder}/"
    container = icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(str(folder)))
    config.set_virtual_chunk_container(container)
    repo = icechunk.Repository.create(storage, config=config)
    repo.save_config()
    session = repo.writable_session("main")
    root = zarr.open_group(session.store, mode="w", zarr_format=3)
    for name, array in zarr.open_group(path, mode="r").arrays():
        copied = root.create_array(
            name, shape=array.shape, chunks=array.chunks, dtype=array.dtype,
            dimension_names=array.metadata.dimension_names, attributes=dict(array.attrs),
            fill_value=array.fill_value,
        )  # fmt: skip
        copied[...] = array[...]
    session.commit("by others")
    return folder / "repo"


def opened(path: Path, zarr_format: int = 3) -> xarray.Dataset:
    return xarray.open_zarr(path, consolidated=False, zarr_format=zarr_format, chunks=None).load()


def held(repo: Path, branch: str = "main") -> xarray.Dataset:
    session = parchunk.open_icechunk(repo).readonly_session(branch)
    return xarray.open_zarr(session.store, consolidated=False, chunks=None).load()


def joined(paths: list[Path], zarr_format: int = 3) -> xarray.Dataset:
    return xarray.concat(
        [opened(path, zarr_format) for path in paths], "time", data_vars="minimal",
        coords="minimal", compat="override", join="override", combine_attrs="override",
    )  # fmt: skip


@pytest.mark.parametrize("many", [True, False])
def test_what_others_wrote_goes_on(tmp_path: Path, many: bool) -> None:
    repo = native(tmp_path, made(0, 6))
    paths = [tmp_path / "native.zarr"]
    paths += [write(tmp_path / f"{i}.zarr", made(6 + 4 * i, 4 + i), 3) for i in range(1 + many)]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(paths[1:], concat="time" if many else None, region=4), out)
    result = parchunk.to_icechunk(out, repo, append="time")
    assert [commit.region for commit in result.commits] == [None, *range(1 + 2 * many)]
    assert result.published
    wanted = joined(paths)
    xarray.testing.assert_equal(held(repo), wanted)
    assert parchunk.to_icechunk(out, repo, append="time").commits == ()
    xarray.testing.assert_equal(held(repo), wanted)
    assert parchunk.audit(out, icechunk=repo).findings == ()
    with pytest.raises(InputError, match=r"which an import would cut off: import with --append"):
        parchunk.to_icechunk(out, repo)
    assert parchunk.open_icechunk(repo).list_branches() == {"main"}


def test_chunks_behind_along_a_later_axis_stand_for_none_that_is_gone(tmp_path: Path) -> None:
    """What another appended behind the first row is no chunk of the second, nor the reverse."""

    def depth(begin: int) -> Made:
        return Made(np.arange(begin, begin + 12).reshape(3, 4) + 1.0, ("y", "time"), (1, 2))

    repo = native(tmp_path, made(0, 4, depth=depth(0)))
    outs = [str(tmp_path / f"out{at}") for at in (1, 2)]
    for at, out in zip((1, 2), outs, strict=True):
        store = write(tmp_path / f"{at}.zarr", made(4 * at, 4, depth=depth(12 * at)), 3)
        parchunk.build(store, out)
        parchunk.to_icechunk(out, repo, append="time")
    assert [parchunk.audit(out, icechunk=repo).findings for out in outs] == [(), ()]
    session = parchunk.open_icechunk(repo).writable_session("main")
    adapter.delete(session.store, ["depth/c/1/2"])  # beside it lies depth/c/0/4, of the second
    session.commit("deleted")
    found = [compare_with_repo(out, str(repo)).findings for out in outs]
    assert [[(one.array, one.kind, one.chunks) for one in some] for some in found] == [
        [("depth", "missing", ((1, 0),))],
        [],
    ]


def test_what_was_imported_is_not_sent_to_be_appended_behind_itself(tmp_path: Path) -> None:
    repo = native(tmp_path, made(0, 6))
    store = parchunk.open_icechunk(repo)
    *_, empty = store.ancestry(branch="main")
    store.create_branch("ours", empty.id)
    paths = [write(tmp_path / f"{i}.zarr", made(4 * i, 4), 3) for i in range(2)]
    first, second = (str(parchunk.build(path, tmp_path / f"out{path.stem}").url) for path in paths)
    parchunk.to_icechunk(first, repo, branch="ours")
    before = store.lookup_branch("ours")
    parchunk.to_icechunk(second, repo, branch="ours", append="time")
    found = parchunk.audit(first, icechunk=repo, branch="ours").findings
    assert {(f.array, f.remedy.partition(" and no")[0]) for f in found} == {
        (name, f"nothing, where arrays are longer by what was appended from {paths[1]}")
        for name in ("air", "time")
    }
    assert parchunk.audit(second, icechunk=repo, branch="ours").findings == ()
    with pytest.raises(InputError, match="would cut off: import into another REPO, or on a --bra"):
        parchunk.to_icechunk(first, repo, branch="ours")
    store.create_branch("alone", before)  # the remedy
    assert parchunk.to_icechunk(first, repo, branch="alone").finished
    xarray.testing.assert_equal(held(repo, "ours"), joined(paths))


def test_an_append_that_is_cut_short_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = native(tmp_path, made(0, 6))
    paths = [tmp_path / "native.zarr", write(tmp_path / "1.zarr", made(6, 8), 3)]
    parchunk.build(parchunk.plan(paths[1], split="time", region=2), tmp_path / "out")
    before, count = held(repo), 0
    commit = Committer.commit

    def stopped(self: Committer, *args: Any) -> Any:
        nonlocal count
        count += 1
        if count % 3 == 0:
            raise OutputError("stopped")
        return commit(self, *args)

    monkeypatch.setattr(Committer, "commit", stopped)
    for _ in range(2):
        with pytest.raises(OutputError, match="stopped"):
            parchunk.to_icechunk(tmp_path / "out", repo, append="time")
        xarray.testing.assert_equal(held(repo), before)  # until all is in
    parchunk.to_icechunk(tmp_path / "out", repo, append="time")
    wanted = xarray.concat([opened(paths[0]), opened(paths[1])], "time", data_vars="minimal")
    xarray.testing.assert_equal(held(repo), wanted)


def test_out_grows_and_others_follow(tmp_path: Path) -> None:
    repo = native(tmp_path, made(0, 6))
    paths = [tmp_path / "native.zarr"]
    paths += [write(tmp_path / f"in/{i}.zarr", made(6 + 4 * i, 4), 3) for i in range(2)]
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(f"{tmp_path}/in/*", concat="time"), out)
    parchunk.to_icechunk(out, repo, append="time")
    paths.append(write(tmp_path / "in/2.zarr", made(14, 4), 3))
    parchunk.update(out)
    result = parchunk.to_icechunk(out, repo, append="time")
    assert [commit.region for commit in result.commits] == [None, 2]
    xarray.testing.assert_equal(held(repo), joined(paths))
    paths.append(write(tmp_path / "next.zarr", made(18, 4), 3))
    parchunk.build(paths[-1], tmp_path / "behind")
    parchunk.to_icechunk(tmp_path / "behind", repo, append="time")
    xarray.testing.assert_equal(held(repo), joined(paths))
    chunk = tmp_path / "in/1.zarr/air/c/1/0"
    data = chunk.read_bytes()
    chunk.unlink()
    parchunk.update(out, regions=[1])
    result = parchunk.to_icechunk(out, repo, append="time")
    assert [(c.region, c.deleted) for c in result.commits if c.region is not None] == [(1, 1)]
    chunk.write_bytes(data)
    parchunk.update(out)
    parchunk.to_icechunk(out, repo, append="time")
    xarray.testing.assert_equal(held(repo), joined(paths))
    write(tmp_path / "in/3.zarr", made(18, 4), 3)
    parchunk.update(out)
    with pytest.raises(InputError, match=r"out grew from 12 to 16 elements, and .*repo has 4 of"):
        parchunk.to_icechunk(out, repo, append="time")
    xarray.testing.assert_equal(held(repo), joined(paths))


def test_coordinates_as_chunks_where_they_fit(tmp_path: Path) -> None:
    units = {"units": "hours since 2000-01-01"}
    times = [
        Made(np.arange(8), ("time",), (4,), units),
        Made(np.arange(8, 16), ("time",), (4,), units),
    ]
    repo = native(tmp_path, made(0, 8, time=times[0]))
    paths = [tmp_path / "native.zarr", write(tmp_path / "1.zarr", made(8, 8, time=times[1]), 3)]
    parchunk.build(parchunk.plan(paths[1], inline_coordinates=False), tmp_path / "out")
    result = parchunk.to_icechunk(tmp_path / "out", repo, append="time")
    assert result.references == 4 + 2
    xarray.testing.assert_equal(held(repo), joined(paths))


def test_series_without_units_leave_those_of_the_times_alone(tmp_path: Path) -> None:
    """Only bounds have the units of what they bound."""
    snow = [Made(np.arange(4.0) + at, ("time",), (2,)) for at in (1, 5)]
    repo = native(tmp_path, made(0, 4, snow=snow[0]))
    paths = [tmp_path / "native.zarr", write(tmp_path / "1.zarr", made(4, 4, snow=snow[1]), 3)]
    parchunk.build(parchunk.plan(paths[1]), tmp_path / "out")
    parchunk.to_icechunk(tmp_path / "out", repo, append="time")
    xarray.testing.assert_equal(held(repo), joined(paths))


def test_moments_that_are_none_fit(tmp_path: Path) -> None:
    """NaT is what it was: in units of the repository, and where the same is on both sides."""
    valid = [np.array(some, "M8[s]") for some in ([0, "NaT", 3, 4], [5, "NaT", 7, "NaT"])]
    issued = Made(np.array(["NaT", 7], "M8[s]"), ("z",))
    given = [{"valid": Made(some, ("time",)), "issued": issued} for some in valid]
    repo = native(tmp_path, made(0, 4, **given[0]))
    paths = [tmp_path / "native.zarr", write(tmp_path / "1.zarr", made(4, 4, **given[1]), 3)]
    parchunk.build(parchunk.plan(paths[1]), tmp_path / "out")
    parchunk.to_icechunk(tmp_path / "out", repo, append="time")
    xarray.testing.assert_equal(held(repo), joined(paths))


HALVES = Made(np.arange(4) + 0.5, ("time",), None, {"units": "hours since 2000-01-01 06:00"})


def air(dtype: str = "f4", chunk: int = 2, units: str = "K") -> Made:
    return Made(np.ones((4, 3), dtype), ("time", "y"), (chunk, 3), {"units": units})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"begin": 5}, r"time overlaps: .*repo holds .*05:00, and .*out after it .*05:00 to"),
        ({"unit": "minutes"}, None),
        ({"time": HALVES}, r"time: its values .* are not exact as int64"),
        ({"air": air("f8")}, r"air: .*float32.* in .*repo, .*float64"),
        ({"air": air(chunk=4)}, r"air: chunks \[2, 3\] in .*repo, \[4, 3\] in .*out"),
        ({"air": air(units="C")}, r"air: attribute units \"K\" in .*repo, \"C\" in .*out"),
        ({"y": Made(np.ones(3), ("y",))}, r"y: has other values in .*out than in .*repo"),
        ({"rain": air()}, r"rain: is in .*out, and not in .*repo"),
        ({"air": None}, r"air: has time in .*repo, and is not in .*out"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_sides(
    tmp_path: Path, change: dict[str, Any], words: str | None
) -> None:
    repo = native(tmp_path, made(0, 6))
    arrays = made(**{"begin": 6, "length": 4} | change)
    arrays = {name: array for name, array in arrays.items() if array is not None}
    parchunk.build(write(tmp_path / "1.zarr", arrays, 3), tmp_path / "out")
    if words is None:
        parchunk.to_icechunk(tmp_path / "out", repo, append="time")
        xarray.testing.assert_equal(
            held(repo), joined([tmp_path / "native.zarr", tmp_path / "1.zarr"])
        )
        return
    before = parchunk.open_icechunk(repo)
    with pytest.raises(InputError, match=words):
        parchunk.to_icechunk(tmp_path / "out", repo, append="time")
    after = parchunk.open_icechunk(repo)
    assert after.list_branches() == {"main"}
    assert after.lookup_branch("main") == before.lookup_branch("main")


def test_what_ends_within_a_chunk_is_refused(tmp_path: Path) -> None:
    repo = native(tmp_path, made(0, 5))
    parchunk.build(write(tmp_path / "1.zarr", made(5, 4), 3), tmp_path / "out")
    with pytest.raises(InputError, match=r"air: its chunks are 2 long along time, and 5 elements"):
        parchunk.to_icechunk(tmp_path / "out", repo, append="time")
    with pytest.raises(InputError, match=r"--append x: no array of .*out has that dimension"):
        parchunk.to_icechunk(tmp_path / "out", repo, append="x")
    with pytest.raises(InputError, match=r"no Icechunk repository at .*none to append to"):
        parchunk.to_icechunk(tmp_path / "out", tmp_path / "none", append="time")
    assert not (tmp_path / "none").exists()


def test_what_was_imported_is_not_appended_again(tmp_path: Path) -> None:
    for at, name in enumerate(("a", "b")):
        write(tmp_path / f"{name}.zarr", made(4 * at, 4), 3)
        plan = parchunk.plan(tmp_path / f"{name}.zarr", inline_coordinates=False)
        parchunk.build(plan, tmp_path / name)
    parchunk.to_icechunk(tmp_path / "a", tmp_path / "repo")
    with pytest.raises(InputError, match="has these references already, from an import without"):
        parchunk.to_icechunk(tmp_path / "a", tmp_path / "repo", append="time")
    with pytest.raises(InputError, match=r"has no virtual chunk container for .*b\.zarr") as error:
        parchunk.to_icechunk(tmp_path / "b", tmp_path / "repo", append="time")
    said = str(error.value).partition("run: ")[2]
    exec(said, {"repo": parchunk.open_icechunk(tmp_path / "repo")})
    with pytest.raises(InputError, match=r"the values of y cannot be read .* if you trust it"):
        parchunk.to_icechunk(tmp_path / "b", tmp_path / "repo", append="time")
    trusted = parchunk.open_icechunk(tmp_path / "repo")
    parchunk.to_icechunk(tmp_path / "b", trusted, append="time")
    xarray.testing.assert_equal(
        held(tmp_path / "repo"), joined([tmp_path / "a.zarr", tmp_path / "b.zarr"])
    )
