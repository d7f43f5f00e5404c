"""Receipt blocks: many receipts in one object, of which each is forgotten and doubted alone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from instruments.s3_server import S3Bucket
from obstore.store import MemoryStore
from tests.many_small import write_arrays

import parchunk
from parchunk.errors import OutputError
from parchunk.out import receipt_blocks
from parchunk.out.opening import open_output
from parchunk.out.output import BLOCKS, RECEIPTS, Output
from parchunk.out.receipt_blocks import (
    block_paths,
    blocks_in,
    drop_lines,
    encode_block,
    folder_of,
    lines_of,
    places_in_blocks,
    places_of,
    put_block,
)
from parchunk.out.receipt_files import (
    ReceiptWriter,
    find_receipts,
    forget_receipts,
    has_receipt,
    read_receipts,
    receipted,
    settled_receipts,
    write_receipt,
)
from parchunk.out.receipts import Receipt
from parchunk.out.receipts_at_once import Others, write_block_once
from parchunk.out.remote import RemoteOutput
from parchunk.planning.plan import PartitionKey, Plan
from parchunk.stores.opening import Location


@pytest.fixture(scope="module", autouse=True)
def unhurried() -> Iterator[None]:
    """Blocks are cut by how much they hold, however slow this machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipt_blocks, "MOST_SECONDS", 1e6)
        yield


