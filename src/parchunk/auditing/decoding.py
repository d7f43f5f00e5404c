"""A sample of chunks, read and decoded by zarr-python: a listing shows only that they are there.

It is drawn anew each time, from every partition in proportion to its chunks, and at least one from
each where as many are asked for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.auditing.decoder import Chunk, Decoder
from parchunk.auditing.findings import Finding, finding, listed_again
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.sharing import Hands, Part
from parchunk.errors import InputError
from parchunk.keys.numbers import Int64Array
from parchunk.metadata.chunk_keys import chunk_label
from parchunk.metadata.spec import ArraySpec
from parchunk.out.inlined import original
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import digest, record_path
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source
from parchunk.wording import part_of
from parchunk.workers.crews import Call

#: Chunks of a finding that are named.
_NAMED = 5
#: Chunks of a task, at most, and tasks that each of those gets who share them, where there are
#: enough partitions.
_CHUNKS, _TASKS_OF_EACH = 1_000, 4


@dataclass(frozen=True)
class Sample:
    """How many chunks are decoded: a ``percent`` of those that are there, or a ``count``."""

    percent: float | None = None
    count: int = 0

    @classmethod
    def parse(cls, text: str | int | float) -> Sample:
        """Return the sample of ``0.1%``, or of a number of chunks.

        Raises
        ------
        InputError
            When it is neither.
        """
        given = str(text).strip()
        try:
            if given.endswith("%"):
                percent = float(given[:-1])
                if 0 < percent <= 100:
                    return cls(percent=percent)
            elif int(given) > 0:
                return cls(count=int(given))
        except ValueError:
            pass
        raise InputError(
            f"--decode {given}: give a percentage, such as 0.1%, or a number of chunks"
        )

    def shares(self, present: Int64Array, random: np.random.Generator) -> Int64Array:
        """Return how many of the ``present`` chunks of each partition are drawn."""
        total = int(present.sum())
        if self.percent is not None:
            each = np.ceil(present * (self.percent / 100)).astype(np.int64)
            return np.asarray(np.minimum(each, present), np.int64)
        if self.count >= total:
            return present.copy()
        full = np.flatnonzero(present)
        drawn = np.zeros(len(present), np.int64)
        if self.count < len(full):
            drawn[random.choice(full, self.count, replace=False)] = 1
            return drawn
        drawn[full] = 1
        left = random.multivariate_hypergeometric(present - drawn, self.count - len(full))
        return np.asarray(drawn + left, np.int64)


@dataclass
class Decoded:
    """What decoding came to: chunks ``read`` ``of`` those that are there, and findings."""

    read: int = 0
    of: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def text(self) -> str:
        """How many were decoded, in words."""
        return f"decoded: {part_of(self.read, self.of, 'chunk')}"

    def to_json(self) -> dict[str, int]:
        """Return the counts as JSON values."""
        return {"read": self.read, "of": self.of}


@dataclass(frozen=True)
class Draw:
    """How many chunks of a partition are drawn, and the ``seed`` by which."""

    item: Audited
    count: int
    seed: int


@dataclass(frozen=True)
class DecodingTask:
    """Draws of partitions of a plan in OUT that are decoded together; picklable."""

    part: Part
    source: Source
    draws: tuple[Draw, ...]
    concurrency: int


def decode_sample(
    plan: Plan,
    output: Output,
    done: Sequence[Audited],
    source: Source,
    wanted: Sample,
    concurrency: int,
    hands: Hands | None = None,
) -> Decoded:
    """Read and decode a sample of the chunks of ``done`` partitions; ``hands`` share the work.

    Raises
    ------
    InputError
        When chunks are not below the plan's source, or larger than can be read.
    SourceError
        When the source cannot be read.
    """
    random = np.random.default_rng()
    # By record file: a receipt that does not add up is damage, and is reported as that.
    present = np.array([sum(file.present for file in _files(item)) for item in done], np.int64)
    drawn = wanted.shares(present, random).tolist()
    seeds = random.integers(1 << 62, size=len(done)).tolist()
    draws = [Draw(*each) for each in zip(done, drawn, seeds, strict=True) if each[1]]
    result = Decoded(of=int(present.sum()))
    if hands is None:
        parts: Iterator[Decoded] = iter([decode_draws(plan, output, source, draws, concurrency)])
    else:
        calls = _calls(plan, output, source, draws, max(concurrency // hands.processes, 1), hands)
        parts = hands.in_order(calls, requests=concurrency)
    for part in parts:
        result.read += part.read
        result.findings += part.findings
    return result


def _calls(
    plan: Plan,
    output: Output,
    source: Source,
    draws: Sequence[Draw],
    concurrency: int,
    hands: Hands,
) -> Iterator[Call]:
    """Yield tasks of draws, so that each has about as many chunks as any other."""
    most = max(sum(draw.count for draw in draws) // (_TASKS_OF_EACH * hands.among), 1)
    held: list[Draw] = []
    for at, draw in enumerate(draws):
        held.append(draw)
        count = sum(one.count for one in held)
        if count >= min(most, _CHUNKS) or at == len(draws) - 1:
            partitions = [one.item.partition for one in held]
            more = f" and {len(held) - 1:,} more" if len(held) > 1 else ""
            part = Part(f"decode {partitions[0]}{more}", output, plan.fingerprint)
            task = DecodingTask(part, source, tuple(held), concurrency)
            yield Call(part.name, decode_part, (task,))
            held = []


def decode_part(task: DecodingTask) -> Decoded:
    """Decode the draws of a task; any process can that reaches the source and OUT.

    Raises
    ------
    ParchunkError
        As `decode_draws`, or when OUT holds another plan by now.
    """
    plan, output = task.part.plan, task.part.output
    return decode_draws(plan, output, task.source, task.draws, task.concurrency)


def decode_draws(
    plan: Plan, output: Output, source: Source, draws: Sequence[Draw], concurrency: int
) -> Decoded:
    """Read and decode the chunks that are drawn.

    Raises
    ------
    InputError, SourceError
        As `decode_sample` does.
    """
    result = Decoded()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="decode") as pool:
        for draw in draws:
            item = draw.item
            spec = plan.by_name[item.partition.array].spec
            decoder = Decoder(spec, plan, source)
            random = np.random.default_rng(draw.seed)
            chunks = list(_drawn(plan, output, item, draw.count, random))
            verdicts: list[str | None] = []
            for begin in range(0, len(chunks), concurrency):
                some = chunks[begin : begin + concurrency]
                # Read side by side, and decoded one by one: no more of them is held.
                verdicts += map(decoder.verdict, some, pool.map(decoder.fetched, some))
            result.read += len(chunks)
            result.findings += _findings(item, spec, chunks, verdicts)
    return result


def _drawn(
    plan: Plan, output: Output, item: Audited, count: int, random: np.random.Generator
) -> Iterator[Chunk]:
    """Yield ``count`` of the chunks of a partition that are there, each as likely as any other."""
    files = _files(item)
    ends = np.cumsum([file.present for file in files])
    places = np.sort(random.choice(int(ends[-1]), count, replace=False))
    for at, file in enumerate(files):
        begin = int(ends[at]) - file.present
        ranks = places[(places >= begin) & (places < ends[at])] - begin
        if not len(ranks):
            continue
        data = output.get(record_path(item.partition.array, file.index)) or b""
        if digest(data) != file.digest:
            continue  # damage, which is reported as that
        try:
            with pq.ParquetFile(io.BytesIO(data)) as opened:
                table = opened.read(["path", "offset", "size", "raw"])
        except (pa.ArrowException, OSError, ValueError, KeyError):
            continue  # damage, too
        there = np.flatnonzero(
            np.asarray(table["path"].is_valid()) | np.asarray(table["raw"].is_valid())
        )
        rows = there[ranks[ranks < len(there)]]
        first = file.index * plan.record_size
        for row, values in zip(rows.tolist(), table.take(rows).to_pylist(), strict=True):
            raw = None if values["raw"] is None else original(values["raw"])
            yield Chunk(first + row, values["path"], values["offset"], values["size"], raw)


def _files(item: Audited) -> tuple[RecordFile, ...]:
    return () if item.receipt is None else item.receipt.record_files


def _findings(
    item: Audited, spec: ArraySpec, chunks: Sequence[Chunk], verdicts: Sequence[str | None]
) -> Iterator[Finding]:
    """Yield what is wrong with the chunks drawn of one partition."""
    again = listed_again(spec.name, item.partition.region)
    bad = [(chunk, why) for chunk, why in zip(chunks, verdicts, strict=True) if why]
    empty = [chunk for chunk, why in zip(chunks, verdicts, strict=True) if why == ""]
    if bad:
        named = "; ".join(f"{chunk_label(spec, c.number)} ({why})" for c, why in bad[:_NAMED])
        yield finding(
            "undecodable",
            f"{item.partition}: {part_of(len(bad), len(chunks), 'chunk')} read cannot be decoded: "
            + named
            + ("; ..." if len(bad) > _NAMED else ""),
            f"have the producer write them again, then run {again}; there may be others, as a "
            "sample was read",
            array=spec.name,
            region=item.partition.region,
            key=chunk_label(spec, bad[0][0].number),
            count=len(bad),
        )
    if empty:
        named = ", ".join(chunk_label(spec, chunk.number) for chunk in empty[:_NAMED])
        yield finding(
            "all-fill",
            f"{item.partition}: {part_of(len(empty), len(chunks), 'chunk')} read hold nothing "
            f"but the fill value: {named}{', ...' if len(empty) > _NAMED else ''}",
            "missing or empty? Where they should hold something, have the producer write them, "
            f"then run {again}",
            array=spec.name,
            region=item.partition.region,
            key=chunk_label(spec, empty[0].number),
            count=len(empty),
        )
