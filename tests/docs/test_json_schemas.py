"""What commands print as JSON is what its schemas say, key for key."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from tests.many_stores import Made, write

import parchunk
from parchunk.cli.main import run

fastjsonschema = pytest.importorskip("fastjsonschema")
DAYS = {"units": "days since 2001-01-01"}
OPTIONS = ("--consolidated", "ignore", "--split", "time", "--region", "month")
SCHEMAS = Path(__file__).parents[2] / "docs/schemas"


def strict(schema: Any) -> Any:
    """Return a schema in which every object that names its keys has no others."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    # What is named "properties" may be a property, too.
    if isinstance(schema.get("required"), list) and isinstance(schema.get("properties"), dict):
        found["additionalProperties"] = False
    return found


@pytest.fixture(scope="module", params=["audit", "plan", "status"])
def checked(request: pytest.FixtureRequest) -> Any:
    schema = json.loads((SCHEMAS / f"{request.param}.json").read_text())
    return request.param, fastjsonschema.compile(strict(schema)), schema


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References of one store with much amiss, and of two that are one dataset."""
    folder = tmp_path_factory.mktemp("json")
    root = zarr.open_group(folder / "one.zarr", mode="w", zarr_format=3)
    for name, chunks, how in (
        ("t", (1, 2), {"compressors": None}), ("s", (1, 2), {"shards": (2, 4)}), ("time", (40,), {})
    ):  # fmt: skip
        values = np.arange(1, 41) if name == "time" else np.full((40, 4), 7)
        array = root.create_array(
            name, shape=values.shape, chunks=chunks, dtype="i4", attributes=DAYS,
            dimension_names=("time", "x")[: values.ndim], **how,
        )  # fmt: skip
        array[...] = values
    (folder / "one.zarr/t/c/3/0").unlink()
    (folder / "one.zarr/t/c/4/0").write_bytes(b"")
    (folder / "one.zarr/t/c/5/0").write_bytes(b"x" * 900)
    (folder / "one.zarr/t/c/notes").write_text("mine")
    zarr.create_array(folder / "one.zarr/old", shape=(1,), chunks=(1,), dtype="i4", zarr_format=2)
    for at in range(2):
        time = Made(np.arange(4) + 4 * at, ("time",), None, DAYS)
        air = Made(1.0 + np.arange(12.0).reshape(4, 3), ("time", "x"), (2, 1))
        write(
            folder / f"many{at}.zarr", {"time": time, "air": air, **({} if at else {"b": air})}, 3
        )
    many = [str(folder / f"many{at}.zarr") for at in range(2)]
    parchunk.build(parchunk.plan(folder / "one.zarr", split="time", region=20), folder / "one")
    parchunk.build(parchunk.plan(many, concat="time", join="outer"), folder / "many")
    return folder


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    capsys.readouterr()
    run([*map(str, words), "--json"])
    return json.loads(capsys.readouterr().out)


def documents(kind: str, made: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    if kind == "status":
        yield printed(capsys, "status", made / "one")
        yield printed(capsys, "status", made / "many")
    elif kind == "plan":
        yield printed(capsys, "plan", made / "one.zarr", *OPTIONS, "--parts", 2)
        stores = [made / f"many{at}.zarr" for at in range(2)]
        kept = ["--identity", "time"]
        yield printed(capsys, "plan", *stores, "--concat", "time", "--join", "outer", *kept)
    else:
        first = printed(capsys, "audit", made / "one")
        earlier = made / "earlier.json"
        for gap in first["arrays"][1]["gaps"]:
            gap["chunks"] = [8, 8]
            gap["elements"] = [8, 9]
        first["findings"].append(first["findings"][0] | {"kind": "wrong-root"})
        first["arrays"].append(first["arrays"][0] | {"array": "gone"})
        earlier.write_text(json.dumps(first))
        options = ["--since", earlier, "--by", "month", "--decode", 3, "--against-source"]
        (made / "one.zarr/t/c/9/0").unlink(missing_ok=True)
        yield printed(capsys, "audit", made / "one", *options)
        pytest.importorskip("icechunk")
        parchunk.to_icechunk(made / "many", made / "repo")
        yield printed(capsys, "audit", made / "many", "--icechunk", made / "repo")
        yield printed(capsys, "audit", made / "one.zarr", "--split", "time")


def test_documents_are_as_their_schema_says(
    checked: Any, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, check, schema = checked
    seen: set[str] = set()
    for document in documents(kind, made, capsys):
        check(document)
        entry = document["arrays"][0] | {"more": 1}
        for more in ({"more": 1}, {"arrays": [entry]}):
            with pytest.raises(fastjsonschema.JsonSchemaException, match="more"):
                check(document | more)
        seen |= document.keys()
    inventories = {"inventory", "inventory_digest"}
    assert set(schema["properties"]) - inventories == seen - inventories
