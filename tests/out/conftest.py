"""An OUT in a folder, and one in an object store."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.out.leases import output_in

from parchunk.out.output import Output


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    return output_in(request.param, tmp_path)
