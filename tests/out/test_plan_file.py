"""plan.json as OUT holds it: read an array at a time, whoever spelled it, and refused alike."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.out.opening import open_output
from parchunk.out.output import PLAN, Output
from parchunk.out.plan_file import load_plan, parse_plan, save_plan
from parchunk.out.unfinished import Unfinished, read_unfinished, save_unfinished
from parchunk.planning.choice import make_plan
from parchunk.planning.plan import Plan
from parchunk.planning.plan_document import read_plan
from parchunk.stores.opening import Location


@pytest.fixture
def plan(array_spec: Callable[..., ArraySpec]) -> Plan:
    arrays = [array_spec(f"g/é{n}", (100, 30), (2, 3), ("time", "y")) for n in range(5)]
    arrays.append(array_spec("crs", (), (), ()))
    return make_plan(Hierarchy(tuple(arrays), ()), Location("s3://b/s.zarr"), region=20)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    found = open_output(tmp_path / "out")
    found.prepare()
    return found


def test_a_plan_is_read_back_however_it_is_spelled(plan: Plan, output: Output) -> None:
    save_plan(plan, output)
    written = output.get(PLAN)
    document = plan.to_json()
    assert json.loads(written or b"") == document
    # Keys in another order, too: what is known of arrays may come before what they are read by.
    turned = dict(reversed(document.items()))
    for data in (
        json.dumps(document, indent=2).encode(),
        json.dumps(turned, ensure_ascii=False).encode(),
        json.dumps(document).encode("utf-16"),
    ):
        output.put(PLAN, data)
        assert load_plan(output) == plan
        assert load_plan(output).fingerprint == plan.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(parchunk_plan=2),
        lambda d: d.update(fingerprint="0" * 64),
        lambda d: d.update(hierarchy=[]),
        lambda d: d.update(arrays={"x": {}}),
        lambda d: d.pop("arrays"),
        lambda d: d["arrays"].pop(),
        lambda d: d["arrays"][1].update(axis=-1),
        lambda d: d["arrays"][1].update(region_chunks=10.0),
        lambda d: d["hierarchy"].update(arrays={"x": {}}),
        lambda d: d["hierarchy"]["arrays"].append(d["hierarchy"]["arrays"][0]),
        lambda d: d["hierarchy"]["arrays"][3].update(name="../x"),
        lambda d: d["hierarchy"]["arrays"][3].update(shape=[100, 30.0]),
        lambda d: d["hierarchy"]["arrays"][3].update(chunks=[0, 3]),
        lambda d: d["hierarchy"]["arrays"][3].pop("dtype"),
        lambda d: (d.update(parchunk_plan=2), d["hierarchy"]["arrays"][3].clear()),
    ],
)
def test_a_changed_plan_is_refused_as_one_that_was_read_whole(
    plan: Plan, output: Output, change: Callable[[Any], None]
) -> None:
    document = json.loads(json.dumps(plan.to_json()))
    change(document)
    where = output.describe(PLAN)
    with pytest.raises(InputError) as wanted:
        read_plan(document, where)
    for data in (json.dumps(document), json.dumps(dict(reversed(document.items())))):
        with pytest.raises(InputError) as refused:
            parse_plan(data.encode(), output)
        assert str(refused.value) == str(wanted.value)


@pytest.mark.parametrize("damage", [slice(0, 40), slice(3, None), slice(None, -2)])
def test_a_plan_that_was_cut_is_not_json(plan: Plan, output: Output, damage: slice) -> None:
    save_plan(plan, output)
    with pytest.raises(InputError, match="is not JSON: restore it"):
        parse_plan((output.get(PLAN) or b"")[damage], output)


def test_the_plan_of_an_update_that_was_cut_short_is_read_back(plan: Plan, output: Output) -> None:
    asked = Unfinished((1, 2), ("crs",), True, "0" * 64, True, plan)
    save_unfinished(asked, output)
    assert read_unfinished(output) == asked
