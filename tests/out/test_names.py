"""Names of OUT: what stock readers misread is refused, what is accepted reads back in all."""

import importlib.util
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.examples import examples

import parchunk
from parchunk.cli.main import run
from parchunk.errors import InputError
from parchunk.out.names import refuse_misread
from parchunk.out.opening import open_output
from parchunk.stores.opening import Location

xarray = pytest.importorskip("xarray")
VALUES = [1, 2, 3, 4]
#: Pieces of names that some part of some reader might give a meaning to.
PIECES = st.one_of(
    st.sampled_from(
        [
            *("{", "}", "{}", "{0}", "{model}", "{{", "::", ":", ".json", ".JSON", "json", ".parq"),
            *(".parquet", ".zarr", ".zip", "*", "?", "[", "]", "#", "%", "%7B", "~", "$HOME", "|"),
            *("\\", "'", '"', "`", "!", "&", ";", "=", "@", "+", ",", " ", "\t", "\n", "file:"),
            *("s3:", "zip::", "simplecache::", "é", "e\u0301", "名", "\u2028", "🎈", "..", "-"),
        ]
    ),
    st.text("abcxyz019_-.", min_size=1, max_size=4),
)
NAMES = st.lists(PIECES, min_size=1, max_size=4).map("".join).filter(lambda name: name.strip("."))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    group = zarr.open_group(folder / "s.zarr", mode="w", zarr_format=2)
    array = group.create_array(
        "a", shape=(4,), chunks=(2,), dtype="i4", attributes={"_ARRAY_DIMENSIONS": ["x"]}
    )
    array[:] = VALUES
    parchunk.build(parchunk.plan(str(folder / "s.zarr")), str(folder / "refs"))
    return folder


def stock_readers() -> list[Callable[[str], Any]]:
    """Return functions that read the array of references, none of them parchunk's."""

    def by_zarr(out: str) -> Any:
        options = {"fo": out, "remote_protocol": "file", "skip_instance_cache": True}
        return xarray.open_dataset(
            "reference://", engine="zarr", backend_kwargs={"storage_options": options}
        )

    def by_kerchunk(out: str) -> Any:
        return xarray.open_dataset(
            out, engine="kerchunk", storage_options={"remote_protocol": "file"}
        )

    return [by_zarr, *([by_kerchunk] if importlib.util.find_spec("kerchunk") else [])]


def check_reads_back(out: Path) -> None:
    for read in (*stock_readers(), parchunk.open_dataset):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert read(str(out))["a"].values.tolist() == VALUES, read


@settings(
    max_examples=examples(15),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=NAMES, above=st.booleans())
@example(name="refs_{model}.parquet", above=False)
@example(name="run{1}", above=True)
@example(name="a::b", above=False)
@example(name="x.json.parquet", above=True)
@example(name="}", above=False)
def test_every_name_that_is_accepted_reads_back(
    built: Path, tmp_path: Path, name: str, above: bool
) -> None:
    """In OUT's own name, and in that of a folder above it."""
    folder = tmp_path / "each"
    out = folder / name / "refs" if above else folder / name
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        open_output(str(out))
    except InputError as error:
        found = re.search(r"for example (.*) \(move there", str(error), re.DOTALL)
        assert found is not None
        out = Path(found.group(1))
        assert out != folder / name
        open_output(str(out))
    shutil.copytree(built / "refs", out)
    try:
        check_reads_back(out)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("refs_{model}.parquet", "'{'"),
        ("run{1}", "'{'"),
        ("a}", "'}'"),
        ("refs.json", "'.json'"),
        ("my.jsons/refs", "'.json'"),
        ("a::b", "'::'"),
    ],
)
def test_every_command_refuses_them_in_one_line(
    built: Path, tmp_path: Path, capsys: Any, tree: Any, name: str, named: str
) -> None:
    out, source = tmp_path / name, str(built / "s.zarr")
    shutil.copytree(built / "refs", out)
    before = tree(tmp_path)
    for command in (
        ["build", source, str(out)],
        ["build", source, f"file://{out}"],
        ["build", source, str(out), "--overwrite"],
        ["update", str(out)],
        ["status", str(out)],
        ["audit", str(out)],
        ["sql", str(out), "SELECT 1"],
    ):
        assert run(command) == 2, command
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert named in said
        assert "for example" in said
    for call in (parchunk.open_dataset, parchunk.connect, parchunk.audit):
        with pytest.raises(InputError, match="for example"):
            call(str(out))
    with pytest.raises(InputError, match="for example"):
        parchunk.to_icechunk(str(out), str(tmp_path / "repo"))
    assert tree(tmp_path) == before


def test_references_moved_to_the_name_that_is_offered_are_whole(
    built: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "era5 {land}.json"
    shutil.copytree(built / "refs", bad)
    with pytest.raises(InputError) as refused:
        parchunk.audit(str(bad))
    good = tmp_path / "era5 _land_-json"
    assert str(good) in str(refused.value)
    bad.rename(good)
    check_reads_back(good)
    assert parchunk.audit(str(good), against_source=True).findings == ()
    assert parchunk.update(str(good)).missing == 0


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a{b}",
        "s3://my.json/refs",
        "s3://bucket/refs?versionId=1",
        "gs://bucket/refs#12",
        "gs://bucket/a?generation=1/refs",
        "az://container/refs?x",
        "az://container/a#",
        "s3://bucket/a::b",
    ],
)
def test_urls_that_file_systems_of_fsspec_cut_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="for example") as refused:
        refuse_misread(Location(url))
    found = re.search(r"for example (\S+) \(", str(refused.value))
    assert found is not None
    refuse_misread(Location(found.group(1)))
    assert found.group(1).startswith(url.partition("://")[0] + "://")


@pytest.mark.s3
def test_odd_names_on_s3_read_back(built: Path, s3_endpoint: str) -> None:
    from instruments.s3_server import new_bucket

    bucket = new_bucket(s3_endpoint)
    for name in ("a b", "a#b", "a?b", "a%20b", "a+b", "a:b", "é", "a[1]", "a*", "a=b&c", "~"):
        out = f"s3://{bucket.name}/{name}/refs"
        options = bucket.options
        parchunk.build(parchunk.plan(str(built / "s.zarr")), out, output_options=options)
        opened = parchunk.open_dataset(out, output_options=options)
        assert opened["a"].values.tolist() == VALUES, name
