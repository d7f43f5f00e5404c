"""A sample of chunks, read and decoded by zarr-python: a listing shows only that they are there.

It is drawn anew each time, from every partition in proportion to its chunks, and at least one from
each where as many are asked for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.auditing.findings import Finding, finding, listed_again
from parchunk.auditing.receipt_check import Audited
from parchunk.errors import InputError
from parchunk.keys.numbers import Int64Array
from parchunk.metadata.chunk_keys import chunk_index, chunk_label
from parchunk.metadata.data_type import quiet
from parchunk.metadata.document import shorten
from parchunk.metadata.spec import ArraySpec, canonical
from parchunk.metadata.spelling_v3 import spell_v3
from parchunk.metadata.to_v2 import convert_array
from parchunk.out.inlined import original
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import digest, record_path
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source

#: Chunks of a finding that are named.
_NAMED = 5
#: Bytes of a chunk that is read, at most.
_LARGEST = 1 << 30


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
        return f"decoded: {self.read:,} of {self.of:,} chunks"

    def to_json(self) -> dict[str, int]:
        """Return the counts as JSON values."""
        return {"read": self.read, "of": self.of}


@dataclass(frozen=True)
class _Chunk:
    """A chunk that was drawn: where its bytes are, or the bytes themselves."""

    number: int
    path: str | None
    offset: int
    size: int
    raw: bytes | None


def decode_sample(
    plan: Plan,
    output: Output,
    done: Sequence[Audited],
    source: Source,
    wanted: Sample,
    concurrency: int,
) -> Decoded:
    """Read and decode a sample of the chunks of ``done`` partitions.

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
    result = Decoded(of=int(present.sum()))
    with ThreadPoolExecutor(concurrency, thread_name_prefix="decode") as pool:
        for item, count in zip(done, wanted.shares(present, random).tolist(), strict=True):
            if not count:
                continue
            spec = plan.by_name[item.partition.array].spec
            decoder = _Decoder(spec, plan, source)
            chunks = list(_drawn(plan, output, item, count, random))
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
) -> Iterator[_Chunk]:
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
            yield _Chunk(first + row, values["path"], values["offset"], values["size"], raw)


def _files(item: Audited) -> tuple[RecordFile, ...]:
    return () if item.receipt is None else item.receipt.record_files


class _Decoder:
    """Decodes chunks of one array, each as the only chunk of a store in memory."""

    def __init__(self, spec: ArraySpec, plan: Plan, source: Source) -> None:
        self._spec = spec
        # The first may have been given, and be another than the plan's.
        self._places = {plan.location.url: source} | {one.url: one for one in source.beside}
        self._v3 = plan.hierarchy.written_format == 3 and spec.zarr_format == 3
        document = spell_v3(spec) if self._v3 else convert_array(spec)
        self._document = canonical(document).encode()

    def _place_of(self, path: str) -> tuple[Source, str]:
        for url, source in self._places.items():
            if path.startswith(f"{url}/"):
                return source, path.removeprefix(f"{url}/")
        known = " or ".join(self._places)
        raise InputError(f"--decode: {path} is not below {known}: audit without it")

    def verdict(self, chunk: _Chunk, data: bytes | None) -> str | None:
        """Return why a chunk cannot be decoded, ``""`` when it is nothing but the fill value."""
        if data is None:
            return "it is gone, or has another size now"
        return self._decoded(chunk.number, data)

    def fetched(self, chunk: _Chunk) -> bytes | None:
        """Return the bytes of a chunk; None when they are not what they were.

        Raises
        ------
        InputError
            When they cannot be read.
        """
        if chunk.raw is not None:
            return chunk.raw
        if chunk.size > _LARGEST:
            raise InputError(
                f"--decode: {chunk.path} is larger than {_LARGEST >> 20} MiB: audit without it"
            )
        place, key = self._place_of(chunk.path or "")
        try:
            end = chunk.offset + chunk.size
            data, size, _ = place.get_part(key, chunk.offset, end)
        except FileNotFoundError:
            return None
        is_whole = self._spec.inner_chunks is None
        return data if len(data) == chunk.size and (not is_whole or size == chunk.size) else None

    def _decoded(self, number: int, data: bytes) -> str | None:
        import zarr
        from zarr.core.buffer import cpu
        from zarr.storage import MemoryStore

        spec = self._spec
        index = chunk_index(spec, number)
        key = spec.keys.tail(index) if self._v3 else ".".join(map(str, index or (0,)))
        held = {"zarr.json" if self._v3 else ".zarray": self._document, key: data}
        where = tuple(
            slice(at * size, min((at + 1) * size, extent))
            for at, size, extent in zip(index, spec.reference_chunks, spec.shape, strict=True)
        )
        formats: Any = 3 if self._v3 else 2
        with quiet():
            try:
                store = MemoryStore({k: cpu.Buffer.from_bytes(v) for k, v in held.items()})
                array = zarr.open_array(store, mode="r", zarr_format=formats)
                values = np.asarray(array[where])
                fill = array.fill_value
            except MemoryError:
                raise
            except Exception as error:  # codecs raise whatever they like of damaged bytes
                return shorten(str(error) or type(error).__name__, 100)
        return "" if fill is not None and _is_all(values, fill) else None


def _is_all(values: np.ndarray[Any, Any], fill: Any) -> bool:
    """Whether all values are the fill value, NaN and NaT included."""
    if values.dtype.kind in "fcmM":
        nothing = np.asarray(fill, values.dtype)
        return bool(np.all((values == nothing) | (np.isnan(values) & np.isnan(nothing))))
    return bool(np.all(values == fill))


def _findings(
    item: Audited, spec: ArraySpec, chunks: Sequence[_Chunk], verdicts: Sequence[str | None]
) -> Iterator[Finding]:
    """Yield what is wrong with the chunks drawn of one partition."""
    again = listed_again(spec.name, item.partition.region)
    bad = [(chunk, why) for chunk, why in zip(chunks, verdicts, strict=True) if why]
    empty = [chunk for chunk, why in zip(chunks, verdicts, strict=True) if why == ""]
    if bad:
        named = "; ".join(f"{chunk_label(spec, c.number)} ({why})" for c, why in bad[:_NAMED])
        yield finding(
            "undecodable",
            f"{item.partition}: {len(bad):,} of {len(chunks):,} chunks read cannot be decoded: "
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
            f"{item.partition}: {len(empty):,} of {len(chunks):,} chunks read hold nothing but the "
            f"fill value: {named}{', ...' if len(empty) > _NAMED else ''}",
            "missing or empty? Where they should hold something, have the producer write them, "
            f"then run {again}",
            array=spec.name,
            region=item.partition.region,
            key=chunk_label(spec, empty[0].number),
            count=len(empty),
        )