@dataclass(frozen=True)
class Built:
    plan: Plan
    out: Path
    receipts: dict[PartitionKey, Receipt] = field(repr=False)

    @property
    def places(self) -> dict[str, int]:
        return places_of(self.plan)

    def held(self, *receipts: Receipt) -> list[tuple[int, Receipt]]:
        return [(self.places[receipt.array], receipt) for receipt in receipts]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Eighteen arrays, of which nine are split in two regions."""
    folder = tmp_path_factory.mktemp("built")
    source = write_arrays(folder / "s.zarr")
    plan = parchunk.plan(source, split="time", region=2, record_size=2)
    parchunk.build(plan, folder / "refs")
    output = open_output(folder / "refs")
    return Built(plan, folder / "refs", read_receipts(output, plan))


def in_memory() -> RemoteOutput:
    return RemoteOutput(Location("memory://out"), MemoryStore(), "out")


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    if request.param == "memory":
        return in_memory()
    if request.param == "local":
        made: Output = open_output(tmp_path / "out")
    else:
        bucket: S3Bucket = request.getfixturevalue("bucket")
        made = open_output(f"s3://{bucket.name}/out", bucket.options)
    made.prepare()
    return made


def test_many_small_arrays_have_no_receipts_of_their_own(built: Built) -> None:
    output = open_output(built.out)
    assert len(built.receipts) == 9 + 9 * 2
    assert list(built.receipts)[:2] == [("g0/a0", None), ("g0/a12", None)]
    assert not output.paths(RECEIPTS)
    found = find_receipts(output, built.plan)
    assert found.blocks == output.paths(BLOCKS)
    assert len(found.blocks) < 4
    assert not found.alone
    assert receipted(output, built.plan) == built.receipts.keys()
    lines = [json.loads(line) for path in found.blocks for line in open_lines(built.out / path)]
    assert sorted((line["array"], line["region"] or 0) for line in lines) == sorted(
        (array, region or 0) for array, region in built.receipts
    )


def test_while_a_region_is_done_again_it_has_no_receipt_though_its_array_has(built: Built) -> None:
    output, array = in_memory(), next(name for name, region in built.receipts if region == 1)
    left, done = [part for part in built.plan.partitions() if part.array == array]
    put_block(output, built.held(built.receipts[done.key]))
    assert [has_receipt(output, part) for part in (left, done)] == [False, True]


def open_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


KINDS = ["right", "unlike", "broken", "of another plan"]


@dataclass
class Said:
    """What is said of one partition: in a file of its own, and in some blocks."""

    alone: str | None
    lines: dict[int, str]

    @property
    def counts(self) -> bool:
        """Whether anything of it may be believed."""
        lines = list(self.lines.values())
        bad = self.alone == "broken" or {"broken", "of another plan"} & set(lines)
        said = {*lines, *([self.alone] if self.alone != "of another plan" else [])} - {None}
        return not bad and len(said) == 1


def variant(receipt: Receipt, kind: str) -> Receipt:
    if kind == "unlike":
        files = tuple(replace(file, digest="00" * 16) for file in receipt.record_files)
        return replace(receipt, record_files=files)
    if kind == "of another plan":
        return replace(receipt, fingerprint="0" * 64)
    return receipt


def line_of(receipt: Receipt, kind: str) -> bytes:
    document = variant(receipt, kind).to_json()
    if kind == "broken":
        document["present"] = 99
    return json.dumps(document).encode() + b"\n"


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[int, Said], set[int], int]:
    """What is said of some partitions, by their positions; which are forgotten; when it is cut."""
    kinds = st.sampled_from(KINDS[:1] * 3 + KINDS)
    said = {
        position: Said(
            draw(st.none() | st.none() | kinds),
            draw(st.dictionaries(st.integers(0, 3), kinds, max_size=2)),
        )
        for position in draw(st.sets(st.integers(0, 26), max_size=10))
    }
    return said, draw(st.sets(st.integers(0, 26))), draw(st.integers(0, 12))


def written(built: Built, said: dict[int, Said], output: Output) -> None:
    """Write what is said, with damaged lines beside, and a block of another plan."""
    keys = list(built.receipts)
    blocks: dict[int, list[tuple[str, bytes]]] = {}
    for position, one in said.items():
        receipt = built.receipts[keys[position]]
        if one.alone is not None:
            name = "whole" if receipt.region is None else receipt.region
            path = f"{RECEIPTS}/{receipt.array}/{name}.json"
            output.put(path, line_of(receipt, one.alone))
        for number, kind in one.lines.items():
            blocks.setdefault(number, []).append((receipt.array, line_of(receipt, kind)))
    for number, lines in blocks.items():
        places = [built.places[array] for array, _ in lines]
        data = b"{cut sho\n" + b"".join(line for _, line in lines) + b"[]\n\n"
        name = f"{min(places):x}-{max(places):x}-{number:032x}.jsonl"
        output.put(f"{folder_of(built.plan.fingerprint)}/{name}", data)
    output.put(f"{folder_of('f' * 64)}/0-ff-{0:032x}.jsonl", line_of(receipt_of(built), "right"))


def receipt_of(built: Built) -> Receipt:
    return next(iter(built.receipts.values()))


class CutShortError(Exception):
    pass


def cut_after(output: RemoteOutput, steps: int) -> RemoteOutput:
    """Return an OUT that fails at a write or delete, and at all later ones."""
    left = itertools.count(steps, -1)

    class Cut(RemoteOutput):
        def put(self, path: str, data: bytes | memoryview) -> None:
            check()
            super().put(path, data)

        def put_if(self, path: str, data: bytes, seen: str | None) -> str | None:
            check()
            return super().put_if(path, data, seen)

        def delete(self, path: str) -> None:
            check()
            super().delete(path)

    def check() -> None:
        if next(left) <= 0:
            raise CutShortError

    return Cut(output.location, output.store, output.prefix)


@settings(max_examples=60)
@given(case=cases())
@example(case=({0: Said("of another plan", {}), 1: Said("right", {})}, {1}, 12))
def test_what_is_said_in_several_places(
    built: Built, case: tuple[dict[int, Said], set[int], int]
) -> None:
    said, forgotten, steps = case
    output, plan, keys = in_memory(), built.plan, list(built.receipts)
    written(built, said, output)
    wanted = {keys[position] for position, one in said.items() if one.counts}
    assert read_receipts(output, plan).keys() == wanted
    some = set(keys[::3])
    assert read_receipts(output, plan, only=some).keys() == wanted & some
    try:
        settled_receipts(cut_after(output, steps), plan)
    except CutShortError:
        assert read_receipts(output, plan).keys() == wanted, "what is doubtful counts"
    settled = settled_receipts(output, plan)
    assert settled == read_receipts(output, plan)
    assert settled.keys() == wanted
    assert receipted(output, plan) == wanted, "a trace of what does not count"
    assert all(path.startswith(folder_of(plan.fingerprint)) for path in output.paths(BLOCKS))
    due = [keys[position] for position in forgotten]
    partitions = [plan.by_name[name].partition(at, plan.record_size) for name, at in due]
    forget_receipts(output, find_receipts(output, plan), partitions)
    kept = {key: receipt for key, receipt in settled.items() if key not in due}
    assert read_receipts(output, plan) == kept
    assert receipted(output, plan) == kept.keys()


def test_lines_that_are_dropped_at_once_stay_dropped(built: Built, output: Output) -> None:
    path = put_block(output, built.held(*built.receipts.values()))
    keys = list(built.receipts)
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda at: drop_lines(output, {keys[at]}, [path]), (1, 5, 9, 13)):
            pass
    left = [line.key for _, line in blocks_in(output, [path])]
    assert left == [key for at, key in enumerate(keys) if at not in (1, 5, 9, 13)]
    drop_lines(output, keys, [path])
    assert not output.paths(BLOCKS)
    drop_lines(output, keys, [path])  # it is gone


def test_a_block_is_as_it_was_for_all_other_lines(built: Built, output: Output) -> None:
    first, second, third = list(built.receipts.values())[:3]
    path = put_block(output, built.held(first, second, third))
    assert path == put_block(output, built.held(first, second, third))
    odd = b'no receipt\n{"array": ["g1/a1"], "region": 0}\n'
    data = (output.get(path) or b"") + odd
    assert data.startswith(encode_block([first, second, third]))
    output.put(path, data)
    drop_lines(output, {second.key, ("g9/none", None)}, [path])
    assert output.get(path) == encode_block([first, third]) + odd
    assert [line.number for line in lines_of(data)] == [1, 2, 3, 4, 5]


def test_a_block_that_others_write_all_the_time_is_given_up(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = in_memory()
    receipt, other = itertools.islice(built.receipts.values(), 2)
    path = put_block(output, built.held(receipt, other))
    before = output.get(path)
    monkeypatch.setattr(RemoteOutput, "put_if", lambda *_: None)
    with pytest.raises(OutputError, match=r"by several at once: run again"):
        drop_lines(output, {receipt.key}, [path])
    assert output.get(path) == before


def test_an_array_of_five_thousand_chunks_is_small(built: Built) -> None:
    plan, (first, *others) = built.plan, built.plan.arrays
    for chunks, held in ((5_000, 18), (5_001, 17)):
        large = replace(first, spec=replace(first.spec, shape=(chunks,), chunks=(1,)))
        assert len(places_in_blocks(replace(plan, arrays=(large, *others)))) == held


def test_only_blocks_that_may_speak_of_them_are_read(built: Built) -> None:
    output, keys = in_memory(), list(built.receipts)
    by_place = sorted(built.receipts.values(), key=lambda receipt: built.places[receipt.array])
    paths = [put_block(output, built.held(*by_place[at : at + 9])) for at in (0, 9, 18)]
    output.put(f"{folder_of(built.plan.fingerprint)}/mine.jsonl", b"")
    assert block_paths(output, built.plan.fingerprint) == sorted(paths)
    last = by_place[-1]
    assert block_paths(output, built.plan.fingerprint, {built.places[last.array]}) == paths[2:]
    assert block_paths(output, built.plan.fingerprint, set()) == []
    found = find_receipts(output, built.plan, only={last.key, ("g9/none", None)})
    assert found.blocks == paths[2:]
    assert list(found.receipts) == [last.key]
    assert list(read_receipts(output, built.plan)) == keys


def test_files_of_what_the_plan_has_not_speak_of_nothing(built: Built) -> None:
    output, receipt = in_memory(), built.receipts["g1/a1", 1]
    for region in ("2", "01", "x", "whole"):
        path = f"{RECEIPTS}/g1/a1/{region}.json"
        output.put(path, line_of(replace(receipt, region=2), "right"))
    assert not receipted(output, built.plan)
    assert not find_receipts(output, built.plan).receipts
    output.put(f"{RECEIPTS}/g1/a1/1.json", line_of(receipt, "right"))
    assert receipted(output, built.plan) == {("g1/a1", 1)}


def test_a_receipt_waits_for_few_and_not_for_long(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_blocks, "MOST", 10)
    partitions = {key: built.plan.by_name[key[0]].partition(key[1], 2) for key in built.receipts}

    def sizes(write: Callable[[ReceiptWriter], None]) -> list[int]:
        output = in_memory()
        with ReceiptWriter(output, built.plan) as writer:
            write(writer)
        return sorted(len(list(lines_of(output.get(path) or b""))) for path in output.paths())

    def all_of_them(writer: ReceiptWriter) -> None:
        for key, receipt in built.receipts.items():
            writer.write(partitions[key], receipt)
        assert not writer.alone

    assert sizes(all_of_them) == [7, 10, 10]
    monkeypatch.setattr(receipt_blocks, "MOST_BYTES", 5_000)
    assert max(sizes(all_of_them)) < 8
    monkeypatch.setattr(receipt_blocks, "MOST_SECONDS", 600.0)
    assert min(sizes(all_of_them)) > 1
    monkeypatch.setattr(receipt_blocks, "MOST_SECONDS", -1.0)
    assert sizes(all_of_them) == [1] * 27
    output = in_memory()

    def fail() -> None:
        with ReceiptWriter(output, built.plan) as writer:
            writer.write(partitions["g0/a0", None], built.receipts["g0/a0", None])
            raise CutShortError

    monkeypatch.setattr(receipt_blocks, "MOST_SECONDS", 60.0)
    with pytest.raises(CutShortError):
        fail()
    assert list(read_receipts(output, built.plan)) == [("g0/a0", None)]


def test_two_that_did_not_write_the_same(built: Built, output: Output) -> None:
    mine = list(built.receipts.values())[:6]
    write_block_once(output, built.held(*mine[:4]))
    write_block_once(output, built.held(*(replace(one, requests=99) for one in mine[2:])))
    assert list(read_receipts(output, built.plan)) == [one.key for one in mine]  # cut otherwise
    with pytest.raises(OutputError, match=r"was done twice at once, and not alike .*run the same"):
        write_block_once(output, built.held(variant(mine[3], "unlike"), mine[0]))
    left = [one.key for one in mine if one is not mine[3]]
    assert list(read_receipts(output, built.plan)) == left
    assert not output.paths(RECEIPTS)
    write_block_once(output, built.held(mine[3]))
    assert len(read_receipts(output, built.plan)) == 6


def test_what_others_have_done_is_seen(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    output, plan = in_memory(), built.plan
    first, second = list(built.receipts.values())[:2]
    one, two = (plan.by_name[receipt.array].partition(None, 2) for receipt in (first, second))
    others = Others(output, plan.fingerprint, built.places)
    assert not others.have(one)
    put_block(output, built.held(first, variant(second, "of another plan")))
    monkeypatch.setattr("parchunk.out.receipts_at_once._LOOK", -1.0)
    others = Others(output, plan.fingerprint, built.places)
    assert others.have(one)
    assert not others.have(two)
    put_block(output, built.held(second))
    assert others.have(two)
    alone = Others(output, plan.fingerprint, {})  # of a plan with few small arrays
    assert not alone.have(one)
    write_receipt(output, one, first)
    assert alone.have(one)
