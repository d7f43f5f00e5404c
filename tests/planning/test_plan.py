"""plan.json: there and back, changed by hand, and what tells two plans apart."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.choice import make_plan
from parchunk.planning.plan import Plan, Split
from parchunk.planning.plan_differences import plan_differences
from parchunk.planning.plan_document import read_plan
from parchunk.stores.opening import Location

Maker = Callable[..., ArraySpec]


@pytest.fixture
def plan(array_spec: Maker) -> Plan:
    arrays = (
        array_spec("air", (100, 30), (2, 3), ("time", "y")),
        array_spec("crs", (), (), ()),
        array_spec("no names", (7, 7), (7, 7)),
    )
    where = Location("s3://b/s.zarr", (("endpoint", "http://127.0.0.1:1"), ("region", "x")))
    return make_plan(Hierarchy(arrays, ()), where, region=20, inline_threshold=7)


def test_there_and_back(plan: Plan) -> None:
    document = json.loads(json.dumps(plan.to_json()))
    again = read_plan(document)
    assert again == plan
    assert again.fingerprint == plan.fingerprint
    assert again.location == plan.location
    assert list(again.partitions()) == list(plan.partitions())
    assert again.to_json() == plan.to_json()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("record_size", 5),
        ("record_size", 0),
        ("region_length", 40),
        ("inline_threshold", 8),
        ("source", "s3://other/s.zarr"),
        ("group", "g"),
        ("split", None),
        ("split", {"dimension": "y", "axis": None}),
        ("include", ["a*"]),
        ("lone_array", True),
        ("arrays", []),
        ("fingerprint", "0" * 64),
    ],
)
def test_a_plan_changed_by_hand_is_refused(plan: Plan, key: str, value: Any) -> None:
    document = json.loads(json.dumps(plan.to_json()))
    document[key] = value
    with pytest.raises(InputError, match=r"OUT/plan\.json .*(fingerprint|no parchunk plan)"):
        read_plan(document, "OUT/plan.json")


def test_a_shape_changed_by_hand_is_refused(plan: Plan) -> None:
    document = json.loads(json.dumps(plan.to_json()))
    document["hierarchy"]["arrays"][0]["shape"] = [200, 30]
    with pytest.raises(InputError, match="fingerprint"):
        read_plan(document)


@pytest.mark.parametrize(
    "document",
    [None, 5, "plan", [], {}, {"parchunk_plan": 1}, {"parchunk_plan": 2}, {"parchunk_plan": "1"}],
)
def test_what_is_no_plan_is_refused(document: Any) -> None:
    with pytest.raises(InputError, match=r"here\.json") as refused:
        read_plan(document, "here.json")
    assert "\n" not in str(refused.value)


def test_every_member_is_needed_and_of_its_kind(plan: Plan) -> None:
    whole = json.loads(json.dumps(plan.to_json()))
    # Derived for readers, or how to reach the source: not what the plan says.
    free = {"regions", "chunks"}
    for key in whole.keys() - free:
        for wrong in (None, 5, "x", [1], {"x": 1}, [{"x": 1}]):
            document = copy.deepcopy(whole)
            document[key] = wrong
            if key in ("source_options",) and isinstance(wrong, dict):
                continue
            with pytest.raises(InputError):
                read_plan(document)
        document = copy.deepcopy(whole)
        del document[key]
        with pytest.raises(InputError):
            read_plan(document)


def test_another_endpoint_is_no_other_plan(plan: Plan, array_spec: Maker) -> None:
    moved = make_plan(plan.hierarchy, Location("s3://b/s.zarr"), region=20, inline_threshold=7)
    assert moved.fingerprint == plan.fingerprint
    assert plan_differences(moved, plan) == []


def test_secrets_are_not_remembered() -> None:
    from parchunk.stores.opening import open_store

    opened = open_store(
        "s3://b/s.zarr",
        {"access_key_id": "AKIA", "secret_access_key": "hush", "region": "eu-west-1"},
    )
    assert opened.location.options == (("region", "eu-west-1"),)


def test_differences_name_what_differs(plan: Plan, array_spec: Maker) -> None:
    def other(**options: Any) -> Plan:
        arrays = options.pop("arrays", plan.hierarchy.arrays)
        where = options.pop("where", plan.location)
        return make_plan(
            Hierarchy(arrays, ()), where, **{"region": 20, "inline_threshold": 7} | options
        )

    air, crs, plain = plan.hierarchy.arrays
    longer = array_spec("air", (120, 30), (2, 3), ("time", "y"))
    cases = [
        (other(region=40), "region length 20 there, 40 now"),
        (other(inline_threshold=0), "inline threshold 7 there, 0 now"),
        (other(where=Location("s3://c/s.zarr")), "source 's3://b/s.zarr' there"),
        (other(record_size=10), "record size"),
        (other(split="y", region=30), "split"),
        (other(arrays=(air, crs)), "array no names is only there"),
        (other(arrays=(longer, crs, plain)), "array air has shape (100, 30) there, (120, 30)"),
    ]
    for changed, words in cases:
        found = plan_differences(plan, changed)
        assert any(words in difference for difference in found), (words, found)
        assert changed.fingerprint != plan.fingerprint


def test_a_split_by_axis_is_for_arrays_that_name_none(array_spec: Maker) -> None:
    named = array_spec("a", (4, 4), (1, 1), ("time", None))
    assert Split(None, 0).axis_in(named) is None
    assert Split(None, 1).axis_in(named) == 1
    assert Split("time").axis_in(named) == 0
    assert Split("x").axis_in(named) is None
    assert Split(None, 2).axis_in(named) is None
