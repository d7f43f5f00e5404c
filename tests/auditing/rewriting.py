"""Record files that say other things than a build wrote into them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.out.record_files import References, encode


def rewrite(path: Path, change: Callable[[dict[str, list[Any]]], object]) -> None:
    """Rewrite a record file with changed columns, in the encodings of a build."""
    table = pq.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    change(columns)
    references = References(
        pa.array(columns["path"], pa.string()),
        np.array(columns["offset"]),
        np.array(columns["size"]),
        pa.array(columns["raw"], pa.binary()),
    )
    path.write_bytes(encode(references))
