"""Which reader opens which arrays exactly: finds out by opening them all, and writes readers.md.

    python -m docs.readers           # rewrite docs/readers.md
    python -m docs.readers --print   # show what this environment finds

Each row is a small store written by zarr-python, built by parchunk and read by each reader:

- *exact*: the values are those that the same library reads from the original store, bit for bit;
- *other type*: the same values, text of another data type;
- *differs*: it opens, and values are not the same, without an error;
- *error*: it does not open, or raises when it is read;
- *nor the source*: the original store does not open in that library either.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import xarray
import zarr
from docs.kinds_of_arrays import rows
from zarr.storage import FsspecStore

import parchunk

PAGE = Path(__file__).with_name("readers.md")


def same(got: Any, wanted: Any) -> bool:
    """Whether two arrays hold the same values, bit for bit, in whatever byte order."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape or got.dtype.kind != wanted.dtype.kind:
        return False
    if got.dtype.kind in "OTV":
        return bool(((got == wanted) | ((got != got) & (wanted != wanted))).all())
    if got.dtype.newbyteorder("=") != wanted.dtype.newbyteorder("="):
        return False
    return bool(got.astype(got.dtype.newbyteorder("=")).tobytes()
                == wanted.astype(wanted.dtype.newbyteorder("=")).tobytes())  # fmt: skip


def verdict(got: Any, wanted: Any) -> str:
    """Return the cell for what was read and what the original store gives."""
    if same(got, wanted):
        return "exact"
    got, wanted = np.asarray(got), np.asarray(wanted)
    texts = {got.dtype.kind, wanted.dtype.kind} <= set("OSUT")
    equal = texts and got.shape == wanted.shape and bool((got == wanted).all())
    return "other type" if equal else "**differs**"


def _zarr(source: Path, out: Path) -> str:
    references = fsspec.filesystem(
        "reference", fo=str(out), remote_protocol="file", asynchronous=True
    )
    opened = zarr.open_group(FsspecStore(references, read_only=True), mode="r")["a"]
    return verdict(opened[...], zarr.open_group(source, mode="r")["a"][...])


class SourceUnreadableError(Exception):
    """The original store cannot be read with the library that is compared."""


@lru_cache(maxsize=1)
def _original(source: Path) -> Any:
    """Return what xarray reads from the original store, once for all who are compared with it."""
    try:
        return xarray.open_dataset(source, engine="zarr", consolidated=False)["a"].values
    except Exception as error:
        raise SourceUnreadableError from error


def _in_xarray(open_: Callable[[], xarray.Dataset], source: Path) -> str:
    original = _original(source)
    return verdict(open_()["a"].values, original)


def _xarray(source: Path, out: Path) -> str:
    options = {"fo": str(out), "remote_protocol": "file"}
    return _in_xarray(
        lambda: xarray.open_dataset(
            "reference://", engine="zarr", backend_kwargs={"storage_options": options}
        ),
        source,
    )


def _open_dataset(source: Path, out: Path) -> str:
    return _in_xarray(lambda: parchunk.open_dataset(str(out)), source)


def _kerchunk(source: Path, out: Path) -> str:
    return _in_xarray(
        lambda: xarray.open_dataset(
            str(out), engine="kerchunk", storage_options={"remote_protocol": "file"}
        ),
        source,
    )


def _virtualizarr(source: Path, out: Path) -> str:
    from obstore.store import LocalStore
    from virtualizarr.parsers import KerchunkParquetParser
    from virtualizarr.registry import ObjectStoreRegistry

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    manifests = KerchunkParquetParser()(url=f"file://{out}", registry=registry)
    # Stored values: it makes Zarr v3 of all arrays, in which xarray masks nothing by fill value.
    opened = zarr.open_group(manifests, mode="r", zarr_format=3)["a"]
    return verdict(opened[...], zarr.open_group(source, mode="r")["a"][...])


def _imported(out: Path) -> Any:
    """Return the store of the repository that ``out`` is imported into, once."""
    import icechunk

    icechunk.set_logs_filter("error")
    repo = f"{out}.icechunk"
    if not Path(repo).exists():
        parchunk.to_icechunk(str(out), repo)
    return parchunk.open_icechunk(repo).readonly_session("main").store


def _icechunk(source: Path, out: Path) -> str:
    opened = zarr.open_group(_imported(out), mode="r")["a"]
    return verdict(opened[...], zarr.open_group(source, mode="r")["a"][...])


def _icechunk_xarray(source: Path, out: Path) -> str:
    return _in_xarray(lambda: xarray.open_zarr(_imported(out), consolidated=False), source)


#: Title of the column, the module without which it stays as it is, how to read.
READERS: list[tuple[str, str, Callable[[Path, Path], str]]] = [
    ("fsspec + zarr", "fastparquet", _zarr),
    ("parchunk.open_dataset", "xarray", _open_dataset),
    ("xarray, engine zarr", "xarray", _xarray),
    ("xarray, engine kerchunk", "kerchunk", _kerchunk),
    ("VirtualiZarr", "virtualizarr", _virtualizarr),
    ("Icechunk + zarr", "icechunk", _icechunk),
    ("Icechunk + xarray", "icechunk", _icechunk_xarray),
]


