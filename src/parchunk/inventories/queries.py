"""What DuckDB is asked of an inventory's parts: keys, sizes and times of what readers see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from parchunk.inventories.columns import Columns
from parchunk.inventories.parts import Part

#: Bytes of a line of CSV at most, keys having a thousand, and of a buffer, less than is usual.
_LINE = 1 << 18
_BUFFER = 1 << 22
#: Stands for a time that cannot be read.
UNREADABLE = -(1 << 62)
#: What tools write of objects that have no time, as does 0: the first moment of the year 1.
_YEAR_ONE = -62_135_596_800_000_000


@dataclass(frozen=True)
class Rows:
    """The rows of a part: which columns are what, and how they are read.

    ``encoded``: keys are spelled as in a URL. ``bucket``: rows of others are left out.
    """

    part: Part
    columns: Columns
    encoded: bool = False
    bucket: str | None = None
    #: What is kept of each object: ``none``, ``time`` or ``etag``.
    identity: str = "none"

    def query(self, path: Path) -> str:
        """Return a SELECT of ``key``, ``size``, ``modified``, ``bucket``, perhaps ``etag``.

        They are those of the part at ``path``.

        A row without a key has a null there, and so has the size of a delete marker that may be
        older than what is there. Left out is what a listing would not show: older versions, delete
        markers, folders. The path has no character that means anything to SQL, or
        to a glob.
        """
        columns = self.columns
        key = self._text(columns.key)
        if self.encoded:
            key = f"url_decode(replace({key}, '+', ' '))"
        wanted: list[str] = []
        size = self._whole(columns.size)
        if columns.undecided and columns.deleted is not None:
            # Of a version of before, which is there as well, it cannot be told that it is gone.
            size = f"CASE WHEN {self._yes(columns.deleted)} THEN NULL ELSE {size} END"
        elif columns.deleted is not None:
            wanted.append(f"NOT {self._yes(columns.deleted)}")
        if columns.folder is not None:
            wanted.append(f"NOT {self._yes(columns.folder)}")
        for name in (columns.gone, columns.snapshot):
            if name is not None:
                wanted.append(f"coalesce({self._text(name)}, '') = ''")
        if columns.latest is not None:
            latest = self._text(columns.latest)
            unversioned = f"coalesce({latest}, '') = ''"
            if columns.version is not None:
                unversioned += f" AND coalesce({self._text(columns.version)}, '') = ''"
            wanted.append(f"(({unversioned}) OR {self._yes(columns.latest)})")
        if self.bucket is not None and columns.bucket is not None:
            wanted.append(f"{self._text(columns.bucket)} = {quoted(self.bucket)}")
        modified = "CAST(NULL AS BIGINT)"
        if columns.modified is not None:
            modified = f"nullif(nullif({self._time(columns.modified)}, 0), {_YEAR_ONE})"
        bucket = "NULL" if columns.bucket is None else self._text(columns.bucket)
        etag = "" if columns.etag is None else f", {self._text(columns.etag)} AS etag"
        where = " AND ".join(wanted) or "true"
        return (
            f"SELECT {key} AS key, {size} AS size, {modified} AS modified, "
            f"{bucket} AS bucket{etag} FROM {self.table(path)} WHERE {where}"
        )

    def table(self, path: Path) -> str:
        """Return what DuckDB calls the part at ``path``."""
        part = self.part
        if not part.text:
            return f"read_parquet('{path}')"
        types = ", ".join(f"'c{at}': 'VARCHAR'" for at in range(len(part.columns)))
        delimiter = "\\t" if part.delimiter == "\t" else part.delimiter
        return (
            f"read_csv('{path}', auto_detect=false, columns={{{types}}}, delim='{delimiter}', "
            f"quote='\"', escape='\"', header={str(part.header).lower()}, "
            f"compression='{'gzip' if part.packed else 'none'}', max_line_size={_LINE}, "
            f"buffer_size={_BUFFER})"
        )

    def _column(self, name: str) -> str:
        if self.part.text:
            return f"c{self.part.columns.index(name)}"
        return '"' + name.replace('"', '""') + '"'

    def _type(self, name: str) -> pa.DataType:
        if self.part.text:
            return pa.string()
        return self.part.types[self.part.columns.index(name)]

    def _text(self, name: str) -> str:
        kind = self._type(name)
        if _is_binary(kind):
            return f"decode({self._column(name)})"
        return f"CAST({self._column(name)} AS VARCHAR)"

    def _yes(self, name: str) -> str:
        """Return whether a column says yes; what is neither yes nor no is an error of DuckDB."""
        text = self._text(name)
        word = f"coalesce(lower({text}), '')"
        said = f"concat({quoted(name)}, ' is ', {text}, ', which is neither true nor false')"
        return (
            f"CASE WHEN {word} IN ('true', '1', 'yes', 't', 'y') THEN true "
            f"WHEN {word} IN ('', 'false', '0', 'no', 'f', 'n') THEN false ELSE error({said}) END"
        )

    def _whole(self, name: str) -> str:
        """Return a column of whole numbers that a size can be, null where there is none."""
        column, text = self._column(name), self._text(name)
        if pa.types.is_integer(self._type(name)):
            found = f"TRY_CAST({column} AS BIGINT)"
        elif pa.types.is_floating(self._type(name)):
            # As pandas writes whole numbers of which some are missing.
            found = f"CASE WHEN {column} = floor({column}) THEN TRY_CAST({column} AS BIGINT) END"
        else:
            digits = f"regexp_full_match({text}, '[0-9]+')"
            found = f"CASE WHEN {digits} THEN TRY_CAST({text} AS BIGINT) END"
        return f"TRY_CAST({found} AS UBIGINT)"

    def _time(self, name: str) -> str:
        """Return a column of times in microseconds since the epoch, in UTC; null where unknown.

        A day is none: what was written again on it could not be told.
        """
        kind, column = self._type(name), self._column(name)
        if pa.types.is_date(kind):
            return f"CASE WHEN {column} IS NOT NULL THEN {UNREADABLE} END"
        if pa.types.is_timestamp(kind):
            zoned = pa.types.is_timestamp(kind) and kind.tz is not None
            return f"epoch_us(CAST({column} AS {'TIMESTAMPTZ' if zoned else 'TIMESTAMP'}))"
        if pa.types.is_integer(kind):
            return _of_epoch(f"CAST({column} AS HUGEINT)")
        text = self._text(name)
        return (
            f"CASE WHEN coalesce({text}, '') = '' THEN NULL "
            f"WHEN regexp_full_match({text}, '\\d{{4}}-\\d\\d-\\d\\d') THEN {UNREADABLE} "
            f"WHEN regexp_full_match({text}, '[0-9]{{9,19}}') THEN "
            f"{_of_epoch(f'TRY_CAST({text} AS HUGEINT)')} "
            f"ELSE coalesce(epoch_us(TRY_CAST({text} AS TIMESTAMPTZ)), "
            f"epoch_us(try_strptime({text}, '%a, %d %b %Y %H:%M:%S GMT')), {UNREADABLE}) END"
        )


def quoted(text: str) -> str:
    """Return a text as SQL spells it."""
    return "'" + text.replace("'", "''") + "'"


def _of_epoch(number: str) -> str:
    """Return microseconds for a time in seconds, or in a thousandth or less of one, by its size."""
    return (
        f"CAST(CASE WHEN {number} < 100000000000 THEN {number} * 1000000 "
        f"WHEN {number} < 100000000000000 THEN {number} * 1000 "
        f"WHEN {number} < 100000000000000000 THEN {number} ELSE {number} // 1000 END AS BIGINT)"
    )


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
