"""What tests of listings share: who lists, and an identity for servers reached by TLS."""

from importlib.util import find_spec

import pytest
from instruments.tls import Identity, make_identity
from tests.listing.ways import WAYS


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Return who lists."""
    return str(request.param)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """Make an identity that nobody believes by itself."""
    if find_spec("trustme") is None:
        pytest.skip("trustme is not installed: pip install --group test")
    return make_identity(tmp_path_factory.mktemp("identity"))


@pytest.fixture(params=["http", "https"])
def identity(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Identity | None:
    """Return none, and then one that is believed."""
    if request.param == "http":
        return None
    made: Identity = request.getfixturevalue("certificate")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    return made