def installed() -> list[str]:
    """Return the readers that this environment has."""
    return [
        title
        for title, module, _ in READERS
        if find_spec(module) is not None and (module != "virtualizarr" or _recent_virtualizarr())
    ]


def _recent_virtualizarr() -> bool:
    """Whether VirtualiZarr is of the version that the table speaks of; its API has moved."""
    major, minor = version("virtualizarr").split(".")[:2]
    return (int(major), int(minor)) >= (2, 8)


def find_out() -> dict[tuple[int, str], dict[str, str]]:
    """Return what each installed reader makes of each row, by (format, label)."""
    found: dict[tuple[int, str], dict[str, str]] = {}
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        here = installed()
        for number, row in enumerate(rows()):
            source, out = Path(folder, f"{number}.zarr"), Path(folder, f"{number}.refs")
            row.write(source)
            parchunk.build(parchunk.plan(str(source), **row.plan), str(out))
            cells = found[(row.zarr_format, row.label)] = {}
            for title, _, read in READERS:
                if title not in here:
                    continue
                try:
                    cells[title] = read(source, out)
                except SourceUnreadableError:
                    cells[title] = "nor the source"
                except Exception as error:
                    cells[title] = "error"
                    if "--print" in sys.argv:
                        print(row.zarr_format, row.label, title, repr(error)[:300])
    return found


def read_page(text: str) -> dict[tuple[int, str], dict[str, str]]:
    """Return the table of readers.md in the form of `find_out`."""
    # Tables further down have other columns.
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    titles = [cell.strip() for cell in lines[0].strip("|").split("|")][2:]
    found = {}
    for line in lines[2:]:
        zarr_format, label, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        found[(int(zarr_format[1:]), label)] = dict(zip(titles, cells, strict=True))
    return found


def page(found: dict[tuple[int, str], dict[str, str]]) -> str:
    """Return readers.md."""
    titles = [title for title, _, _ in READERS]
    lines = [
        "# What each reader makes of each kind of array",
        "",
        "Generated by `python -m docs.readers`, held by `tests/reading/test_readers.py`: each cell",
        "was found by writing such an array with zarr-python, building its references, and reading",
        "them. *exact*: the values that the same library reads from the original store, bit for",
        "bit. *other type*: the same texts, not as Python objects. **differs**: it opens, and some",
        "values are others, with no error. *error*: it does not open. *nor the source*: neither",
        "does the original store. VirtualiZarr's stored values are compared, as it makes Zarr v3",
        "of v2 arrays, in which xarray masks nothing by fill value. The last two columns read what",
        "`parchunk to-icechunk` imported. Versions: zarr 3.1 and 3.4, xarray 2026, kerchunk 0.2,",
        "VirtualiZarr 2.8, icechunk 1.1 and 2.3.",
        "",
        "| source | array | " + " | ".join(titles) + " |",
        "|---|---|" + "---|" * len(titles),
    ]
    for (zarr_format, label), cells in found.items():
        lines.append(
            f"| v{zarr_format} | {label} | " + " | ".join(cells.get(t, "") for t in titles) + " |"
        )
    lines += [
        "",
        "What differs: VirtualiZarr takes F order for C order. Text of Zarr v2 with a fill",
        "value becomes Python objects in xarray, which can be masked; through Icechunk no text is",
        "masked.",
        "",
        "## Masks of Zarr v3 arrays with missing chunks",
        "",
        "Xarray masks a v3 array where it equals the attribute `_FillValue`, and a v2 array, which",
        "the references are, where it equals the fill value. `parchunk.open_dataset` masks what it",
        "does in the source, always. In other readers:",
        "",
        "| fill value | what the references say | xarray |",
        "|---|---|---|",
        "| any, and no chunk is missing | null, and `_FillValue` | exact |",
        "| the same as `_FillValue` | the fill value | exact |",
        "| NaN | NaN, and `missing_value` beside `_FillValue` | exact |",
        "| 0, false, empty text | null, and `_FillValue` | exact with zarr-python 3; zarr-python 2 "
        "leaves missing chunks of null undefined |",
        "| another | the fill value, and `missing_value` beside `_FillValue` | "
        "masks the fill value, too, and warns of several fill values |",
        "",
        "The build says which arrays are of the last two kinds. Of the former VirtualiZarr reads",
        "missing chunks of floats as NaN, as that is what null is to it. Complex numbers have no",
        "`_FillValue` in v2: where no chunk is missing, the references have it as fill value.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Rewrite the page; columns of readers that are not installed stay as they were."""
    before = read_page(PAGE.read_text()) if PAGE.exists() else {}
    found = find_out()
    merged = {key: {**before.get(key, {}), **cells} for key, cells in found.items()}
    if "--print" in sys.argv:
        print(page(merged))
    else:
        PAGE.write_text(page(merged))


if __name__ == "__main__":
    main()
